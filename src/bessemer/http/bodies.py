"""What the data plane's addresses share: bodies read and parsed strictly, answers written."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from bessemer.core.errors import RequestError
from bessemer.http.middleware import MOST_BODY_BYTES, too_large
from bessemer.serve.answers import Answer, Embedded

#: Most answers are there sooner; for the others it is worth asking whether someone waits.
PATIENCE_SECONDS = 0.1
#: Of the header that keeps a caller to one release.
MOST_STICKY_BYTES = 256
#: What zlib calls the encodings that a body may have.
WINDOW_BITS = {b"gzip": 31, b"deflate": 15}


class Strict(BaseModel):
    """A body: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class Json(Response):
    """JSON of anything that pydantic can write."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return to_json(content)


Body = TypeVar("Body", bound=BaseModel)
Answered = TypeVar("Answered")


def header(request: Request, name: bytes) -> bytes | None:
    """Return a header by its name in small letters, from what the guard has read."""
    value: bytes | None = request.scope["state"]["headers"].get(name)
    return value


def key(request: Request) -> str:
    """Return the id of the key that the guard has found."""
    found: str = request.scope["state"]["key"]
    return found


async def content(request: Request) -> bytes:
    """Return the whole body, decompressed.

    Raises:
        RequestError: It ends too early, or is not compressed as it says.
        TooLargeError: It is over the limit; it is not decompressed further than that.
    """
    parts: list[bytes] = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise RequestError("The client hung up before its request was whole.")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    encoding = header(request, b"content-encoding")
    return body if encoding is None else _decompressed(body, encoding.strip().lower())


def _decompressed(body: bytes, encoding: bytes) -> bytes:
    if encoding == b"identity":
        return body
    if encoding not in WINDOW_BITS:
        raise RequestError(
            f"The body's encoding is {encoding.decode('latin-1')!r}.",
            remedy="Send it as gzip, as deflate, or as it is.",
        )
    stream = zlib.decompressobj(WINDOW_BITS[encoding])
    try:
        whole = stream.decompress(body, MOST_BODY_BYTES + 1)
    except zlib.error as error:
        raise RequestError(f"The body is no {encoding.decode()}: {error}.") from error
    if len(whole) > MOST_BODY_BYTES:
        raise too_large(len(whole))
    if not stream.eof or stream.unused_data:
        where = "goes on after" if stream.eof else "ends before"
        raise RequestError(f"The body {where} the end of its {encoding.decode()} data.")
    return whole


async def parse(request: Request, model: type[Body]) -> Body:
    """Return the JSON body as a `model`; see `content` and `validated`."""
    return validated(await content(request), model)


def validated(body: bytes | dict[str, Any], model: type[Body]) -> Body:
    """Return JSON, or what was read of another encoding, as a `model`.

    Raises:
        RequestError: It is no JSON, or not of that shape.
    """
    try:
        if isinstance(body, dict):
            return model.model_validate(body)
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        shown = repr(first["input"])[:80]
        raise RequestError(
            f"{place}: {first['msg']} (found {shown}).",
            remedy=f"It takes {', '.join(model.model_fields)}.",
        ) from error


def deadline(request: Request) -> float | None:
    """Return in how many seconds the answer is of no use any more, or None.

    Raises:
        RequestError: The header holds no number of milliseconds.
    """
    value = header(request, b"x-request-timeout-ms")
    if value is None:
        return None
    if not (value.isdigit() and len(value) < 10 and int(value)):
        raise RequestError(
            f"X-Request-Timeout-Ms is {value.decode('latin-1')!r}.",
            remedy="Send a whole number of milliseconds, at least 1.",
        )
    return int(value) / 1000


def sticky(request: Request) -> str | None:
    """Return what tells the caller's own users apart where a canary takes a share, or None.

    Raises:
        RequestError: The header is longer than `MOST_STICKY_BYTES`.
    """
    value = header(request, b"x-sticky-key")
    if value is None:
        return None
    if len(value) > MOST_STICKY_BYTES:
        raise RequestError(
            f"X-Sticky-Key has {len(value)} bytes.", remedy=f"Send at most {MOST_STICKY_BYTES}."
        )
    return value.decode("latin-1")


async def unless_gone(request: Request, answer: Awaitable[Answered]) -> Answered:
    """Return what the data plane answers; if the client hangs up, let it answer nothing.

    Raises:
        RequestError: Nobody waits any more.
    """
    task = asyncio.current_task()
    assert task is not None
    leaving: asyncio.Future[Any] | None = None
    waiting, left = True, False

    def watch() -> None:
        # The body was read to its end: what comes now is that the client is gone.
        nonlocal leaving
        leaving = asyncio.ensure_future(request.receive())
        leaving.add_done_callback(leave)

    def leave(_: object) -> None:
        nonlocal left
        if waiting:
            left = True
            task.cancel()

    timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, watch)
    try:
        return await answer
    except asyncio.CancelledError:
        if not left:
            raise
        task.uncancel()
        raise RequestError("The client hung up before its answer was there.") from None
    finally:
        waiting = False
        timer.cancel()
        if leaving is not None:
            leaving.cancel()


def headers(answer: Answer | Embedded, began: float) -> dict[str, str]:
    """Return the headers that name the call, for feedback on it, and tell its milliseconds.

    Args:
        answer: What is answered.
        began: When the request's handling began, by the performance counter.
    """
    timings = answer.timings
    return {
        "X-Call-Id": answer.call,
        "X-Release": answer.release,
        "X-Tokenization-Time": f"{timings.tokenising * 1000:.3f}",
        "X-Queue-Time": f"{timings.queue * 1000:.3f}",
        "X-Inference-Time": f"{timings.computing * 1000:.3f}",
        "X-Total-Time": f"{(time.perf_counter() - began) * 1000:.3f}",
    }
