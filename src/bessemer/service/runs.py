"""Runs: begun, followed, ended, listed, shown."""

from __future__ import annotations

import builtins
import os
import secrets
from typing import Any

import sqlalchemy as sa

from bessemer.core.errors import UnknownNameError
from bessemer.core.records import Run, RunComparison
from bessemer.service.home import Home
from bessemer.store import tables


class Runs:
    """The runs of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self, project: str | None = None) -> builtins.list[Run]:
        """Return all runs, or a project's, newest first."""
        table = tables.runs
        query = sa.select(table.c.record, table.c.process).order_by(table.c.started_at.desc())
        if project is not None:
            query = query.where(table.c.project == project)
        with self._home.database.begin() as connection:
            return [_seen(row.record, row.process) for row in connection.execute(query)]

    def show(self, run: str) -> Run:
        """Return one run.

        Raises:
            UnknownNameError: There is no such run.
        """
        query = sa.select(tables.runs).where(tables.runs.c.id == run)
        with self._home.database.begin() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise UnknownNameError("run", run, [found.id for found in self.list()])
        return _seen(row.record, row.process)

    def compare(self, first: str, second: str) -> RunComparison:
        """Return two runs with the settings in which they differ, and their models compared.

        Raises:
            UnknownNameError: There is no such run.
        """
        from bessemer.service.comparing import side_by_side

        return side_by_side(self._home, first, second)

    def begin(
        self,
        project: str,
        recipe: str,
        resolved: dict[str, Any],
        run: str = "",
        stages: dict[str, str] | None = None,
    ) -> Run:
        """Record that a run begins in this process.

        Args:
            project: Its name.
            recipe: Digest of everything that determines the run.
            resolved: The project file with every default.
            run: Id of a run that was announced before, by the process that asked for it.
            stages: Digest of each stage's output, as far as that is known.
        """
        now = self._home.clock()
        record = Run(
            id=run or f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            project=project,
            recipe=recipe,
            state="running",
            started_at=now,
            ended_at=None,
            seconds={},
            reused=(),
            release=None,
            report=None,
            verdict=None,
            error=None,
            resolved=resolved,
            dataset=(stages or {}).get("prepare"),
            stages=stages or {},
        )
        row = _row(record)
        with self._home.database.begin() as connection:
            if not run:
                connection.execute(sa.insert(tables.runs).values(id=record.id, **row))
                self._home.event(connection, "run begun", record.id, recipe=recipe)
            else:
                self._update(connection, run, row)
        return record

    def save(self, record: Run) -> Run:
        """Write down where a run stands; an ended one becomes an event as well."""
        with self._home.database.begin() as connection:
            self._update(connection, record.id, _row(record))
            if record.state != "running":
                self._home.event(connection, f"run {record.state}", record.id)
        return record

    @staticmethod
    def _update(connection: sa.Connection, run: str, row: dict[str, Any]) -> None:
        connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(**row))


def _row(record: Run) -> dict[str, Any]:
    return {
        "project": record.project,
        "state": record.state,
        "started_at": record.started_at,
        "process": os.getpid(),
        "record": record.model_dump(mode="json"),
    }


def _seen(record: Any, process: int) -> Run:
    """Return a stored run; one whose process is gone was interrupted."""
    run = Run.model_validate(record)
    if run.state == "running" and not _lives(process):
        return run.model_copy(update={"state": "interrupted"})
    return run


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
