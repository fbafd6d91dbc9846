"""A server process: listen, say so, serve, and on SIGTERM finish what is in hand."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import signal
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bessemer.core.errors import OperatorError, PortTakenError, needs
from bessemer.core.records import NewKey
from bessemer.http.app import guarded
from bessemer.http.metrics import Metrics
from bessemer.service.platform import Platform

if TYPE_CHECKING:
    from bessemer.http.grpc.server import Server

#: Seconds that requests in hand are given to finish after SIGTERM.
DRAIN_SECONDS = 30
#: Seconds that connections on which nothing comes are left open after SIGTERM.
LINGER_SECONDS = 2.0
#: Of request line and headers; a head that is longer is not answered.
MOST_HEAD_BYTES = 65_536
#: Seconds in which a head must be there.
HEAD_SECONDS = 10.0
#: Seconds in which a body must be there, and how fast it must come where it takes longer.
BODY_SECONDS = 30.0
LEAST_BYTES_A_SECOND = 16_384
#: More connections at a time are answered with 503.
MOST_CONNECTIONS = 1000


class _Settings(uvicorn.Config):
    """Uvicorn's configuration, and whether the server is ending."""

    draining = False


class _Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with bounds on how long and how slow a request may come.

    A request comes in two stages, head and body; between requests nothing should come. Nobody
    has shown a key while a head comes, so a connection is closed without a word.
    """

    config: _Settings
    #: Seconds that the stage may take before its first bytes earn more, or None for any time.
    _seconds: float | None = None
    _most_bytes: float = MOST_HEAD_BYTES
    _bytes = 0
    #: Counts stages, so that a timer knows whether it is of this one.
    _stage = 0
    _timed = 0
    _since = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._enter(HEAD_SECONDS, MOST_HEAD_BYTES)
        self._time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse; a request that comes whole in one piece needs no timer."""
        stage = self._stage
        self._bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._bytes > self._most_bytes:
            self.transport.close()
            return
        idle = self._seconds is None and (self.cycle is None or self.cycle.response_complete)
        if stage == self._stage and idle:
            # Bytes of no request: they must become one in time.
            self._enter(HEAD_SECONDS, MOST_HEAD_BYTES)
        if self._timed != self._stage:
            self._time()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._enter(HEAD_SECONDS, MOST_HEAD_BYTES)

    def on_headers_complete(self) -> None:
        """Begin a body, whose size the guard bounds."""
        super().on_headers_complete()
        if self.config.draining:
            self.cycle.keep_alive = False
        self._enter(BODY_SECONDS, math.inf)

    def on_message_complete(self) -> None:
        """Expect nothing for now."""
        super().on_message_complete()
        self._enter(None, MOST_HEAD_BYTES)

    def _enter(self, seconds: float | None, most_bytes: float) -> None:
        self._stage += 1
        self._seconds, self._most_bytes, self._bytes = seconds, most_bytes, 0

    def _time(self) -> None:
        """Begin to measure the stage's time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed, self._since = self._stage, self.loop.time()
        if self._seconds is not None:
            self._timer = self.loop.call_later(self._seconds, self._late)

    def _late(self) -> None:
        """Hang up, unless enough has come meanwhile, or it is the server that does not read."""
        assert self._seconds is not None
        left = self._since + self._seconds + self._bytes / LEAST_BYTES_A_SECOND - self.loop.time()
        if self.flow.read_paused:
            left = self._seconds
        if left > 0:
            self._timer = self.loop.call_later(left, self._late)
        else:
            self.transport.abort()


class _Server(uvicorn.Server):
    """Uvicorn that refuses new requests before it stops to listen, and gRPC beside it."""

    config: _Settings
    on_ready: Callable[[], None]
    on_signal: Callable[[], None]
    grpc: Server | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so: from here on a signal drains."""
        if self.grpc is not None:
            await self.grpc.start()
        await super().startup(sockets)
        self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and finish what is in hand."""
        doors = [self._drain(sockets or [])]
        if self.grpc is not None:
            doors.append(self.grpc.stop(DRAIN_SECONDS))
        await asyncio.gather(*doors)

    async def _drain(self, sockets: list[socket.socket]) -> None:
        """Answer what still comes over open connections, and let each end with its answer.

        Who holds one may be about to send its next request: to close it at once would fail that.
        """
        self.config.draining = True
        for bound in sockets:
            await self._accept_waiting(bound)
        for server in self.servers:
            server.close()
        for bound in sockets:
            bound.close()
        loop = asyncio.get_running_loop()
        ends = loop.time() + LINGER_SECONDS
        while self.server_state.connections and not self.force_exit and loop.time() < ends:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _accept_waiting(self, bound: socket.socket) -> None:
        """Take the connections that the system has accepted: to close the socket resets them."""
        bound.setblocking(False)
        while True:
            try:
                connection, _ = bound.accept()
            except OSError:  # nobody waits
                return
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Protocol(self.config, self.server_state, self.lifespan.state), connection
            )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT, and unlike uvicorn do not raise them again at the end.

        The process must live on to drain the journal.
        """
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: object) -> None:
        """Become unready at the first signal."""
        self.on_signal()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def listen(host: str, port: int, option: str = "--port", *, shared: bool = False) -> socket.socket:
    """Return a socket bound to an address; port 0 takes a free one.

    Args:
        host: A name or an address of this machine.
        port: Its port.
        option: By which the port was chosen.
        shared: Whether other processes of the same user may share it (SO_REUSEPORT). Then
            nothing comes in before the server is ready, since another one may be.

    Raises:
        PortTakenError: Another process listens there.
        OperatorError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        if not shared:
            bound.listen(2048)
    except (OSError, OverflowError) as error:
        bound.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"Port {port} of {host} is in use by another process.",
                remedy=f"Stop that one, or choose another with {option} (0 takes a free one).",
            ) from error
        raise OperatorError(
            f"The address {host}:{port} cannot be listened on: {error}.",
            remedy=f"Choose another with --host and {option}.",
        ) from error
    return bound


def settings(app: ASGIApp) -> _Settings:
    """Return how an application is served."""
    return _Settings(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        http=_Protocol,
        limit_concurrency=MOST_CONNECTIONS,
    )


def serve(
    platform: Platform,
    bound: socket.socket,
    announce: Callable[[NewKey | None], None],
    grpc: socket.socket | None,
    policy: str,
) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT.

    Args:
        platform: What is served.
        bound: From `listen`.
        announce: Is called once requests are taken, with the first owner's key if there was
            none before.
        grpc: Where to serve gRPC as well, from `listen`, or None.
        policy: See `Platform.serving`.
    """
    serving = platform.serving(policy)
    if grpc is not None:
        with needs("serve"):
            from bessemer.http.grpc.server import Server, Service
    first = platform.keys.first()
    serving.start()
    try:
        metrics = Metrics(serving.plane)
        server = _Server(settings(guarded(platform, serving.plane, metrics)))
        if grpc is not None:
            server.grpc = Server(Service(platform, serving.plane, metrics), grpc)
        server.on_ready = lambda: announce(first)
        server.on_signal = serving.plane.drain
        server.run(sockets=[bound])
    finally:
        serving.stop()
        platform.jobs.close()
