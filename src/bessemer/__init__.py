"""Bessemer: from a table of examples to a gated, signed, served model, and back.

`bessemer.open()` works here, `bessemer.connect(url, key)` on a server; both give the
same methods. Importing this package loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bessemer.core.version import VERSION as __version__

if TYPE_CHECKING:
    from pathlib import Path

    from bessemer.client import Client
    from bessemer.service.platform import Platform

__all__ = ["__version__", "connect", "open"]


def open(home: str | Path | None = None) -> Platform:
    """Open the home folder and return everything that can be done with it.

    Args:
        home: The folder; by default `$BESSEMER_HOME`, else `.bessemer` here.
    """
    from bessemer.service.platform import Platform

    return Platform.open(home)


def connect(url: str, key: str) -> Client:
    """Return the same methods as `open`, answered by the server at `url`.

    Args:
        url: For example `http://127.0.0.1:8080`.
        key: An owner key of that server.
    """
    from bessemer.client import Client

    return Client(url, key)
