"""English and Chinese: which one a reader wants, and what the console says in it."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml
from starlette.requests import HTTPConnection

from bessemer.core.language import LANGUAGES, Messages

#: The cookie that holds the reader's choice.
COOKIE = "bessemer_language"


@cache
def messages() -> Messages:
    """Return every message in each language."""
    text = resources.files("bessemer.console").joinpath("messages.yaml").read_text("utf-8")
    return Messages(yaml.safe_load(text))


def chosen(request: HTTPConnection) -> str:
    """Return the language of a request's reader: the cookie's, else the browser's."""
    cookie = request.cookies.get(COOKIE, "")
    if cookie in LANGUAGES:
        return cookie
    wanted: list[tuple[float, str]] = []
    for part in request.headers.get("accept-language", "").split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((float(quality or 1), name.partition("-")[0].lower()))
        except ValueError:
            continue
    known = [(quality, name) for quality, name in wanted if name in LANGUAGES and quality > 0]
    return max(known, key=lambda found: found[0])[1] if known else next(iter(LANGUAGES))
