"""What every request passes before any route: a valid key, and a bound on its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bessemer.core.errors import BessemerError, ForbiddenError, TooLargeError
from bessemer.http.errors import answer
from bessemer.serve.dataplane import DataPlane

MOST_BODY_BYTES = 1_048_576
#: Only owners may do anything under these.
CONTROL = ("/api/", "/v2/repository/models/")
#: What the other roles may do, and nothing else.
MAY = {"caller": "predict", "annotator": "label in the console"}
#: Bodies under this are written to disk as they come and have a bound of their own.
UPLOADS = "/api/v1/files/"


class Guard:
    """Refuses a request without a key that may make it, whatever its address.

    What comes behind it finds the key's id and the headers in the scope's state.
    """

    def __init__(self, app: ASGIApp, plane: DataPlane) -> None:
        self._app = app
        self._plane = plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and pass on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        state = scope.setdefault("state", {})
        state["headers"] = headers
        try:
            authorization = headers.get(b"authorization")
            header = authorization.decode("latin-1") if authorization else None
            control = scope["path"].startswith(CONTROL)
            state["key"] = admit(self._plane, header, control=control)
            if not scope["path"].startswith(UPLOADS):
                receive = _bounded(receive, headers.get(b"content-length"))
        except BessemerError as error:
            await answer(error, scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)


def admit(plane: DataPlane, authorization: str | None, *, control: bool) -> str:
    """Return the id of the key that a request brings, to do what only owners may if `control`.

    Raises:
        AuthenticationError: There is no valid key.
        ForbiddenError: It is not an owner's, or one that may only label.
    """
    key, state = plane.authenticate(authorization)
    if state.role == "owner" or (state.role == "caller" and not control):
        return key
    raise ForbiddenError(
        f"The key {key!r} has the role {state.role!r}, which may only {MAY[state.role]}.",
        remedy="Use an owner's key." if control else "Use a caller's key, or an owner's.",
    )


def _bounded(receive: Receive, length: bytes | None) -> Receive:
    """Return `receive` with a bound on the bytes that come through it, declared or not."""
    if length is not None and length.isdigit() and int(length) > MOST_BODY_BYTES:
        raise too_large(int(length))
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BODY_BYTES:
            raise too_large(seen)
        return message

    return bounded


def too_large(size: int) -> TooLargeError:
    """Return the error of a body of at least so many bytes."""
    return TooLargeError(
        f"The request's body has {size:,} bytes or more.",
        remedy=f"Send at most {MOST_BODY_BYTES:,}; split the texts over several requests.",
    )
