"""A load generator in a process of its own: requests over HTTP/1.1 connections that stay open.

    python -m bench.load <plan.json> <found.json>

Without due times it is a closed loop: each connection sends its next request when the last one
is answered, so that the server sets the pace. With due times it is an open loop: each request
leaves when it is due however slow the server is, and its latency begins there, not when it was
sent (Tene, "How NOT to measure latency"). Raw sockets, since the generator shares the machine
with what it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httptools

from bench.base import ROOT

#: Seconds that answers are waited for after the last request was due, or of a closed loop in all.
PATIENCE, CLOSED_LOOP = 10.0, 300.0


@dataclass(frozen=True)
class Plan:
    """What is sent. `due` gives each request's time in seconds from the start."""

    #: As `http://127.0.0.1:8080`.
    url: str
    headers: dict[str, str]
    #: Path and body of each, in the order in which they are sent.
    requests: list[tuple[str, str]]
    connections: int
    due: list[float] | None = None


@dataclass(frozen=True)
class Found:
    """What came back. The lists are in the order of the plan's requests."""

    #: From the start to the last answer.
    seconds: float
    #: CPU-seconds of the generator.
    cpu: float
    #: HTTP status; 0 where the connection broke or no answer came in time.
    statuses: list[int]
    bodies: list[str]
    #: Seconds from when a request was due, or sent in a closed loop, until it was answered, or
    #: until it was given up.
    latencies: list[float]
    #: Seconds that the generator was late.
    lags: list[float]

    @property
    def failed(self) -> int:
        """Return how many were not answered with 200."""
        return sum(status != 200 for status in self.statuses)


def apply(plan: Plan) -> Found:
    """Send what is planned from another process and return what came back."""
    with tempfile.TemporaryDirectory() as folder:
        planned, found = Path(folder, "plan.json"), Path(folder, "found.json")
        planned.write_text(json.dumps(asdict(plan)), encoding="utf-8")
        command = [sys.executable, "-m", "bench.load", planned, found]
        subprocess.run(command, cwd=ROOT, check=True)
        return Found(**json.loads(found.read_text(encoding="utf-8")))


class _Connection(asyncio.Protocol):
    """A connection, which carries one request at a time."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._number: int | None = None
        self._body = bytearray()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.free(self)

    def send(self, number: int, request: bytes) -> None:
        assert self._transport is not None
        self._number = number
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        number, body = self._number, self._body.decode("utf-8", "replace")
        assert number is not None
        self._number, self._body = None, bytearray()
        self._load.answered(number, self._parser.get_status_code(), body)
        if self._parser.should_keep_alive():
            self._load.free(self)
        else:
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._number is not None:
            self._load.answered(self._number, 0, f"the connection broke: {error}")
        if self in self._load.idle:
            self._load.idle.remove(self)
        self._load.open()


class _Load:
    """A plan under way. Must be made inside a running event loop."""

    def __init__(self, plan: Plan) -> None:
        self._loop = asyncio.get_running_loop()
        self._address = urlsplit(plan.url)
        self._connections = plan.connections
        lines = "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
        self._requests = []
        for path, text in plan.requests:
            body = text.encode()
            head = f"POST {path} HTTP/1.1\r\nHost: {self._address.netloc}\r\n{lines}"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            self._requests.append(head.encode() + body)
        count = len(plan.requests)
        self._due = plan.due
        self.began = 0.0
        #: When a request's latency begins.
        self._starts = [0.0] * count
        self._left = count
        self._opening: set[asyncio.Task[None]] = set()
        #: Requests that could be sent; in an open loop those are due.
        self._ready: deque[int] = deque()
        #: Those that have been idle longest are taken first, so that all processes of a server
        #: that has several get their part.
        self.idle: deque[_Connection] = deque()
        self._ended = self._loop.create_future()
        self.statuses, self.bodies = [0] * count, [""] * count
        self.latencies, self.lags = [0.0] * count, [0.0] * count

    async def run(self) -> None:
        """Open all connections, then send; return when all is answered or given up."""
        for _ in range(self._connections):
            self.open()
        await asyncio.gather(*self._opening)
        if self._ended.done():
            await self._ended  # nobody listens
        self.began = self._loop.time()
        if self._due is None:
            self._ready.extend(range(self._left))
            self._send()
        else:
            await self._send_when_due(self._due)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended, PATIENCE if self._due else CLOSED_LOOP)
        now = self._loop.time()
        for number, status in enumerate(self.statuses):
            if not status and not self.bodies[number]:
                self.bodies[number] = "no answer in time"
                self.latencies[number] = now - self._starts[number]

    def open(self) -> None:
        """Begin to open a connection, unless everything is over."""
        if self._left:
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        host, port = self._address.hostname, self._address.port
        try:
            await self._loop.create_connection(lambda: _Connection(self), host, port)
        except OSError as error:
            self._ended.set_exception(error)

    async def _send_when_due(self, due: list[float]) -> None:
        for number, seconds in enumerate(due):
            start = self._starts[number] = self.began + seconds
            wait = start - self._loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            self.lags[number] = self._loop.time() - start
            self._ready.append(number)
            self._send()

    def free(self, connection: _Connection) -> None:
        """Let a connection carry the next request."""
        self.idle.append(connection)
        if self.began:
            self._send()

    def _send(self) -> None:
        while self._ready and self.idle:
            number = self._ready.popleft()
            if self._due is None:
                self._starts[number] = self._loop.time()
            self.idle.popleft().send(number, self._requests[number])

    def answered(self, number: int, status: int, body: str) -> None:
        """Note the end of a request."""
        self.latencies[number] = self._loop.time() - self._starts[number]
        self.statuses[number], self.bodies[number] = status, body
        self._left -= 1
        if not self._left:
            self._ended.set_result(None)


async def _run(plan: Plan) -> Found:
    load = _Load(plan)
    cpu = time.process_time()
    await load.run()
    return Found(
        asyncio.get_running_loop().time() - load.began,
        time.process_time() - cpu,
        load.statuses,
        load.bodies,
        load.latencies,
        load.lags,
    )


def main() -> None:
    planned, target = map(Path, sys.argv[1:])
    plan = Plan(**json.loads(planned.read_text(encoding="utf-8")))
    gc.disable()
    # It stands for other machines, so it must not wait for the server it measures.
    with contextlib.suppress(PermissionError):
        os.nice(-10)
    # Of the selectors only select() waits for less than whole milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    found = loop.run_until_complete(_run(plan))
    target.write_text(json.dumps(asdict(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
