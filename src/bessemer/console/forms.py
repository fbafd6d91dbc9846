"""What a page sends: a form, read with a bound."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

from bessemer.core.errors import RequestError, TooLargeError

#: Of a whole form; a character may take up to 12.
MOST_FORM_BYTES = 262_144


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        TooLargeError: It is over the limit.
        RequestError: It is no form.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM_BYTES:
            raise TooLargeError(f"The form has more than {MOST_FORM_BYTES:,} bytes.")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=9)
    except ValueError as error:
        raise RequestError(f"The form cannot be read: {error}.") from error
    return dict(fields)
