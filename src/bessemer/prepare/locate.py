"""From what `data.source` says to a file on this machine."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from bessemer.core import digest, folder
from bessemer.core.errors import CorruptError, DataError, OperatorError, UnknownNameError, nearest

PREFIX = "public:"
MOST_DOWNLOAD_BYTES = 200_000_000


def locate(source: str, *, relative_to: Path, cache: Path) -> Path:
    """Return the file that a source names.

    Args:
        source: A path, or `public:<set>/<file>`.
        relative_to: Folder that a relative path starts from.
        cache: Folder for downloads.

    Raises:
        DataError: There is no such file; the message names the nearest one beside it.
        UnknownNameError: There is no such public set or file.
        CorruptError: A public file is not the one that was pinned.
        OperatorError: The download failed.
    """
    if source.startswith(PREFIX):
        return _public(source.removeprefix(PREFIX), cache)
    path = relative_to / Path(source).expanduser()
    if path.is_dir():
        raise DataError(f"data.source {source!r} is a folder.", remedy="Name a file in it.")
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        close = nearest(path.name, beside)
        raise DataError(
            f"data.source {source!r}: there is no file {path}.",
            remedy=f"Did you mean {close!r}?" if close else "Check the path and its folder.",
        )
    if not os.access(path, os.R_OK):
        raise DataError(f"data.source {source!r} may not be read.", remedy="Check its rights.")
    return path


def _public(name: str, cache: Path) -> Path:
    sets = _public_sets()
    known = {f"{title}/{file}": entry for title, entry in sets.items() for file in entry["files"]}
    if name not in known:
        raise UnknownNameError("public data set", name, known)
    entry, file = known[name], name.partition("/")[2]
    pinned = str(entry["files"][file])
    at_hand = [Path(given) / name] if (given := os.environ.get("BESSEMER_DATA")) else []
    for path in [*at_hand, cache / pinned / file]:
        if path.is_file():
            _check(path, pinned)
            return path
    target = cache / pinned / file
    remote = entry.get("names", {}).get(file, file)
    try:
        with urllib.request.urlopen(entry["url"] + remote, timeout=60) as answer:
            content = answer.read(MOST_DOWNLOAD_BYTES)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise OperatorError(
            f"{name} could not be downloaded from {entry['url']}: {error}.",
            remedy=f"Set BESSEMER_DATA to a folder that holds {name}, or use a file of your own.",
        ) from error
    folder.atomic_file(target, content)
    try:
        _check(target, pinned)
    except CorruptError:
        target.unlink()
        raise
    return target


def _check(path: Path, pinned: str) -> None:
    if (found := digest.of_file(path)) != pinned:
        raise CorruptError(
            f"{path} is not the pinned file: its SHA-256 is {found[:12]}…, not {pinned[:12]}….",
            remedy="Remove it, or use it as a source of your own by its path.",
        )


def public_licence(source: str) -> str | None:
    """Return the licence of a `public:` source as its publisher states it."""
    name = source.removeprefix(PREFIX).partition("/")[0]
    licence: str | None = _public_sets().get(name, {}).get("licence")
    return licence


def _public_sets() -> dict[str, dict[str, Any]]:
    sets: dict[str, dict[str, Any]] = yaml.safe_load(
        files("bessemer.prepare").joinpath("public.yaml").read_text(encoding="utf-8")
    )
    return sets
