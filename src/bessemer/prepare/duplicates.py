"""Rows of one source that are alike to the letter."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from bessemer.prepare.desk import Desk
from bessemer.prepare.digests import Digests, of_texts
from bessemer.prepare.ledger import Named
from bessemer.prepare.rows import cells


def digests(table: pa.Table, *columns: str) -> Digests:
    """Return a digest of some columns' cells for each row."""
    # No cell holds NUL.
    return of_texts("\0".join(cell or "" for cell in row) for row in cells(table, *columns))


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
