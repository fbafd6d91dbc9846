"""What the data plane's routes share: bodies parsed strictly, headers that name the call."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from bessemer.core.errors import RequestError
from bessemer.serve.dataplane import Answer

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


def headers(answer: Answer) -> dict[str, str]:
    """Return the headers that name the call, for feedback on it, and the release."""
    return {"X-Call-Id": answer.call, "X-Release": answer.release}
