"""From the name in an address to a loaded release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bessemer.core.errors import NotReadyError, UnknownNameError
from bessemer.core.records import KeyState
from bessemer.serve.residents import Resident


@dataclass(frozen=True)
class Served:
    """What a route serves."""

    release: str
    resident: Resident


@dataclass(frozen=True)
class Routing:
    """One consistent view of routes and keys; a newer one replaces it whole."""

    #: Of the snapshot it was made from; -1 before the first.
    version: int = -1
    served: Mapping[str, Served] = field(default_factory=dict)
    #: Routes that cannot serve, each with the reason.
    broken: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, KeyState] = field(default_factory=dict)
    loading: frozenset[str] = frozenset()
    unloaded: frozenset[str] = frozenset()

    def route(self, name: str) -> Served:
        """Return what a route serves; a wrong name is never answered by another model.

        Raises:
            UnknownNameError: There is no such route.
            NotReadyError: Its release could not be loaded.
        """
        if name in self.served:
            return self.served[name]
        if name in self.broken:
            raise NotReadyError(
                f"The route {name!r} cannot serve: {self.broken[name]}",
                remedy="Deploy a release that is whole, or roll back.",
            )
        raise UnknownNameError("route", name, self.served)
