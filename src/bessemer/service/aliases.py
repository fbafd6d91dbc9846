"""Aliases: other names of routes, pointed elsewhere or removed at any time."""

from __future__ import annotations

import builtins

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.errors import ConflictError, UnknownNameError
from bessemer.core.records import Alias
from bessemer.service import snapshot
from bessemer.service.deployments import check_name, check_route
from bessemer.service.home import Home
from bessemer.store import tables
from bessemer.store.database import utc


class Aliases:
    """The aliases of a home. Each stands for a route, never for another alias."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self) -> builtins.list[Alias]:
        """Return all aliases by name."""
        with self._home.database.begin() as connection:
            return _all(connection)

    def set(self, name: str, route: str) -> Alias:
        """Let a name stand for a route from now on; servers follow within a second.

        Raises:
            RequestError: The name is not allowed.
            UnknownNameError: The route does not exist.
            ConflictError: The name is a route's, or the route is an alias.
        """
        check_name(name)
        made = Alias(name=name, route=route, at=self._home.clock(), by=self._home.actor)
        table, routes = tables.aliases, tables.deployments.c.route
        with self._home.database.begin() as connection:
            if connection.execute(sa.select(routes).where(routes == name)).first():
                raise ConflictError(f"{name!r} is a route.", remedy="Choose another name.")
            check_route(connection, route)
            connection.execute(sa.delete(table).where(table.c.name == name))
            connection.execute(sa.insert(table).values(**dict(made)))
            self._home.event(connection, "alias set", name, route=route)
        snapshot.publish(self._home)
        return made

    def remove(self, name: str) -> Alias:
        """Let a name stand for nothing.

        Raises:
            UnknownNameError: There is no such alias.
        """
        table = tables.aliases
        with self._home.database.begin() as connection:
            known = {alias.name: alias for alias in _all(connection)}
            if name not in known:
                raise UnknownNameError("alias", name, known)
            connection.execute(sa.delete(table).where(table.c.name == name))
            self._home.event(connection, "alias removed", name, route=known[name].route)
        snapshot.publish(self._home)
        return known[name]


def _all(connection: Connection) -> list[Alias]:
    query = sa.select(tables.aliases).order_by(tables.aliases.c.name)
    rows = connection.execute(query).mappings()
    return [Alias(**{**row, "at": utc(row["at"])}) for row in rows]
