"""Errors as HTTP answers, with the right status, in the shape that the address's clients read."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bessemer.core import errors

_log = logging.getLogger(__name__)

#: Each error's status over HTTP and over gRPC; the first class that fits decides.
STATUS: tuple[tuple[type[errors.BessemerError], int, str], ...] = (
    (errors.AuthenticationError, 401, "UNAUTHENTICATED"),
    (errors.ForbiddenError, 403, "PERMISSION_DENIED"),
    (errors.UnknownNameError, 404, "NOT_FOUND"),
    (errors.ConflictError, 409, "FAILED_PRECONDITION"),
    (errors.TooLargeError, 413, "INVALID_ARGUMENT"),
    (errors.UserError, 400, "INVALID_ARGUMENT"),
    (errors.StorageError, 507, "INTERNAL"),
    (errors.OverloadedError, 429, "RESOURCE_EXHAUSTED"),
    (errors.DeadlineError, 504, "DEADLINE_EXCEEDED"),
    (errors.OperatorError, 503, "UNAVAILABLE"),
    (errors.BessemerError, 500, "INTERNAL"),
)
#: What is told of an error that nobody raised on purpose; the log has the rest.
BUG = "The server met an unexpected error; its log says which."
#: Asking again may help after these, and only these.
PASSING = (429, 503, 504)
#: Under this, errors have OpenAI's shape, whose `type` is one of these; of other statuses it
#: follows from whose fault it is.
OPENAI = "/v1/"
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def statuses(error: errors.BessemerError) -> tuple[int, str]:
    """Return an error's status over HTTP and over gRPC."""
    return next((http, grpc) for kind, http, grpc in STATUS if isinstance(error, kind))


def answer(error: errors.BessemerError, path: str) -> JSONResponse:
    """Return the answer that tells of an error at an address."""
    status, _ = statuses(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 503:
        headers["Retry-After"] = "1"
    if isinstance(error, errors.OverloadedError):
        headers["Retry-After"] = str(math.ceil(error.seconds))
        headers["retry-after-ms"] = str(math.ceil(error.seconds * 1000))
    return told(path, status, str(error), type(error).__name__, headers)


def told(
    path: str, status: int, message: str, kind: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an error's answer: its message, and its kind for programs."""
    body: dict[str, Any] = {"error": message, "error_type": kind}
    if path.startswith(OPENAI):
        fault = "server_error" if status >= 500 else "invalid_request_error"
        named = {"type": TYPES.get(status, fault), "param": None, "code": kind}
        body = {"error": {"message": message, **named}}
    retry = {"x-should-retry": "true" if status in PASSING else "false"}
    return JSONResponse(body, status, {**(headers or {}), **retry})


async def on_bessemer_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an error raised on purpose."""
    assert isinstance(error, errors.BessemerError)
    return answer(error, request.scope["path"])


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework itself refuses: no such address, no such method."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    message = f"{request.method} {path}: {error.detail}."
    return told(path, error.status_code, message, "RequestError", error.headers)


async def on_invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer a parameter of the address that is not of its form."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    shown = repr(first.get("input"))[:80]
    message = f"{place}: {first['msg']} (found {shown})."
    return told(request.scope["path"], 400, message, "RequestError")


async def on_disconnect(request: Request, error: Exception) -> JSONResponse:
    """Answer nobody: the client hung up before its body was whole."""
    assert isinstance(error, ClientDisconnect)
    message = "The client hung up before its request was whole."
    return told(request.scope["path"], 400, message, "RequestError")


async def on_bug(request: Request, error: Exception) -> JSONResponse:
    """Answer everything else without telling what it was; the log has it."""
    _log.error("unexpected", exc_info=error)
    return told(request.scope["path"], 500, BUG, "InternalError")
