"""From what a project names as its data to a file on this machine."""

from __future__ import annotations

from pathlib import Path

from bessemer.core.errors import DataError
from bessemer.core.progress import Watcher
from bessemer.core.project import Data
from bessemer.prepare.origins.base import Fetched, Place, origin_of


def fetch(name: str, data: Data, place: Place) -> Fetched:
    """Return the file that a name means and its licence; see `Origin.fetch`."""
    origin = origin_of(name)
    if data.query is not None and not origin.queried:
        raise DataError(
            "data.query says nothing to a source that is no database.",
            remedy="Remove it, or write the database's URL as data.source.",
        )
    return origin().fetch(name, data, place)


def locate(name: str, *, relative_to: Path, cache: Path) -> Path:
    """Return the file that a name means; see `fetch`."""
    return fetch(name, Data(source=name), Place(relative_to, cache, Watcher())).path
