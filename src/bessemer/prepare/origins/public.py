"""Public data sets by name, pinned by their digests."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from bessemer.core import digest, folder
from bessemer.core.errors import CorruptError, OperatorError, UnknownNameError
from bessemer.core.project import Data
from bessemer.prepare.origins.base import Fetched, Origin, Place

PREFIX = "public:"
MOST_DOWNLOAD_BYTES = 200_000_000


class Public(Origin):
    """`public:<set>/<file>`: found in the folder $BESSEMER_DATA, else downloaded once."""

    schemes = (PREFIX,)
    public = True

    def fetch(self, name: str, data: Data, place: Place) -> Fetched:
        """Return the file; see `Origin.fetch`.

        Raises:
            CorruptError: It is not the one that was pinned.
        """
        name = name.removeprefix(PREFIX)
        sets = _sets()
        known = {f"{title}/{one}": entry for title, entry in sets.items() for one in entry["files"]}
        if name not in known:
            raise UnknownNameError("public data set", name, known)
        entry, file = known[name], name.partition("/")[2]
        pinned = str(entry["files"][file])
        at_hand = [Path(given) / name] if (given := os.environ.get("BESSEMER_DATA")) else []
        target = place.cache / pinned / file
        for path in [*at_hand, target]:
            if path.is_file():
                _check(path, pinned)
                return Fetched(path, entry.get("licence"))
        _download(name, entry["url"], entry.get("names", {}).get(file, file), target)
        try:
            _check(target, pinned)
        except CorruptError:
            target.unlink()
            raise
        return Fetched(target, entry.get("licence"))


def _download(name: str, url: str, remote: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url + remote, timeout=60) as answer:
            content = answer.read(MOST_DOWNLOAD_BYTES)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise OperatorError(
            f"{name} could not be downloaded from {url}: {error}.",
            remedy=f"Set BESSEMER_DATA to a folder that holds {name}, or use a file of your own.",
        ) from error
    folder.atomic_file(target, content)


def _check(path: Path, pinned: str) -> None:
    if (found := digest.of_file(path)) != pinned:
        raise CorruptError(
            f"{path} is not the pinned file: its SHA-256 is {found[:12]}…, not {pinned[:12]}….",
            remedy="Remove it, or use it as a source of your own by its path.",
        )


def _sets() -> dict[str, dict[str, Any]]:
    sets: dict[str, dict[str, Any]] = yaml.safe_load(
        files("bessemer.prepare").joinpath("public.yaml").read_text(encoding="utf-8")
    )
    return sets
