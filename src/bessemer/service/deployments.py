"""Deployments: which releases a route serves, as a history that is only added to.

The newest deployment of a route says all about it; every change is a new one.
"""

from __future__ import annotations

import builtins
import re
from types import EllipsisType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.errors import ConflictError, RequestError, UnknownNameError
from bessemer.core.records import Deployment
from bessemer.service import snapshot
from bessemer.service.home import Home
from bessemer.service.releases import Releases
from bessemer.store import tables
from bessemer.store.database import utc

#: Names of routes and aliases stand in addresses as they are. Clients that were written for
#: another server ask for dots, underscores and capitals.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


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

    def deploy(
        self,
        release: str,
        route: str | None = None,
        canary: float | None = None,
        *,
        expected: Deployment | EllipsisType | None = ...,
    ) -> Deployment:
        """Let a route serve a release; servers follow within a second.

        A canary that the route has is ended. Deployed anew, it gets another share.

        Args:
            release: As `support-intents@3`, or a project's name for its newest one.
            route: By default the project's name.
            canary: Share of the callers who get it, between 0 and 1, while the others keep
                the live release; None makes it live.
            expected: The route's newest deployment, as the release was judged against it, or None
                for none; by default whatever there is.

        Raises:
            UnknownNameError: There is no such release.
            IntegrityError: Its bundle is not what was signed.
            RequestError: The share or the route's name is not allowed.
            ConflictError: It is live there already, or the route serves nothing beside which
                a canary could stand, or is an alias, or has changed since.
        """
        if canary is not None and not 0 < canary < 1:
            raise RequestError(
                f"The canary's share is {canary}.", remedy="Give a number between 0 and 1."
            )
        releases = Releases(self._home)
        found = releases.show(release)
        releases.verify(found.id)
        route = route or found.project
        with self._home.database.begin() as connection:
            now = next(iter(_all(connection, route)), None)
            if expected is not ... and now != expected:
                raise ConflictError(
                    f"The route {route!r} has changed since {found.id} was judged.",
                    remedy="Repeat the command: it is judged against what is live by now.",
                )
            _check_open(connection, route, found.id, now)
            if canary is None:
                result = self._add(connection, "deployed", route, found.id, now.id if now else None)
            elif now is None:
                raise ConflictError(
                    f"The route {route!r} serves nothing that a canary could stand beside.",
                    remedy="Deploy the release without a share.",
                )
            else:
                share = {"canary": found.id, "share": canary}
                verb = "canary deployed"
                result = self._add(connection, verb, route, now.release, now.previous, **share)
        snapshot.publish(self._home)
        return result

    def promote(self, route: str) -> Deployment:
        """Make a route's canary live for all callers.

        Raises:
            UnknownNameError: The route does not exist.
            ConflictError: It has no canary, or is an alias.
        """
        with self._home.database.begin() as connection:
            now = _newest(connection, route)
            if now.canary is None:
                raise ConflictError(
                    f"The route {route!r} has no canary.",
                    remedy="Deploy a release with a share to have one.",
                )
            result = self._add(connection, "promoted", route, now.canary, now.id)
        snapshot.publish(self._home)
        return result

    def rollback(self, route: str) -> Deployment:
        """End a route's canary; without one, let it serve what it served before.

        Raises:
            UnknownNameError: The route does not exist.
            ConflictError: There is nothing before it, or it is an alias.
        """
        with self._home.database.begin() as connection:
            now = _newest(connection, route)
            if now.canary is not None:
                result = self._add(connection, "canary ended", route, now.release, now.previous)
            elif now.previous is None:
                raise ConflictError(
                    f"The route {route!r} has served nothing before {now.release}.",
                    remedy="Deploy another release with `bessemer deploy`.",
                )
            else:
                history = {deployment.id: deployment for deployment in _all(connection, route)}
                before = history[now.previous]
                verb = "rolled back"
                result = self._add(connection, verb, route, before.release, before.previous)
        snapshot.publish(self._home)
        return result

    def unload(self, route: str) -> Deployment:
        """Let serving processes give a route's memory back; it answers nothing until loaded.

        Deploying, promoting and rolling back load it too. An unloaded route stays as it is.

        Raises:
            UnknownNameError: The route does not exist.
            ConflictError: It is an alias.
        """
        return self._suspend(route, "unloaded", unloaded=True)

    def load(self, route: str) -> Deployment:
        """Let an unloaded route serve again; one that serves stays as it is.

        Raises:
            UnknownNameError: The route does not exist.
            ConflictError: It is an alias.
        """
        return self._suspend(route, "loaded", unloaded=False)

    def _suspend(self, route: str, verb: str, *, unloaded: bool) -> Deployment:
        with self._home.database.begin() as connection:
            now = _newest(connection, route)
            if now.unloaded == unloaded:
                return now
            state = {"canary": now.canary, "share": now.share, "unloaded": unloaded}
            result = self._add(connection, verb, route, now.release, now.previous, **state)
        snapshot.publish(self._home)
        return result

    def _add(
        self,
        connection: Connection,
        verb: str,
        route: str,
        release: str,
        previous: int | None,
        **state: Any,
    ) -> Deployment:
        """Append a deployment; what `state` leaves out is as on a route without a canary."""
        values: dict[str, Any] = {
            "route": route,
            "release": release,
            "previous": previous,
            "canary": None,
            "share": None,
            "unloaded": False,
            "by": self._home.actor,
            "at": self._home.clock(),
            **state,
        }
        insert = sa.insert(tables.deployments).values(**values)
        key = connection.execute(insert).inserted_primary_key
        assert key is not None
        detail = {name: values[name] for name in ("release", "canary", "share")}
        self._home.event(connection, verb, route, **detail)
        return Deployment(id=key[0], **values, live=True)


