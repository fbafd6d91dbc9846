"""What every request to the console passes: a session that may, the same origin, strict headers."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bessemer.console.sessions import COOKIE, Sessions
from bessemer.core.records import Role

#: All of the console's addresses begin with it.
CONSOLE = "/console"
LOGIN = f"{CONSOLE}/login"
LOGOUT = f"{CONSOLE}/logout"
STATIC = f"{CONSOLE}/static/"
#: All that an annotator may ask for beside the log-in; an owner may ask for everything.
ANNOTATORS = re.compile(rf"{CONSOLE}(/label(/[^/]+(/work(/\w+)?|/images/[^/]+)?)?)?")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": with it, browsers send the origin "null" with a form.
    "Referrer-Policy": "same-origin",
}


class Guard:
    """Refuses a request without a session, or for a room that its key may not enter.

    The log-in and static files are for everybody.

    What comes behind it finds the session in the scope's state.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and pass on."""
        request = HTTPConnection(scope)
        path = scope["path"]
        session = self._sessions.find(request.cookies.get(COOKIE))
        scope.setdefault("state", {})["session"] = session
        app = self._app
        if scope["method"] not in ("GET", "HEAD") and _foreign(request):
            app = PlainTextResponse("The request was not sent by a page of this console.", 403)
        elif session is None and path != LOGIN and not path.startswith(STATIC):
            app = _to_login(request)
        elif session is not None and not may(session.role, path):
            app = PlainTextResponse("This key may only label: go to /console/label.", 403)

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # A static file is asked for again by its tag; a page is nobody else's.
                cached = "no-cache" if path.startswith(STATIC) else "no-store"
                headers["Cache-Control"] = cached
            await send(message)

        await app(scope, receive, strict)


def may(role: Role, path: str) -> bool:
    """Return whether a role may ask for an address."""
    if role == "annotator":
        known = path in (LOGIN, LOGOUT) or path.startswith(STATIC)
        return known or ANNOTATORS.fullmatch(path) is not None
    return role == "owner"


def _foreign(request: HTTPConnection) -> bool:
    """Return whether a request that changes something comes from another site's page."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    # Browsers name the site on https and localhost only, but the origin everywhere.
    origin = request.headers.get("origin", "")
    return not origin or urlsplit(origin).netloc != request.headers.get("host")


def _to_login(request: HTTPConnection) -> Response:
    """Return the way to the log-in: for a page, for a part of a page, for anything else."""
    path = request.scope["path"]
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": LOGIN})
    if request.scope["method"] == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{LOGIN}?next={quote(path)}", 303)
    return PlainTextResponse("Log in first.", 401)
