"""What every room of the console is given."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from bessemer.console.guard import CONSOLE
from bessemer.console.pages import Pages
from bessemer.serve.dataplane import DataPlane
from bessemer.service.platform import Platform


@dataclass(frozen=True)
class Shell:
    """What a room calls, and what it renders with."""

    platform: Platform
    plane: DataPlane
    pages: Pages

    def acting(self, request: Request) -> Platform:
        """Return the platform on behalf of the key that is logged in."""
        return self.platform.acting_for(request.scope["state"]["session"].key)

    def names(self) -> dict[str, str]:
        """Return what keys are called."""
        return {key.id: key.name for key in self.platform.keys.list()}

    def name(self, request: Request) -> str:
        """Return what the key that is logged in is called, by which an annotator is known."""
        key: str = request.scope["state"]["session"].key
        return self.names().get(key, key)

    def address(self, room: str) -> str:
        """Return where a room begins."""
        return f"{CONSOLE}/{room}"
