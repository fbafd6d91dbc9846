"""Passwords in names of sources: taken from the environment, told to nobody."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, quote

from bessemer.core.errors import OperatorError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: `user:password@` of a URL; where a path holds an @, what follows the host's colon is its port.
_USER, _PORT = re.compile(r"[^/:@]+://[^/:@]*:([^@]*)@"), re.compile(r"[0-9]+/")
_SECRET = re.compile(r"pass(word|wd|phrase)?$|^pwd$|secret|token", re.IGNORECASE)


def filled(text: str, *, quoted: bool = False) -> str:
    """Return a text with `${NAME}` replaced by what the environment says.

    Args:
        text: A part of a URL.
        quoted: Whether a value is escaped for a URL.

    Raises:
        OperatorError: There is no such variable.
    """

    def value(found: re.Match[str]) -> str:
        if (given := os.environ.get(found[1])) is None:
            raise OperatorError(
                f"The environment has no {found[1]}, which ${{{found[1]}}} stands for.",
                remedy=f"Set it where Bessemer runs: export {found[1]}=…",
            )
        return quote(given, safe="") if quoted else given

    return _VARIABLE.sub(value, text)


def hidden(text: str, source: str) -> str:
    """Return a message with the values that a source's `${NAME}` stand for taken out of it."""
    for name in set(_VARIABLE.findall(source)):
        if value := os.environ.get(name):
            for shown in {value, quote(value, safe="")}:
                text = text.replace(shown, f"${{{name}}}")
    return text


def written_out(source: str) -> bool:
    """Return whether a source is a URL that holds a password, in the open."""
    found = _USER.match(source)
    given = [found[1]] if found and not _PORT.match(found[1]) else []
    if "://" in source:
        query = parse_qsl(source.partition("?")[2])
        given += [value for key, value in query if _SECRET.search(key)]
    return any(value and not _VARIABLE.fullmatch(value) for value in given)
