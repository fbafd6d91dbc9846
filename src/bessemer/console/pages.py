"""Pages: templates in the reader's language, with what every page shows around its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from bessemer.console import language
from bessemer.console.guard import CONSOLE, may
from bessemer.core.language import LANGUAGES
from bessemer.core.records import Role
from bessemer.core.report import ERRORS
from bessemer.core.version import VERSION

#: The cookie that holds light or dark, where the reader has chosen.
THEME = "bessemer_theme"
THEMES = ("light", "dark")


class Pages:
    """Renders templates.

    Args:
        rooms: Names of the rooms, in the order of the navigation; the messages name them.
    """

    def __init__(self, rooms: Sequence[str]) -> None:
        self._templates = Environment(
            loader=PackageLoader("bessemer.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "time": _time,
            "seconds": _seconds,
            "duration": _duration,
            "count": "{:,}".format,
            "fraction": _fraction,
            "signed": _signed,
            "warmth": _warmth,
        }
        self._templates.globals |= {"version": VERSION, "errors": ERRORS}
        self._rooms = tuple(rooms)

    def rooms(self, role: Role) -> list[str]:
        """Return the rooms that a role may enter."""
        return [room for room in self._rooms if may(role, f"{CONSOLE}/{room}")]

    def render(
        self, request: HTTPConnection, template: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Return a page, or a part of one.

        Args:
            request: Its reader's.
            template: File name.
            status: Of HTTP.
            values: What the template names.
        """
        tongue = language.chosen(request)
        theme = request.cookies.get(THEME)
        session = request.scope["state"]["session"]
        values |= {
            "t": partial(language.messages().say, tongue),
            "language": tongue,
            "lang": LANGUAGES[tongue],
            "languages": LANGUAGES,
            "theme": theme if theme in THEMES else "",
            "session": session,
            "rooms": self.rooms(session.role) if session else [],
            "path": request.scope["path"],
        }
        return HTMLResponse(self._templates.get_template(template).render(values), status)


def _time(at: datetime) -> Markup:
    """Return a moment in UTC, which the page's script puts into the reader's words."""
    utc = at.astimezone(UTC)
    written = f'<time datetime="{utc.isoformat()}">{utc:%Y-%m-%d %H:%M} UTC</time>'
    return Markup(written)


def _seconds(value: float) -> str:
    """Return seconds as milliseconds with three digits."""
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _duration(seconds: float) -> str:
    """Return seconds as people tell them, from milliseconds to hours."""
    if seconds < 60:
        return _seconds(seconds)
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _fraction(value: float | None) -> str:
    """Return a number of about 0 to 1 with two digits, or a dash."""
    return "–" if value is None else f"{value:.2f}"


def _signed(value: float) -> str:
    """Return a difference with its sign; the minus is not a hyphen."""
    return f"{value:+.3f}".replace("-", "−")


def _warmth(value: float | None) -> int:
    """Return which of five colours stands for a number up to 1."""
    return 0 if value is None else min(4, max(0, int(value * 5)))
