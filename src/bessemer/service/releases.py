"""Releases: made behind the gate, listed, shown, verified."""

from __future__ import annotations

import builtins
from pathlib import Path

import sqlalchemy as sa

from bessemer.bundle.format import STATEMENT
from bessemer.core.errors import CorruptError, UnknownNameError
from bessemer.core.records import Release, Verification
from bessemer.core.report import Report
from bessemer.core.verdict import Verdict
from bessemer.service import signing
from bessemer.service.home import Home
from bessemer.store import tables


class Releases:
    """The releases of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self, project: str | None = None) -> builtins.list[Release]:
        """Return all releases, or a project's, newest first."""
        query = sa.select(tables.releases.c.record)
        if project is not None:
            query = query.where(tables.releases.c.project == project)
        with self._home.database.begin() as connection:
            rows = connection.execute(query).scalars().all()
        found = [Release.model_validate(row) for row in rows]
        return sorted(found, key=lambda release: release.created_at, reverse=True)

    def show(self, release: str) -> Release:
        """Return one release.

        Args:
            release: As `support-intents@3`, or a project's name for its newest one.

        Raises:
            UnknownNameError: There is no such release.
        """
        everything = self.list()
        for found in everything:
            if release in (found.id, found.project):
                return found
        raise UnknownNameError("release", release, [found.id for found in everything])

    def verify(self, release: str) -> Verification:
        """Check every file of a release and its signature.

        Raises:
            IntegrityError: A file was changed, or the signature is not a trusted key's.
        """
        found = self.show(release)
        signed_by, files = signing.verify(self._home, self.bundle(found))
        return Verification(release=found.id, files=files, signed_by=signed_by)

    def bundle(self, release: Release) -> Path:
        """Return the folder of a release.

        Raises:
            CorruptError: It is gone.
        """
        path = self._home.stages.path("release", release.bundle)
        if not (path / STATEMENT).is_file():
            raise CorruptError(
                f"The bundle of {release.id} is not whole: {path / STATEMENT} is missing.",
                remedy="Restore the home folder, or make the release again.",
            )
        return path

    def register(
        self, project: str, run: str, bundle: str, report: Report, verdict: Verdict
    ) -> Release:
        """Give a finished bundle the project's next number; the same bundle keeps its own."""
        table = tables.releases
        known = sa.select(table.c.record).where(table.c.bundle == bundle)
        with self._home.database.begin() as connection:
            if (found := connection.execute(known).scalar()) is not None:
                return Release.model_validate(found)
            newest = sa.select(sa.func.max(table.c.number)).where(table.c.project == project)
            number = (connection.execute(newest).scalar() or 0) + 1
            release = Release(
                id=f"{project}@{number}",
                project=project,
                number=number,
                state="approved" if verdict.override is None else "overridden",
                run=run,
                bundle=bundle,
                created_at=self._home.clock(),
                report=report,
                verdict=verdict,
            )
            connection.execute(
                sa.insert(table).values(
                    id=release.id,
                    project=project,
                    number=number,
                    bundle=bundle,
                    record=release.model_dump(mode="json"),
                )
            )
            self._home.event(connection, "released", release.id, bundle=bundle, run=run)
            tell_override(self._home, connection, release.id, verdict)
        return release


def tell_override(home: Home, connection: sa.Connection, release: str, verdict: Verdict) -> None:
    """Append the event of an owner's override, if there was one."""
    if (said := verdict.override) is not None:
        failed = [o.condition for o in verdict.outcomes if o.state != "passed"]
        home.event(connection, "gate overridden", release, reason=said.reason, conditions=failed)