def told(deployment: Deployment) -> str:
    """Return what a route does since a deployment, in a few words."""
    if deployment.unloaded:
        return f"route {deployment.route} is unloaded"
    serves = f"route {deployment.route} serves {deployment.release}"
    if deployment.share is None:
        return serves
    return f"{serves}, and {deployment.canary} to {100 * deployment.share:g} % of the callers"


def check_name(name: str) -> None:
    """Raise `RequestError` unless a new route or alias may be called so."""
    if not NAME.fullmatch(name):
        raise RequestError(
            f"{name[:80]!r} is no name for a route.",
            remedy="Take 1 to 63 letters, digits, dots, underscores and dashes; the first is"
            " a letter or digit.",
        )


def check_no_alias(connection: Connection, name: str) -> None:
    """Raise `ConflictError` if a name that is to be a route's is an alias."""
    aliases = tables.aliases
    query = sa.select(aliases.c.route).where(aliases.c.name == name)
    if (route := connection.execute(query).scalar()) is not None:
        raise ConflictError(
            f"{name!r} is an alias of the route {route!r}.",
            remedy="Name the route, or remove the alias.",
        )


def check_route(connection: Connection, name: str) -> None:
    """Raise `ConflictError` or `UnknownNameError` unless a name is a route's."""
    routes = set(connection.execute(sa.select(tables.deployments.c.route)).scalars())
    if name not in routes:
        check_no_alias(connection, name)
        raise UnknownNameError("route", name, routes)


def _check_open(connection: Connection, route: str, release: str, now: Deployment | None) -> None:
    """Raise an error unless a release may be put behind a route, which serves `now`."""
    if now is None:
        check_name(route)
        check_no_alias(connection, route)
    elif now.release == release:
        raise ConflictError(
            f"{release} is live on the route {route!r} already.",
            remedy="But it is unloaded: load it." if now.unloaded else "",
        )


def _newest(connection: Connection, route: str) -> Deployment:
    check_route(connection, route)
    return _all(connection, route)[0]


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
