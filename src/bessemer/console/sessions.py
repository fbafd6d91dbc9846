"""Who is logged in: a key, shown once, becomes a session that the server remembers."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bessemer.core.errors import AuthenticationError, ForbiddenError, OverloadedError
from bessemer.core.records import Role
from bessemer.serve.dataplane import DataPlane

#: The cookie that holds a session's id.
COOKIE = "bessemer_session"
#: Eight hours, a working day.
SESSION_SECONDS = 8 * 3600
#: Whose keys log in.
ROLES = ("owner", "annotator")
#: One more ends the oldest.
MOST_SESSIONS = 1000
#: Failed attempts from one address within a minute; after them it has to wait.
MOST_FAILURES = 10
FAILURE_SECONDS = 60.0


@dataclass(frozen=True)
class Session:
    """One log-in."""

    #: 256 random bits; the cookie's value.
    id: str
    #: Id of the key that was shown.
    key: str
    #: The key's; an annotator's session opens one room.
    role: Role
    #: By the sessions' clock.
    ends: float


class Sessions:
    """The sessions of one server, in its memory: another process knows others.

    Args:
        plane: Knows the valid keys.
        clock: Seconds that never go back.
    """

    def __init__(self, plane: DataPlane, clock: Callable[[], float] = time.monotonic) -> None:
        self._plane = plane
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._failures: deque[tuple[float, str]] = deque(maxlen=1000)

    def begin(self, secret: str, address: str) -> Session:
        """Return a new session for whoever shows an owner's key, or an annotator's.

        Args:
            secret: The whole key.
            address: Where the attempt comes from.

        Raises:
            AuthenticationError: The key is not valid.
            ForbiddenError: It may only predict.
            OverloadedError: Too many attempts from this address have failed.
        """
        now = self._clock()
        while self._failures and self._failures[0][0] < now - FAILURE_SECONDS:
            self._failures.popleft()
        failed = [at for at, who in self._failures if who == address]
        if len(failed) >= MOST_FAILURES:
            left = failed[0] + FAILURE_SECONDS - now
            raise OverloadedError("Too many attempts to log in have failed.", seconds=left)
        try:
            key, state = self._plane.authenticate(f"Bearer {secret}")
        except AuthenticationError:
            self._failures.append((now, address))
            raise
        if state.role not in ROLES:
            raise ForbiddenError(f"The key {key!r} may only predict.", remedy="Use an owner's key.")
        session = Session(secrets.token_urlsafe(32), key, state.role, now + SESSION_SECONDS)
        self._sessions = {s.id: s for s in self._sessions.values() if self.alive(s)}
        if len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str | None) -> Session | None:
        """Return the session with an id, unless it has ended."""
        session = self._sessions.get(session_id or "")
        return session if session is not None and self.alive(session) else None

    def alive(self, session: Session) -> bool:
        """Return whether a session goes on: in time, not logged out, its key still what it was."""
        state = self._plane.routing.keys.get(session.key)
        return (
            session.id in self._sessions
            and self._clock() < session.ends
            and state is not None
            and state.role == session.role
        )

    def end(self, session: Session) -> None:
        """Log out."""
        self._sessions.pop(session.id, None)
