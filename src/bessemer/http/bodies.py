"""Request bodies: parsed strictly, refused with the place and the value."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from bessemer.core.errors import RequestError

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
