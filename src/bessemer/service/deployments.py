"""Deployments: which release a route serves, as a history that is only added to."""

from __future__ import annotations

import builtins
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.errors import ConflictError, UnknownNameError
from bessemer.core.records import Deployment
from bessemer.service import snapshot
from bessemer.service.home import Home
from bessemer.service.releases import Releases
from bessemer.store import tables
from bessemer.store.database import utc


class Deployments:
    """The deployments of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self, route: str | None = None) -> builtins.list[Deployment]:
        """Return all deployments, or a route's, newest first."""
        with self._home.database.begin() as connection:
            return _all(connection, route)

    def live(self, route: str) -> Deployment | None:
        """Return what a route serves, or None."""
        return next(iter(self.list(route)), None)

    def deploy(self, release: str, route: str | None = None) -> Deployment:
        """Let a route serve a release; servers follow within a second.

        Args:
            release: As `support-intents@3`, or a project's name for its newest one.
            route: By default the project's name.

        Raises:
            UnknownNameError: There is no such release.
            IntegrityError: Its bundle is not what was signed.
            ConflictError: The route serves it already.
        """
        releases = Releases(self._home)
        found = releases.show(release)
        releases.verify(found.id)
        route = route or found.project
        with self._home.database.begin() as connection:
            now = next(iter(_all(connection, route)), None)
            if now is not None and now.release == found.id:
                raise ConflictError(f"The route {route!r} serves {found.id} already.")
            result = self._add(connection, "deployed", route, found.id, now.id if now else None)
        snapshot.publish(self._home)
        return result

    def rollback(self, route: str) -> Deployment:
        """Let a route serve again what it served before its live deployment.

        Raises:
            UnknownNameError: The route does not exist.
            ConflictError: There is nothing before it.
        """
        with self._home.database.begin() as connection:
            history = {deployment.id: deployment for deployment in _all(connection, None)}
            mine = [d for d in history.values() if d.route == route]
            if not mine:
                raise UnknownNameError("route", route, {d.route for d in history.values()})
            if mine[0].previous is None:
                raise ConflictError(
                    f"The route {route!r} has served nothing before {mine[0].release}.",
                    remedy="Deploy another release with `bessemer deploy`.",
                )
            before = history[mine[0].previous]
            result = self._add(connection, "rolled back", route, before.release, before.previous)
        snapshot.publish(self._home)
        return result

    def load(self, route: str) -> None:
        """Stand in."""

    def unload(self, route: str) -> None:
        """Stand in."""

    def _add(
        self, connection: Connection, verb: str, route: str, release: str, previous: int | None
    ) -> Deployment:
        values = {"route": route, "release": release, "previous": previous}
        by, at = self._home.actor, self._home.clock()
        insert = sa.insert(tables.deployments).values(**values, at=at, by=by)
        key = connection.execute(insert).inserted_primary_key
        assert key is not None
        self._home.event(connection, verb, route, release=release)
        return Deployment(
            id=key[0], route=route, release=release, previous=previous, at=at, by=by, live=True
        )


def _all(connection: Connection, route: str | None) -> list[Deployment]:
    table = tables.deployments
    query = sa.select(table).order_by(table.c.id.desc())
    if route is not None:
        query = query.where(table.c.route == route)
    seen: set[str] = set()
    result = []
    for row in connection.execute(query).mappings():
        values: dict[str, Any] = {**row, "at": utc(row["at"]), "live": row["route"] not in seen}
        seen.add(row["route"])
        result.append(Deployment(**values))
    return result
