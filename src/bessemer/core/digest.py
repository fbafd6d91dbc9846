"""SHA-256 digests, written as lower-case hexadecimal, of files and of JSON values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def of_bytes(data: bytes) -> str:
    """Return the digest of `data`."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """Return the digest of a file's content, read in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(path: Path, names: Iterable[Path]) -> str:
    """Return the digest of files in a folder: of their relative names and contents, in order."""
    found = hashlib.sha256()
    for name in names:
        found.update(f"{of_file(path / name)} {name.as_posix()}\0".encode())
    return found.hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return the one UTF-8 spelling of a JSON value: sorted keys, no blanks, no NaN.

    Floats are spelt as Python's `repr` (shortest round trip), which every supported
    Python shares, so that equal recipes have equal digests on every machine.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def of_json(value: Any) -> str:
    """Return the digest of a JSON value, independent of key order."""
    return of_bytes(canonical_json(value))
