"""The contract of an origin: it turns the name of a table into a file on this machine."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bessemer.core import digest, folder
from bessemer.core.catalogue import Catalogue
from bessemer.core.errors import CorruptError, DataError
from bessemer.core.progress import Watcher
from bessemer.core.project import Data

#: A scheme, perhaps with a driver as in `postgresql+psycopg://`; one letter is a disk.
_SCHEME = re.compile(r"([a-z][a-z0-9]+)(?:\+[a-z0-9_]+)?(:(?://)?)", re.IGNORECASE)
#: The origin of names without a scheme.
LOCAL = "file"


@dataclass(frozen=True)
class Place:
    """Where an origin looks and keeps, and who is told."""

    #: Folder that a relative path starts from.
    relative_to: Path
    #: Folder for what is fetched.
    cache: Path
    watcher: Watcher


@dataclass(frozen=True)
class Fetched:
    """A file or folder of this machine that does not change, named so as to be read."""

    path: Path
    #: As its publisher states it, where that is known.
    licence: str | None = None


class Origin(ABC):
    """One kind of origin. Stateless."""

    #: How names begin that it fetches, as `s3://` or `hub:`, in lower case.
    schemes: ClassVar[tuple[str, ...]]
    #: Whether a project that came over HTTP may name it: nothing of this machine or its network
    #: can be had through it.
    public: ClassVar[bool] = False
    #: Whether it answers `data.query`.
    queried: ClassVar[bool] = False

    @abstractmethod
    def fetch(self, name: str, data: Data, place: Place) -> Fetched:
        """Return the file that a name means; what is fetched appears whole or not at all.

        Args:
            name: As written in the project file, with its scheme.
            data: The project's block.
            place: Where to look and keep.

        Raises:
            DataError: There is no such thing, or it is not what can be read.
            UnknownNameError: There is no such public set.
            OperatorError: It could not be had: a network, a right, a password.
            StorageError: The disk is full or refuses.
        """


@contextmanager
def room(place: Place) -> Iterator[Path]:
    """Yield a folder for what is not whole yet; it goes when the block ends.

    What killed processes left goes first: each holds a lock on its own as long as it lives.

    Raises:
        StorageError: The disk is full or refuses.
    """
    with folder.storage_errors(place.cache):
        place.cache.mkdir(parents=True, exist_ok=True)
        with _locked(place.cache, fcntl.LOCK_EX):
            for left in place.cache.glob(".partial-*"):
                gone = (BlockingIOError, FileNotFoundError)  # it lives, or has just ended
                with suppress(*gone), _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(left, ignore_errors=True)
            aside = Path(tempfile.mkdtemp(dir=place.cache, prefix=".partial-"))
            lock = os.open(aside, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            os.close(lock)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    held = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(held, how)
        yield
    finally:
        os.close(held)


def keep(found: Path, target: Path | None, place: Place, kind: str) -> Path:
    """Move a whole file or folder into a folder of its own, and return where it lies now.

    Who fetched the same at the same time gets the first one's, which may be read by now.

    Args:
        found: As it was fetched.
        target: That folder; None stands for one named by the content, so that the same content
            lies there once.
        place: Where to keep.
        kind: Begins that name.
    """
    if target is None:
        names = sorted(one.relative_to(found) for one in found.rglob("*") if one.is_file())
        content = digest.of_folder(found, names) if names else digest.of_file(found)
        target = place.cache / f"{kind}-{content[:32]}"
    with _locked(place.cache, fcntl.LOCK_EX):
        if not whole(target):
            with folder.atomic_folder(target) as new:
                found.rename(new / found.name)
    return target / found.name


def whole(target: Path) -> bool:
    """Return whether something is kept there, and is what was written."""
    try:
        folder.check(target)
    except CorruptError:
        return False
    return True


ORIGINS: Catalogue[Origin] = Catalogue("origin", "bessemer.prepare.origins", Origin)  # type: ignore[type-abstract]


def origin_of(name: str) -> type[Origin]:
    """Return the origin of what a project names; that of a path is `file`.

    Raises:
        DataError: Nothing is fetched by its scheme.
    """
    schemes: list[str] = []
    found = _SCHEME.match(name)
    begins = f"{found[1]}{found[2]}".lower() if found else ""
    for part in map(ORIGINS.load, ORIGINS.names()) if found else ():
        if begins in part.schemes:
            return part
        schemes += part.schemes
    if begins.endswith("//"):
        raise DataError(
            f"The name of the table begins with {begins!r}, by which nothing is fetched.",
            remedy=f"Known: {', '.join(sorted(schemes))}; a file is named by its path.",
        )
    return ORIGINS.load(LOCAL)
