"""English and Chinese: which one a reader wants, and what each message is in it."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml
from starlette.requests import HTTPConnection

#: The cookie that holds the reader's choice.
COOKIE = "bessemer_language"
#: What the page says it is written in, by language; the first one is for all other readers.
LANGUAGES = {"en": "en", "zh": "zh-Hans"}


@cache
def messages() -> dict[str, dict[str, str]]:
    """Return every message in each language."""
    text = resources.files("bessemer.console").joinpath("messages.yaml").read_text("utf-8")
    found: dict[str, dict[str, str]] = yaml.safe_load(text)
    return found


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


def say(language: str, key: str, /, **values: object) -> str:
    """Return a message, its placeholders filled in."""
    return messages()[key][language].format(**values)
