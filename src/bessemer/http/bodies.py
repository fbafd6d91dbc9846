"""What the data plane's routes share: bodies parsed strictly, headers that name the call."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from bessemer.core.errors import RequestError
from bessemer.serve.answers import Answer

#: Most answers are there sooner; for the others it is worth asking whether someone waits.
PATIENCE_SECONDS = 0.1

Body = TypeVar("Body", bound=BaseModel)


async def parse(request: Request, model: type[Body]) -> Body:
    """Return the JSON body as a `model`.

    Raises:
        RequestError: It is no JSON, or not of that shape.
    """
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        shown = repr(first["input"])[:80]
        raise RequestError(
            f"{place}: {first['msg']} (found {shown}).",
            remedy=f"It takes {', '.join(model.model_fields)}.",
        ) from error


async def unless_gone(request: Request, answer: Coroutine[Any, Any, Answer]) -> Answer:
    """Return what the data plane answers; if the client hangs up, let it answer nothing.

    Raises:
        RequestError: Nobody waits any more.
    """
    task = asyncio.ensure_future(answer)
    try:
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if not done:
            # The body was read to its end: what comes now is that the client is gone.
            gone = asyncio.ensure_future(request.receive())
            try:
                await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
        if not task.done():
            raise RequestError("The client hung up before its answer was there.")
        return await task
    finally:
        task.cancel()


def headers(answer: Answer) -> dict[str, str]:
    """Return the headers that name the call, for feedback on it, and the release."""
    return {"X-Call-Id": answer.call, "X-Release": answer.release}
