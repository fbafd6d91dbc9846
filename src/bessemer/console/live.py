"""Live numbers: what a data plane does, as server-sent events, one a second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bessemer.console.sessions import Session, Sessions
from bessemer.core.errors import OverloadedError
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.meter import WINDOW, Traffic

#: Seconds over which a rate, and a route's latency, are told.
RATE_SECONDS, LATENCY_SECONDS = 10, 60
#: Pages that may be open at a time.
MOST_STREAMS = 32
#: Seconds between two looks at the clock and at whether the stream must end.
LOOK_SECONDS = 0.25


class Live:
    """What a data plane does, told to every open page.

    A second's numbers are made once, however many look on, and not at all when nobody does.
    """

    def __init__(self, plane: DataPlane, sessions: Sessions) -> None:
        self._plane = plane
        self._sessions = sessions
        self._streams = 0
        #: The newest event of each route that is looked at, and of all (None).
        self._newest: dict[str | None, tuple[int, str]] = {}

    async def answer(self, request: Request) -> Response:
        """Tell what happens from now on, once a second, after the last minutes.

        Raises:
            OverloadedError: Too many pages are open.
        """
        if self._streams >= MOST_STREAMS:
            raise OverloadedError(f"{self._streams} pages show live numbers already.", seconds=5)
        session = request.scope["state"]["session"]
        events = self._events(session, request.query_params.get("route"))
        # A proxy must not wait until it has a page full of events.
        unbuffered = {"X-Accel-Buffering": "no"}
        return StreamingResponse(events, media_type="text/event-stream", headers=unbuffered)

    async def _events(self, session: Session, route: str | None) -> AsyncIterator[str]:
        """Yield events until the session or the server ends."""
        self._streams += 1
        try:
            told = self._plane.meter.second()
            yield await run_in_threadpool(self._history, route)
            yield await self._frame(told, route)
            while self._sessions.alive(session) and self._plane.ready:
                await asyncio.sleep(LOOK_SECONDS)
                if (second := self._plane.meter.second()) > told:
                    told = second
                    yield await self._frame(second, route)
            yield _event("end", {"session": self._sessions.alive(session)})
        finally:
            self._streams -= 1
            if not self._streams:
                self._newest.clear()

    def _history(self, route: str | None) -> str:
        first = self._plane.meter.second() + 1 - WINDOW
        traffic = self._plane.meter.each(WINDOW, route)
        return _event("history", [{"at": first + n, **asdict(t)} for n, t in enumerate(traffic)])

    async def _frame(self, second: int, route: str | None) -> str:
        """Return the event of a second."""
        made, event = self._newest.get(route, (-1, ""))
        if made != second:
            event = await run_in_threadpool(self._make, route)
            self._newest[route] = (second, event)
        return event

    def _make(self, route: str | None) -> str:
        plane, meter = self._plane, self._plane.meter
        texts, tokens = plane.waiting
        routing = plane.routing
        recent = meter.last(LATENCY_SECONDS)
        frame = {
            "ready": plane.ready,
            "mark": mark(plane),
            "broken": len(routing.broken),
            "waiting": {"texts": texts, "tokens": tokens},
            "memory": memory(),
            "bases": [asdict(base) for base in plane.loaded()],
            "second": {"at": meter.second(), **asdict(meter.last(1, route))},
            "rate": _rates(meter.last(RATE_SECONDS, route)),
            "routes": {name: self._route(name, recent) for name in routing.served},
        }
        return _event("frame", frame)

    def _route(self, name: str, recent: Traffic) -> dict[str, Any]:
        meter = self._plane.meter
        minute = meter.last(LATENCY_SECONDS, name)
        return {
            "rate": meter.last(RATE_SECONDS, name).answered / RATE_SECONDS,
            "p50": minute.p50,
            "p95": minute.p95,
            "share": minute.answered / recent.answered if recent.answered else None,
            "failed": meter.last(WINDOW, name).failed,
        }


def mark(plane: DataPlane) -> str:
    """Return what changes whenever the routes that are served do."""
    routing = plane.routing
    counts = len(routing.served), len(routing.canaries), len(routing.broken)
    return ".".join(map(str, (routing.version, *counts)))


def memory() -> int | None:
    """Return the bytes of memory that this process holds, or None where nobody says."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return None
    import resource

    return pages * resource.getpagesize()


def _rates(traffic: Traffic) -> dict[str, float]:
    return {
        "answered": traffic.answered / RATE_SECONDS,
        "texts": traffic.texts / RATE_SECONDS,
        "failed": traffic.failed / RATE_SECONDS,
    }


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
