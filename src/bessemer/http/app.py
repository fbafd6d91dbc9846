"""The HTTP application: a guard, and behind it the data plane and the control plane."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from bessemer.console import app as console
from bessemer.console.guard import CONSOLE
from bessemer.core.errors import BessemerError
from bessemer.core.version import VERSION
from bessemer.http import control, predict, v2
from bessemer.http.errors import STATUS, on_bessemer_error, on_bug, on_http_error, on_invalid
from bessemer.http.metrics import Metrics
from bessemer.http.middleware import Guard
from bessemer.serve.dataplane import DataPlane
from bessemer.service.platform import Platform


def api(platform: Platform, plane: DataPlane) -> FastAPI:
    """Return the application without its guard; a test walks its routes."""
    handlers = {
        RequestValidationError: on_invalid,
        BessemerError: on_bessemer_error,
        HTTPException: on_http_error,
        Exception: on_bug,
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
    metrics = Metrics(plane)
    app.include_router(predict.routes(plane, metrics))
    app.include_router(v2.routes(plane, metrics))
    app.include_router(metrics.routes())
    app.include_router(control.routes(platform))
    return app


def guarded(platform: Platform, plane: DataPlane) -> ASGIApp:
    """Return everything as it is served: nothing without a key, no page without a session."""
    programs = Guard(api(platform, plane), plane)
    people = console.guarded(platform, plane, STATUS)

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and scope["path"].startswith(CONSOLE)
        await (people if page else programs)(scope, receive, send)

    return served
