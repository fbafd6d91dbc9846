"""Triton's model repository extension: which routes there are, and loading and unloading them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from bessemer.core.errors import NotReadyError
from bessemer.http.bodies import Body, Strict, content, key, validated
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.routing import Routing
from bessemer.service.platform import Platform

#: What a change may take until this process follows it.
FOLLOW_SECONDS = 5.0


class Index(Strict):
    """The body of a request for the index."""

    #: Whether only routes that can serve are wanted.
    ready: bool = False


class LoadParameters(Strict):
    """Options of a load: none; Triton's would replace what is loaded."""


class Load(Strict):
    """The body of a load."""

    parameters: LoadParameters | None = None


class UnloadParameters(Strict):
    """Options of an unload."""

    #: No route depends on another one, so that it makes no difference.
    unload_dependents: bool = False


class Unload(Strict):
    """The body of an unload."""

    parameters: UnloadParameters | None = None


def routes(platform: Platform, plane: DataPlane) -> APIRouter:
    """Return the extension's routes."""
    router = APIRouter(prefix="/v2/repository", tags=["data plane"])

    @router.post("/index", name="v2.index")
    async def index(request: Request) -> list[dict[str, str]]:
        """List routes with the releases they serve, and why those that cannot serve cannot."""
        wanted = await _body(request, Index)
        return entries(plane.routing, ready=wanted.ready)

    @router.post("/models/{model}/load", name="v2.load")
    async def load(model: str, request: Request) -> dict[str, Any]:
        """Let a route serve again, and wait until it does."""
        await _body(request, Load)
        await loaded(platform, plane, key(request), model)
        return {}

    @router.post("/models/{model}/unload", name="v2.unload")
    async def unload(model: str, request: Request) -> dict[str, Any]:
        """Let a route serve no more until it is loaded again, and wait until it does not."""
        await _body(request, Unload)
        await unloaded(platform, plane, key(request), model)
        return {}

    return router


def entries(routing: Routing, *, ready: bool) -> list[dict[str, str]]:
    """Return the repository's index, of routes that can serve only if `ready`."""
    known = {*routing.served, *routing.loading, *routing.unloaded, *routing.broken}
    found = [_entry(routing, route) for route in sorted(known)]
    return [entry for entry in found if entry["state"] == "READY" or not ready]


def _entry(routing: Routing, route: str) -> dict[str, str]:
    try:
        release, state, reason = routing.route(route).release, "READY", ""
    except NotReadyError as error:
        state = "LOADING" if route in routing.loading else "UNAVAILABLE"
        release, reason = "", str(error)
    return {"name": route, "version": release, "state": state, "reason": reason}


async def loaded(platform: Platform, plane: DataPlane, key: str, route: str) -> None:
    """Let a route serve again in an owner's name, and wait until it does.

    Raises:
        UnknownNameError: There is no such route.
        NotReadyError: It does not serve in time.
    """
    await run_in_threadpool(platform.acting_for(key).deployments.load, route)
    await _follows(route, "loaded", lambda: route in plane.routing.served)


async def unloaded(platform: Platform, plane: DataPlane, key: str, route: str) -> None:
    """Let a route serve no more until it is loaded again, and wait until it does not.

    Raises:
        UnknownNameError: There is no such route.
        NotReadyError: It still serves.
    """
    await run_in_threadpool(platform.acting_for(key).deployments.unload, route)
    await _follows(route, "unloaded", lambda: route not in plane.routing.served)


async def _body(request: Request, model: type[Body]) -> Body:
    """Return a body that may be left out."""
    return validated(await content(request) or b"{}", model)


async def _follows(route: str, verb: str, done: Callable[[], bool]) -> None:
    """Wait until this process follows what was changed."""
    for _ in range(int(FOLLOW_SECONDS / 0.02)):
        if done():
            return
        await asyncio.sleep(0.02)
    raise NotReadyError(
        f"The route {route!r} is not {verb} after {FOLLOW_SECONDS:g} seconds.",
        remedy="The repository's index tells its state, the server's log may tell more.",
    )
