"""A server process: listen, say so, serve, and on SIGTERM finish what is in hand."""

from __future__ import annotations

import contextlib
import errno
import math
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bessemer.core.errors import OperatorError, PortTakenError
from bessemer.core.records import NewKey
from bessemer.http.app import guarded
from bessemer.service.platform import Platform

#: Seconds that requests in hand are given to finish after SIGTERM.
DRAIN_SECONDS = 30
#: Of request line and headers; a head that is longer is not answered.
MOST_HEAD_BYTES = 65_536
#: More connections at a time are answered with 503.
MOST_CONNECTIONS = 1000


class _Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with a bound on request line and headers, which it lacks."""

    #: Bytes since the last message; none are counted while a body comes.
    _unfinished: float = 0

    def data_received(self, data: bytes) -> None:
        """Parse, and hang up on a head that does not end; nobody has shown a key yet."""
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Begin to count anew: what follows is the body, which the guard bounds."""
        super().on_headers_complete()
        self._unfinished = -math.inf

    def on_message_complete(self) -> None:
        """Begin to count the next head."""
        super().on_message_complete()
        self._unfinished = 0


class _Server(uvicorn.Server):
    """Uvicorn that refuses new requests before it stops to listen."""

    on_ready: Callable[[], None]
    on_signal: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so: from here on a signal drains."""
        await super().startup(sockets)
        self.on_ready()

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


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 takes a free one.

    Raises:
        PortTakenError: Another process listens there.
        OperatorError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except (OSError, OverflowError) as error:
        bound.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"Port {port} of {host} is in use by another process.",
                remedy="Stop that one, or choose another with --port (0 takes a free one).",
            ) from error
        raise OperatorError(
            f"The address {host}:{port} cannot be listened on: {error}.",
            remedy="Choose another with --host and --port.",
        ) from error
    return bound


def serve(
    platform: Platform, bound: socket.socket, announce: Callable[[NewKey | None], None]
) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT.

    Args:
        platform: What is served.
        bound: From `listen`.
        announce: Is called once requests are taken, with the first owner's key if there was
            none before.
    """
    first = platform.keys.first()
    serving = platform.serving()
    serving.start()
    try:
        config = uvicorn.Config(
            guarded(platform, serving.plane),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            http=_Protocol,
            limit_concurrency=MOST_CONNECTIONS,
        )
        server = _Server(config)
        server.on_ready = lambda: announce(first)
        server.on_signal = serving.plane.drain
        server.run(sockets=[bound])
    finally:
        serving.stop()
        platform.jobs.close()
