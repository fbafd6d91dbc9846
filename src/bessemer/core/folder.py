"""Folders that are whole or absent: written aside, fsynced, given a manifest, renamed.

A reader that finds the folder finds all of it: `rename` is atomic, and the manifest holds
the size and SHA-256 digest of every file, so a flipped bit is found as well.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from bessemer.core import digest
from bessemer.core.errors import ConflictError, CorruptError, StorageError

MANIFEST = "manifest.json"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"The disk is full: {path} could not be written ({error.strerror}).",
                remedy="Free some space and run the same command again; finished stages are kept.",
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
            raise StorageError(
                f"{path} could not be written: {error.strerror}.",
                remedy="Check the folder's rights and the disk, or choose another with --home.",
            ) from error
        raise


@contextlib.contextmanager
def atomic_folder(target: Path, *, unsealed: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield an empty folder that becomes `target`, with its manifest, when the block ends.

    If the block raises, or the process dies, `target` does not appear. An existing `target`
    is replaced, from under whoever reads it: processes that may make the same one at a time hold
    a lock, and look first whether it is there. `unsealed` names files that the manifest leaves out
    (a signature over it).

    Raises:
        StorageError: The disk is full or refuses.
    """
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    with storage_errors(target):
        aside.mkdir(parents=True)
        try:
            yield aside
            if not (aside / MANIFEST).exists():
                seal(aside, unsealed=unsealed)
            for path in sorted(aside.rglob("*"), reverse=True):
                _fsync(path)
            _fsync(aside)
            if target.exists():
                shutil.rmtree(target)
            aside.rename(target)
            _fsync(target.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; another process or thread that wants it waits.

    The lock is the operating system's, so it ends with its process, kill -9 included.

    Raises:
        StorageError: The disk is full or refuses.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def clear_aside(target: Path) -> None:
    """Remove what killed processes left of `target`; the caller holds its makers' lock."""
    for left in target.parent.glob(f".{target.name}.*.partial"):
        shutil.rmtree(left, ignore_errors=True)


def check_new(target: Path) -> None:
    """Refuse a folder that somebody may have something in; `atomic_folder` would replace it.

    Raises:
        ConflictError: There is a file, or a folder that is not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(
            f"{target} is there already.", remedy="Name a folder that does not exist yet."
        )


def atomic_file(target: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `content` to `target` so that a reader sees the old bytes or the new, never a part.

    Raises:
        StorageError: The disk is full or refuses.
    """
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(target)
            _fsync(target.parent)
        finally:
            aside.unlink(missing_ok=True)


def seal(folder: Path, *, unsealed: tuple[str, ...] = ()) -> None:
    """Write the manifest: {relative path: {"bytes", "sha256"}} for every file but `unsealed`."""
    entries = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": digest.of_file(folder / name)}
        for name in _files(folder)
        if name not in (MANIFEST, *unsealed)
    }
    text = json.dumps(entries, indent=1, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def entries(folder: Path) -> dict[str, str]:
    """Return what the manifest says: {relative path: SHA-256}.

    Raises:
        CorruptError: It is unreadable.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {name: entry["sha256"] for name, entry in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptError(
            f"The manifest of {folder} cannot be read: {error}.",
            remedy="The folder is damaged or was never finished: restore it or make it again.",
        ) from error


def check(folder: Path, *, unsealed: tuple[str, ...] = ()) -> dict[str, str]:
    """Compare every file with the manifest and return {relative path: SHA-256}.

    Raises:
        CorruptError: A file is missing, added or changed, or the manifest is unreadable.
    """
    expected = entries(folder)
    present = {name for name in _files(folder) if name != MANIFEST and name not in unsealed}
    if present != expected.keys():
        odd = sorted(present ^ expected.keys())
        raise CorruptError(
            f"{folder} does not hold the files of its manifest: {', '.join(odd)} missing or added.",
            remedy="Restore the folder or make it again.",
        )
    for name, wanted in expected.items():
        check_file(folder / name, wanted)
    return expected


def check_file(path: Path, wanted: str) -> None:
    """Compare one file with its SHA-256.

    Raises:
        CorruptError: It is missing or changed.
    """
    if not path.is_file():
        raise CorruptError(
            f"{path} is missing: there is no such file.", remedy="Restore it or make it again."
        )
    if (found := digest.of_file(path)) != wanted:
        raise CorruptError(
            f"{path} was changed after it was written: its SHA-256 is {found[:12]}…, the manifest"
            f" says {wanted[:12]}….",
            remedy="Restore the file or make the folder again.",
        )


def link(source: Path, target: Path) -> None:
    """Let `target` be the same file as `source`, or a copy where it cannot be.

    For files that are written once: every release on a base holds the base's.
    """
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _files(folder: Path) -> list[str]:
    """Return the relative paths of all files; a symbolic link counts as a file."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
