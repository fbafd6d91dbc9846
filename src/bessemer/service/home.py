"""The home folder: what every noun of the service is built on."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.clock import Clock, utc_now
from bessemer.store import tables
from bessemer.store.database import Database
from bessemer.store.stages import Stages

DEFAULT = ".bessemer"


@dataclass(frozen=True)
class Home:
    """Where things lie, the time, and on whose behalf things are done."""

    root: Path
    database: Database
    stages: Stages
    clock: Clock
    #: "local" on this machine's command line, else the id of an API key.
    actor: str = "local"

    def acting_for(self, actor: str) -> Home:
        """Return the same home on behalf of another."""
        return replace(self, actor=actor)

    def event(self, connection: Connection, verb: str, subject: str, **detail: Any) -> None:
        """Append a fact in the transaction of what it tells of."""
        connection.execute(
            sa.insert(tables.events).values(
                at=self.clock(), by=self.actor, verb=verb, subject=subject, detail=detail
            )
        )


def open_home(root: str | Path | None = None, *, clock: Clock = utc_now) -> Home:
    """Open the home folder, made if it is not there.

    Args:
        root: The folder; by default `$BESSEMER_HOME`, else `.bessemer` here.
        clock: The time of day.

    The database is SQLite in that folder, or what `$BESSEMER_DATABASE` names.
    """
    path = Path(root or os.environ.get("BESSEMER_HOME") or DEFAULT).resolve()
    url = os.environ.get("BESSEMER_DATABASE") or f"sqlite:///{path / 'bessemer.db'}"
    from bessemer.core.folder import storage_errors

    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return Home(path, Database(url), Stages(path / "stages"), clock)
