r"""Calls on disk before their answers leave: append-only segments, one checked line a call.

A line is `<CRC-32 of the JSON, 8 hexadecimal digits> <JSON>\n`; one `write` writes all that are
appended together.
After kill -9 a segment ends in whole lines and at most one torn one, which the reader drops:
its answer never left.
"""

from __future__ import annotations

import binascii
import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bessemer.core import folder

SEGMENT_BYTES = 16_000_000
SUFFIX = ".journal"


class Journal:
    """The writing end of one process. Safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        #: Name of the segment being written; this process holds its lock.
        self.current = ""
        self._next()

    def append(self, *lines: bytes) -> None:
        """Write JSON documents without line breaks, all or none.

        Raises:
            StorageError: The disk is full or refuses; nothing of the lines counts.
        """
        record = b"".join(b"%08x %s\n" % (binascii.crc32(line), line) for line in lines)
        with self._lock, folder.storage_errors(self._root / self.current):
            written = os.write(self._file, record)
            if written != len(record):
                os.ftruncate(self._file, self._size)
                raise OSError(28, "No space left on device")
            self._size += written
            if self._size >= SEGMENT_BYTES:
                self._next()

    def close(self) -> None:
        """Close the segment; nothing can be appended afterwards."""
        with self._lock:
            os.close(self._file)
            self.current = ""

    def rotate(self) -> None:
        """Begin a new segment if the current one holds anything, so that it can be drained."""
        with self._lock:
            if self._size:
                self._next()

    def _next(self) -> None:
        """Begin a segment; it appears under its name only when it is locked already."""
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
        aside = self._root / f".{name}.partial"
        with folder.storage_errors(self._root / name):
            self._root.mkdir(parents=True, exist_ok=True)
            file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            aside.rename(self._root / name)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self.current = file, 0, name


def segments(root: Path) -> list[Path]:
    """Return all segments, oldest first."""
    return sorted(root.glob(f"*{SUFFIX}"))


@contextlib.contextmanager
def finished(segment: Path) -> Iterator[bool]:
    """Yield whether nobody writes to a segment any more, and keep it so inside the block.

    The writer's lock is the operating system's: it ends with its process, kill -9 included.
    """
    try:
        file = segment.open("rb")
    except FileNotFoundError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def read(segment: Path) -> Iterator[bytes]:
    """Yield the JSON documents of a segment; a torn or damaged line is passed over."""
    with segment.open("rb") as file:
        for record in file:
            checksum, _, line = record.rstrip(b"\n").partition(b" ")
            if record.endswith(b"\n") and checksum == b"%08x" % binascii.crc32(line):
                yield line
