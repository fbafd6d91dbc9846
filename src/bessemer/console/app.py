"""The console as one application: the log-in, live numbers, and a list of rooms."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from bessemer.console import data, deployments, label, reports, runs
from bessemer.console.forms import form
from bessemer.console.guard import CONSOLE, LOGIN, LOGOUT, STATIC, Guard
from bessemer.console.live import Live
from bessemer.console.pages import Pages
from bessemer.console.sessions import COOKIE, Sessions
from bessemer.console.shell import Shell
from bessemer.core.errors import (
    AuthenticationError,
    BessemerError,
    ForbiddenError,
    OverloadedError,
)
from bessemer.serve.dataplane import DataPlane
from bessemer.service.platform import Platform

#: In the order of the navigation. Each has a `NAME` and `routes(shell)`.
ROOMS = (data, label, runs, reports, deployments)
#: The room that an owner's log-in leads to.
FIRST = deployments
#: Where a log-in may lead to.
_WITHIN = re.compile(rf"{CONSOLE}(/\w[\w.-]*)*")
Statuses = Sequence[tuple[type[BessemerError], int]]
Handler = Callable[[Request, Exception], Awaitable[Response]]

_log = logging.getLogger(__name__)


def guarded(platform: Platform, plane: DataPlane, statuses: Statuses) -> ASGIApp:
    """Return the console as it is served: nothing is answered without a session.

    Args:
        platform: Whose records are shown.
        plane: Whose traffic is shown.
        statuses: HTTP statuses of errors; the first class that fits decides.
    """
    sessions = Sessions(plane)
    return Guard(console(platform, plane, sessions, statuses), sessions)


def console(
    platform: Platform, plane: DataPlane, sessions: Sessions, statuses: Statuses
) -> Starlette:
    """Return the console without its guard; a test walks its routes."""
    pages = Pages([room.NAME for room in ROOMS])
    shell = Shell(platform, plane, pages)

    def enter(request: Request) -> Response:
        """Lead to the first room, or to one that may be entered."""
        rooms = pages.rooms(request.scope["state"]["session"].role)
        first = FIRST.NAME if FIRST.NAME in rooms else rooms[0]
        return RedirectResponse(shell.address(first), 303)

    routes: list[BaseRoute] = [
        Mount(STATIC, StaticFiles(directory=str(resources.files(__package__) / "static"))),
        Route(CONSOLE, enter),
        Route(f"{CONSOLE}/live", Live(plane, sessions).answer),
        *_door(pages, sessions),
    ]
    for room in ROOMS:
        routes += room.routes(shell)
    return Starlette(
        routes=routes,
        exception_handlers={
            BessemerError: _on_error(pages, statuses),
            HTTPException: _on_http_error(pages),
            Exception: _on_bug(pages),
        },
    )


def _door(pages: Pages, sessions: Sessions) -> list[Route]:
    """Return the addresses by which one comes and goes."""

    def show(request: Request) -> Response:
        """Ask for a key."""
        return pages.render(request, "login.html", refused="", next=_next(request))

    async def login(request: Request) -> Response:
        """Begin a session."""
        fields = await form(request)
        address = request.client.host if request.client else ""
        try:
            session = sessions.begin(fields.get("key", "").strip(), address)
        except (AuthenticationError, ForbiddenError, OverloadedError) as error:
            refused = type(error).__name__
            status = {AuthenticationError: 401, ForbiddenError: 403, OverloadedError: 429}
            return pages.render(
                request, "login.html", status[type(error)], refused=refused, next=_next(request)
            )
        answer = RedirectResponse(_next(request), 303)
        answer.set_cookie(
            COOKIE,
            session.id,
            path=CONSOLE,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    async def logout(request: Request) -> Response:
        """End the session."""
        sessions.end(request.scope["state"]["session"])
        answer = RedirectResponse(LOGIN, 303)
        answer.delete_cookie(COOKIE, path=CONSOLE)
        return answer

    return [
        Route(LOGIN, show),
        Route(LOGIN, login, methods=["POST"]),
        Route(LOGOUT, logout, methods=["POST"]),
    ]


def _next(request: Request) -> str:
    """Return where to go after the log-in: a page of the console, whatever the address says."""
    wanted = request.query_params.get("next", "")
    return wanted if _WITHIN.fullmatch(wanted) else CONSOLE


def _on_error(pages: Pages, statuses: Statuses) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        status = next(code for kind, code in statuses if isinstance(error, kind))
        return _told(pages, request, status, str(error))

    return answer


def _on_http_error(pages: Pages) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _told(pages, request, error.status_code, error.detail)

    return answer


def _on_bug(pages: Pages) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        _log.error("unexpected", exc_info=error)
        return _told(pages, request, 500, "The server met an unexpected error; its log says which.")

    return answer


def _told(pages: Pages, request: Request, status: int, message: str) -> Response:
    """Return a page that tells of an error, or the part of a page that was asked for."""
    template = "problem.html" if "hx-request" in request.headers else "error.html"
    return pages.render(request, template, status, message=message)
