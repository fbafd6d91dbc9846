"""Calls over gRPC: a key first, then the message, the rpc's answer or a status."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from typing import Any, NoReturn

import grpc

from bessemer.core.errors import (
    BessemerError,
    DeadlineError,
    OperatorError,
    OverloadedError,
    RequestError,
)
from bessemer.http.errors import BUG, statuses
from bessemer.http.grpc.messages import MESSAGES, SERVICE, Messages, parsed
from bessemer.http.grpc.rpcs import Rpc, Rpcs
from bessemer.http.metrics import Metrics
from bessemer.http.middleware import MOST_BODY_BYTES, admit
from bessemer.http.server import BODY_SECONDS, HEAD_SECONDS, MOST_CONNECTIONS
from bessemer.serve.dataplane import DataPlane
from bessemer.service.platform import Platform

#: Calls at a time on one connection; more wait.
MOST_STREAMS = 128
#: Calls at a time on all of them; more are answered with RESOURCE_EXHAUSTED.
MOST_CALLS = 1000
#: Of an error's message; gRPC's own bound on everything that ends a call is 8 KiB, and it may
#: write a byte as three.
MOST_DETAIL_BYTES = 2000

_MILLISECONDS = {
    "grpc.server_handshake_timeout_ms": int(HEAD_SECONDS * 1000),
    # A connection without calls is closed; clients open another one by themselves.
    "grpc.max_connection_idle_ms": 300_000,
    # Whether the client is still there is asked this often, and must be answered in time.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    # A client that asks the same more often is hung up on.
    "grpc.http2.min_ping_interval_without_data_ms": 10_000,
}
_OPTIONS = {
    **_MILLISECONDS,
    "grpc.keepalive_permit_without_calls": 1,
    # Of a message that comes compressed also when it no longer is.
    "grpc.max_receive_message_length": MOST_BODY_BYTES,
    "grpc.max_concurrent_streams": MOST_STREAMS,
    "grpc.max_allowed_incoming_connections": MOST_CONNECTIONS,
}

_log = logging.getLogger(__name__)


class Service:
    """What gRPC asks for the handler of each call.

    Every rpc takes one message. It is read here, not by gRPC, so that nobody without a key
    can make the server wait for one.
    """

    def __init__(self, platform: Platform, plane: DataPlane, metrics: Metrics) -> None:
        self._plane = plane
        self._metrics = metrics
        self._handlers = {
            f"/{SERVICE}/{name}": self._handler(rpc, MESSAGES[name])
            for name, rpc in Rpcs(platform, plane, metrics).table().items()
        }
        self._unknown = grpc.stream_unary_rpc_method_handler(self._refuse_unknown)

    def service(self, call: Any) -> Any:
        """Return the handler of a call's rpc, whichever that is."""
        return self._handlers.get(call.method, self._unknown)

    def _handler(self, rpc: Rpc, messages: Messages) -> Any:
        """Return the handler of an rpc: it answers with a message's bytes, or a status."""

        async def handle(_: Any, context: Any) -> bytes:
            counted = False
            try:
                key = self._admit(context, control=rpc.control)
                counted = rpc.counted
                request = parsed(await _message(context), messages.request)
                fields = await rpc.answer(request, key, context)
                answer: bytes = messages.response(**fields).SerializeToString()
            except Exception as error:
                if counted:
                    self._metrics.failed(_kind(error))
                await _refuse(context, error)
            return answer

        return grpc.stream_unary_rpc_method_handler(handle)

    async def _refuse_unknown(self, _: Any, context: Any) -> None:
        """Refuse an rpc that does not exist, and first of all a call without a key."""
        try:
            self._admit(context, control=False)
        except BessemerError as error:
            await _refuse(context, error)
        detail = f"There is no such rpc. {SERVICE} has: {', '.join(MESSAGES)}."
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, detail)

    def _admit(self, context: Any, *, control: bool) -> str:
        metadata = dict(context.invocation_metadata())
        return admit(self._plane, metadata.get("authorization"), control=control)


async def _message(context: Any) -> bytes:
    """Return a call's message.

    Raises:
        RequestError: There is none.
        DeadlineError: It is not there in time.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await context.read()
    except TimeoutError:
        raise DeadlineError(
            f"The message was not there after {BODY_SECONDS:g} seconds.",
            remedy="Send it at once.",
        ) from None
    if message is grpc.aio.EOF:
        raise RequestError("The call brings no message.", remedy="Send one.")
    return bytes(message)


def _kind(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, BessemerError) else "InternalError"


async def _refuse(context: Any, error: Exception) -> NoReturn:
    """End a call with the status that tells of an error."""
    if isinstance(error, BessemerError):
        _, status = statuses(error)
        detail = str(error)
    else:
        _log.error("unexpected", exc_info=error)
        status, detail = "INTERNAL", BUG
    told = [("error-type", _kind(error))]
    if isinstance(error, OverloadedError):
        told.append(("retry-after-ms", str(math.ceil(error.seconds * 1000))))
    detail = detail.encode()[:MOST_DETAIL_BYTES].decode(errors="ignore")
    await context.abort(grpc.StatusCode[status], detail, tuple(told))
    raise AssertionError("gRPC goes on after an abort")


class Server:
    """Serves gRPC in the event loop that starts it."""

    def __init__(self, service: Service, bound: socket.socket) -> None:
        self._service = service
        self._bound = bound
        self._server: Any = None

    async def start(self) -> None:
        """Take calls at the address of the bound socket, which is closed: gRPC takes none.

        Raises:
            OperatorError: Another process has taken the address just now.
        """
        host, port = self._bound.getsockname()[:2]
        shared = self._bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        options = {**_OPTIONS, "grpc.so_reuseport": shared}
        self._server = grpc.aio.server(
            handlers=[self._service],
            options=list(options.items()),
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        self._bound.close()
        name = f"[{host}]" if ":" in host else host
        try:
            self._server.add_insecure_port(f"{name}:{port}")
        except RuntimeError as error:
            raise OperatorError(
                f"gRPC cannot listen on {name}:{port}: {error}.",
                remedy="Start again, or choose another port with --grpc-port.",
            ) from error
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Take no more calls, and give those in hand some seconds to finish."""
        await self._server.stop(seconds)
