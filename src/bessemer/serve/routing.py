"""From the name in an address to a loaded release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bessemer.core import digest
from bessemer.core.errors import NotReadyError, UnknownNameError
from bessemer.core.records import KeyState, Snapshot
from bessemer.serve.residents import Resident


@dataclass(frozen=True)
class Served:
    """A release that a route serves."""

    #: Never an alias.
    route: str
    release: str
    resident: Resident


@dataclass(frozen=True)
class Canary(Served):
    """A release that a route serves to a share of its callers."""

    share: float

    def takes(self, sticky: str) -> bool:
        """Return whether the caller with a sticky key belongs to the share.

        Each has a place between 0 and 1 that is the same in every process, so that a share
        which grows keeps those whom it had. The release decides too: not always the same
        callers shall try what is new.
        """
        place = digest.of_json([self.route, self.release, sticky])[:16]
        return int(place, 16) / 2**64 < self.share


def bundles(snapshot: Snapshot) -> dict[str, str]:
    """Return the folders of all bundles that routes want in memory, by release."""
    found: dict[str, str] = {}
    for state in snapshot.routes.values():
        if not state.unloaded:
            found[state.release] = state.bundle
            if state.canary is not None:
                found[state.canary.release] = state.canary.bundle
    return found


@dataclass(frozen=True)
class Routing:
    """One consistent view of routes and keys; a newer one replaces it whole."""

    #: Of the snapshot it was made from; -1 before the first.
    version: int = -1
    #: What each route's callers get that no canary takes.
    served: Mapping[str, Served] = field(default_factory=dict)
    #: Each stands beside a live release.
    canaries: Mapping[str, Canary] = field(default_factory=dict)
    #: Routes of which a release could not be loaded, each with the reason; they may still
    #: serve what they served before, or all callers without a canary.
    broken: Mapping[str, str] = field(default_factory=dict)
    #: Routes whose first release is not in memory yet.
    loading: frozenset[str] = frozenset()
    unloaded: frozenset[str] = frozenset()
    #: The route that each alias stands for.
    aliases: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, KeyState] = field(default_factory=dict)
    #: Releases that a rollback would return to, as far as they are in memory.
    standby: Mapping[str, Resident] = field(default_factory=dict)

    @property
    def residents(self) -> dict[str, Resident]:
        """Return all releases in memory by their ids."""
        serving = (*self.served.values(), *self.canaries.values())
        return {**self.standby, **{served.release: served.resident for served in serving}}

    def resolve(self, name: str) -> str:
        """Return the route that a name stands for: itself unless it is an alias."""
        return self.aliases.get(name, name)

    def route(self, name: str, sticky: str | None = None) -> Served:
        """Return what a route serves; a wrong name is never answered by another model.

        Args:
            name: Of the route, or an alias.
            sticky: What tells one caller from another, so that each keeps to one release;
                None for the live release.

        Raises:
            UnknownNameError: There is no such route.
            NotReadyError: Its release could not be loaded, is not yet, or is unloaded.
        """
        route = self.resolve(name)
        if (served := self.served.get(route)) is not None:
            canary = self.canaries.get(route)
            return canary if canary and sticky is not None and canary.takes(sticky) else served
        if route in self.loading:
            raise NotReadyError(f"The route {route!r} is loading.", remedy="Ask again in a second.")
        if route in self.unloaded:
            raise NotReadyError(
                f"The route {route!r} is unloaded.",
                remedy=f"Load it with `bessemer deployments load {route}`.",
            )
        if route in self.broken:
            raise NotReadyError(
                f"The route {route!r} cannot serve: {self.broken[route]}",
                remedy="Deploy a release that is whole, or roll back.",
            )
        raise UnknownNameError("route", name, [*self.served, *self.aliases])

    def following(
        self, snapshot: Snapshot, residents: Mapping[str, Resident], failed: Mapping[str, str]
    ) -> Routing:
        """Return the view of a newer snapshot.

        A route whose live release is not in memory keeps what it serves now; without its
        canary, the live release takes all callers.

        Args:
            snapshot: The newer one.
            residents: Releases in memory.
            failed: Releases that could not be loaded, each with the reason.
        """
        routes = {name: s for name, s in snapshot.routes.items() if not s.unloaded}
        served: dict[str, Served] = {}
        canaries: dict[str, Canary] = {}
        broken: dict[str, str] = {}
        for name, state in routes.items():
            if state.release in residents:
                served[name] = Served(name, state.release, residents[state.release])
            elif name in self.served:
                served[name] = self.served[name]
            canary = state.canary
            if canary is not None and canary.release in residents:
                resident = residents[canary.release]
                canaries[name] = Canary(name, canary.release, resident, canary.share)
            wanted = [state.release] + ([canary.release] if canary else [])
            missing = [release for release in wanted if release not in residents]
            if reasons := [failed[release] for release in missing if release in failed]:
                broken[name] = reasons[0]
            elif missing and name in self.broken:
                broken[name] = self.broken[name]
        return Routing(
            version=snapshot.version,
            served=served,
            canaries=canaries,
            broken=broken,
            loading=frozenset(routes.keys() - served.keys() - broken.keys()),
            unloaded=frozenset(snapshot.routes.keys() - routes.keys()),
            aliases=snapshot.aliases,
            keys=snapshot.keys,
            standby={
                state.previous: residents[state.previous]
                for state in routes.values()
                if state.previous is not None and state.previous in residents
            },
        )
