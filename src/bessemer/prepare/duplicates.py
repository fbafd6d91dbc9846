"""Rows of one source that are alike to the letter."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bessemer.prepare.desk import Desk
from bessemer.prepare.ledger import Named
from bessemer.prepare.rows import cells

#: 64 bits of a digest: of a hundred million texts, two share them with probability 0.0003.
Digests = NDArray[np.uint64]


def digests(table: pa.Table, *columns: str) -> Digests:
    """Return a digest of some columns' cells for each row."""
    found = np.empty(table.num_rows, dtype=np.uint64)
    for n, row in enumerate(cells(table, *columns)):
        # No cell holds NUL.
        text = "\0".join(cell or "" for cell in row).encode()
        found[n] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return found


def without_exact(table: pa.Table, desk: Desk) -> pa.Table:
    """Return the rows without those whose text and label stand in an earlier one.

    Texts that are left with several labels are reported.
    """
    texts = digests(table, "text")
    both = digests(table, "text", "label")
    _, firsts, groups = np.unique(both, return_index=True, return_inverse=True)
    places = np.arange(table.num_rows)
    again = firsts[groups] != places
    if again.any():
        named = desk.named(table, again)
        like = Named.of(desk.source, table["row"].to_numpy()[firsts[groups[again]]])
        desk.ledger.found("exact duplicate", "dropped", named, others=like)
    _, groups, counts = np.unique(texts[~again], return_inverse=True, return_counts=True)
    kept = desk.shop.where(table, ~again)
    torn = counts[groups] > 1
    desk.ledger.found("same text, other label", "kept", desk.named(kept, torn))
    return kept
