"""Logits of many texts as one file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bessemer.tasks.base import Logits


def write(path: Path, rows: Sequence[Logits]) -> None:
    """Write the logits of many texts: their lengths, and all positions end to end."""
    lengths = np.array([len(row) if row.ndim == 2 else -1 for row in rows], dtype=np.int64)
    values = np.concatenate([np.atleast_2d(row) for row in rows])
    # Through memory: numpy's own writing tells of a full disk without an error number.
    buffer = io.BytesIO()
    np.savez(buffer, lengths=lengths, values=values)
    path.write_bytes(buffer.getvalue())


def read(path: Path) -> list[Logits]:
    """Return what `write` wrote."""
    with np.load(path, allow_pickle=False) as file:
        lengths, values = file["lengths"], file["values"]
    ends = np.cumsum(np.abs(lengths))
    parts = np.split(values, ends[:-1])
    return [part if length >= 0 else part[0] for part, length in zip(parts, lengths, strict=True)]
