"""The room *Deployments*: what each route serves, to whom, how fast; and a box to try one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bessemer.console.forms import form
from bessemer.console.live import mark
from bessemer.console.shell import Shell
from bessemer.core.errors import UnknownNameError
from bessemer.core.records import Deployment
from bessemer.serve.answers import Wanted
from bessemer.serve.routing import Served
from bessemer.service.deployments import Deployments

#: Name of the room in addresses and messages.
NAME = "deployments"
#: Labels that are shown of a text that is tried.
MOST_LABELS = 8


@dataclass(frozen=True)
class Action:
    """What an owner may do to a route with a button; messages name it and ask before."""

    name: str
    do: Callable[[Deployments, str], Deployment]
    #: Whether it can be done to a route whose newest deployment is this.
    possible: Callable[[Deployment], bool]


ACTIONS = (
    Action("promote", Deployments.promote, lambda newest: newest.canary is not None),
    Action("end", Deployments.rollback, lambda newest: newest.canary is not None),
    Action(
        "rollback",
        Deployments.rollback,
        lambda newest: newest.canary is None and newest.previous is not None,
    ),
    Action("unload", Deployments.unload, lambda newest: not newest.unloaded),
    Action("load", Deployments.load, lambda newest: newest.unloaded),
)


@dataclass(frozen=True)
class State:
    """A route as the database has it and as this process serves it."""

    newest: Deployment
    #: None while it is not in memory.
    served: Served | None
    #: Why it cannot be loaded, or "".
    broken: str
    #: Name of the key that deployed it last.
    by: str

    @property
    def actions(self) -> list[Action]:
        """Return what can be done to it now."""
        return [action for action in ACTIONS if action.possible(self.newest)]


def routes(shell: Shell) -> list[Route]:
    """Return the room's addresses."""
    room = Room(shell)
    one = f"{shell.address(NAME)}/{{route}}"
    return [
        Route(shell.address(NAME), room.show),
        Route(one, room.show_route),
        Route(f"{one}/try", room.attempt, methods=["POST"]),
        Route(f"{one}/{{action}}", room.act, methods=["POST"]),
    ]


class Room:
    """The room's pages."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Show all routes."""
        newest: dict[str, Deployment] = {}
        for deployment in self._shell.platform.deployments.list():
            newest.setdefault(deployment.route, deployment)
        names = self._shell.names()
        states = [self._state(newest[route], names) for route in sorted(newest)]
        at = mark(self._shell.plane)
        return self._shell.pages.render(request, "deployments.html", states=states, mark=at)

    def show_route(self, request: Request) -> Response:
        """Show one route: its release, its history, and a box to try it."""
        platform = self._shell.platform
        route = request.path_params["route"]
        history = platform.deployments.list(route)
        if not history:
            known = {deployment.route for deployment in platform.deployments.list()}
            raise UnknownNameError("route", route, known)
        names = self._shell.names()
        return self._shell.pages.render(
            request,
            "route.html",
            state=self._state(history[0], names),
            history=history,
            names=names,
            release=platform.releases.show(history[0].release),
            aliases=[a.name for a in platform.aliases.list() if a.route == route],
            mark=mark(self._shell.plane),
        )

    def act(self, request: Request) -> Response:
        """Do what a button says, and show the route."""
        route, name = request.path_params["route"], request.path_params["action"]
        known = {action.name: action for action in ACTIONS}
        if name not in known:
            raise UnknownNameError("action", name, known)
        known[name].do(self._shell.acting(request).deployments, route)
        return RedirectResponse(f"{self._shell.address(NAME)}/{route}", 303)

    async def attempt(self, request: Request) -> Response:
        """Answer a text as any caller would be answered; the call is journalled, too."""
        route = request.path_params["route"]
        text = (await form(request)).get("text", "")
        key = request.scope["state"]["session"].key
        began = time.perf_counter()
        answer = await self._shell.plane.predict(route, key, [text], Wanted(MOST_LABELS))
        return self._shell.pages.render(
            request,
            "tried.html",
            answer=answer,
            predictions=answer.predictions[0],
            pieces=_pieces(text, answer.predictions[0]),
            seconds=time.perf_counter() - began,
        )

    def _state(self, newest: Deployment, names: dict[str, str]) -> State:
        routing = self._shell.plane.routing
        return State(
            newest=newest,
            served=routing.served.get(newest.route),
            broken=routing.broken.get(newest.route, ""),
            by=names.get(newest.by, newest.by),
        )


def _pieces(text: str, predictions: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return a text in pieces, each with the label of the entity that it is, or "".

    There are none where labels are said of the whole text.
    """
    pieces, done = [], 0
    for found in (p for p in predictions if "start" in p):
        pieces.append((text[done : found["start"]], ""))
        pieces.append((text[found["start"] : found["end"]], found["entity_group"]))
        done = found["end"]
    return [piece for piece in [*pieces, (text[done:], "")] if piece[0]] if pieces else []
