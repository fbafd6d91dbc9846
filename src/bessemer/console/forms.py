"""What a page sends: a form, or JSON of its script, read with a bound."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from bessemer.core.errors import RequestError, TooLargeError

#: Of a whole form; a character may take up to 12.
MOST_FORM_BYTES = 262_144

Sent = TypeVar("Sent", bound=BaseModel)


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        TooLargeError: It is over the limit.
        RequestError: It is no form.
    """
    body = await _bounded(request)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=9)
    except ValueError as error:
        raise RequestError(f"The form cannot be read: {error}.") from error
    return dict(fields)


async def sent(request: Request, model: type[Sent]) -> Sent:
    """Return what a page's script sends.

    Raises:
        TooLargeError: It is over the limit.
        RequestError: It is not what `model` describes.
    """
    try:
        return model.model_validate_json(await _bounded(request))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise RequestError(f"{where}: {first['msg']}.") from error


async def _bounded(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM_BYTES:
            raise TooLargeError(f"The form has more than {MOST_FORM_BYTES:,} bytes.")
    return body
