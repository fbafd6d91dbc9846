"""The addresses that are asked most, answered before the framework sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from bessemer.core.errors import BessemerError
from bessemer.http.errors import on_bessemer_error, on_bug
from bessemer.http.metrics import Metrics

#: Routes, all of them POST, whose endpoints take parts of the address and the request, and answer.
NAMES = ("predict", "v2.infer", "v2.version_infer", "v1.embeddings", "embed")


class Direct:
    """Calls these routes' endpoints with nothing in between, and counts what fails.

    They need none of the framework's middlewares, dependencies and stacks of contexts, whose
    work for each request is work of the one thread that all requests pass.

    Args:
        app: Answers everything else.
        routes: All of the application's.
        metrics: Where failures are counted; an endpoint counts what it answers.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute], metrics: Metrics) -> None:
        self._app = app
        known = {route.name: (route.path_regex, route.endpoint) for route in routes}
        self._routes = [known[name] for name in NAMES]
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            for pattern, endpoint in self._routes:
                if found := pattern.match(scope["path"]):
                    request, named = Request(scope, receive), found.groupdict()
                    coming = endpoint(request=request, **named)
                    route = named.get("route", named.get("model"))
                    response = await self._answer(request, route, coming)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _answer(
        self, request: Request, route: str | None, coming: Awaitable[Response]
    ) -> Response:
        try:
            return await coming
        except BessemerError as error:
            self._metrics.failed(type(error).__name__, route)
            return await on_bessemer_error(request, error)
        except Exception as error:
            self._metrics.failed("InternalError", route)
            return await on_bug(request, error)
