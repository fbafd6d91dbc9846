"""Errors as HTTP answers: `{"error": …, "error_type": …}` with the right status."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from bessemer.core import errors

_log = logging.getLogger(__name__)

#: The first class that fits decides.
STATUS: tuple[tuple[type[errors.BessemerError], int], ...] = (
    (errors.AuthenticationError, 401),
    (errors.ForbiddenError, 403),
    (errors.UnknownNameError, 404),
    (errors.ConflictError, 409),
    (errors.TooLargeError, 413),
    (errors.UserError, 400),
    (errors.StorageError, 507),
    (errors.OverloadedError, 429),
    (errors.DeadlineError, 504),
    (errors.OperatorError, 503),
    (errors.BessemerError, 500),
)


def answer(error: errors.BessemerError) -> JSONResponse:
    """Return the answer that tells of an error."""
    status = next(code for kind, code in STATUS if isinstance(error, kind))
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 503:
        headers["Retry-After"] = "1"
    if isinstance(error, errors.OverloadedError):
        headers["Retry-After"] = str(math.ceil(error.seconds))
        headers["retry-after-ms"] = str(math.ceil(error.seconds * 1000))
    return JSONResponse(body(str(error), type(error).__name__), status, headers)


def body(message: str, kind: str) -> dict[str, Any]:
    """Return the one shape of an error."""
    return {"error": message, "error_type": kind}


async def on_bessemer_error(_: Request, error: Exception) -> JSONResponse:
    """Answer an error raised on purpose."""
    assert isinstance(error, errors.BessemerError)
    return answer(error)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework itself refuses: no such address, no such method."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}."
    return JSONResponse(body(message, "RequestError"), error.status_code, error.headers)


async def on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Answer a parameter of the address that is not of its form."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    shown = repr(first.get("input"))[:80]
    return JSONResponse(body(f"{place}: {first['msg']} (found {shown}).", "RequestError"), 400)


async def on_bug(_: Request, error: Exception) -> JSONResponse:
    """Answer everything else without telling what it was; the log has it."""
    _log.error("unexpected", exc_info=error)
    message = "The server met an unexpected error; its log says which."
    return JSONResponse(body(message, "InternalError"), 500)
