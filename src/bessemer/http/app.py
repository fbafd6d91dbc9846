"""The HTTP application: a guard, and behind it the data plane and the control plane."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from bessemer.console import app as console
from bessemer.console.guard import CONSOLE
from bessemer.core.errors import BessemerError
from bessemer.core.version import VERSION
from bessemer.http import control, embed, errors, infer, predict, repository, v1, v2
from bessemer.http.direct import Direct
from bessemer.http.metrics import Metrics
from bessemer.http.middleware import Guard
from bessemer.serve.dataplane import DataPlane
from bessemer.service.platform import Platform


def api(platform: Platform, plane: DataPlane, metrics: Metrics | None = None) -> FastAPI:
    """Return the application without its guard; a test walks its routes."""
    handlers = {
        RequestValidationError: errors.on_invalid,
        BessemerError: errors.on_bessemer_error,
        HTTPException: errors.on_http_error,
        ClientDisconnect: errors.on_disconnect,
        Exception: errors.on_bug,
    }
    app = FastAPI(
        title="Bessemer",
        version=VERSION,
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
        # An operation is named like the method of `Platform` that it calls.
        generate_unique_id_function=lambda route: route.name,
        exception_handlers=handlers,  # type: ignore[arg-type]
    )
    metrics = metrics or Metrics(plane)
    routers = [
        predict.routes(plane, metrics),
        embed.routes(plane, metrics),
        v1.routes(plane, metrics),
        v2.routes(plane),
        infer.routes(plane, metrics),
        repository.routes(platform, plane),
        metrics.routes(),
        control.routes(platform),
    ]
    for router in routers:
        app.include_router(router)
    # The application keeps routes in a form of its own.
    found = [route for router in routers for route in router.routes]
    routes = [route for route in found if isinstance(route, APIRoute)]
    app.state.direct = Direct(app, routes, metrics)
    return app


def guarded(platform: Platform, plane: DataPlane, metrics: Metrics | None = None) -> ASGIApp:
    """Return everything as it is served: nothing without a key, no page without a session.

    Args:
        platform: Does what owners ask for.
        plane: Answers everything else.
        metrics: Where requests are counted, if another door counts there too.
    """
    programs = Guard(api(platform, plane, metrics).state.direct, plane)
    people = console.guarded(platform, plane, [(kind, http) for kind, http, _ in errors.STATUS])

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and scope["path"].startswith(CONSOLE)
        await (people if page else programs)(scope, receive, send)

    return served
