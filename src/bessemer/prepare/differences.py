"""How one data set differs from another, found with Arrow's joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.datasets import Change, NamedDataset, RowChange
from bessemer.core.datasets import Difference as Found

#: Rows that are shown of each kind of change.
SHOWN = 10
#: What is compared of each row.
COMPARED = ("text", "label", "split")


@dataclass(frozen=True)
class Rows:
    """A data set and its rows: the columns id, text and label by split, and the whole schema."""

    named: NamedDataset
    tables: Mapping[str, pa.Table]
    schema: pa.Schema


def difference(first: Rows, second: Rows) -> Found:
    """Compare two data sets.

    A row is found again by its id where the sources of both have a column for it, else by its
    text; the second row of one text is compared with the second. No Python object is made of a
    row that is not shown.

    Args:
        first: What it was.
        second: What it is.
    """
    by: Literal["id", "text"] = (
        "id" if first.named.identified and second.named.identified else "text"
    )
    one, other = _keyed(first, by), _keyed(second, by)
    joined = one.join(
        other,
        keys=["key", "nth"],
        join_type="full outer",
        left_suffix="_first",
        right_suffix="_second",
        coalesce_keys=True,
    )
    changed = {kind: joined.filter(mask) for kind, mask in _masks(joined).items()}
    return Found(
        first=first.named.id,
        second=second.named.id,
        by=by,
        rows=(one.num_rows, other.num_rows),
        counts={kind: table.num_rows for kind, table in changed.items()},
        changes=tuple(row for kind, table in changed.items() for row in _shown(kind, table)),
        labels=_labels(first.named, second.named),
        columns=_columns(first.schema, second.schema),
    )


def _keyed(rows: Rows, by: str) -> pa.Table:
    """Return all rows with their key and, among those of one key, their place."""
    parts = []
    for split, table in rows.tables.items():
        columns = {name: pc.cast(table[name], pa.large_string()) for name in ("text", "label")}
        # A key may be missing; the join would find no partner for it.
        columns["key"] = pc.fill_null(pc.cast(table[by], pa.large_string()), "")
        columns["split"] = pa.array([split] * table.num_rows, pa.large_string())
        parts.append(pa.table(columns))
    table = pa.concat_tables(parts).sort_by([("key", "ascending"), ("label", "ascending")])
    key = table["key"].combine_chunks()
    new = np.ones(len(key), dtype=bool)
    if len(key) > 1:
        new[1:] = pc.not_equal(key[1:], key[:-1]).to_numpy(zero_copy_only=False)
    place = np.arange(len(key))
    nth = place - np.maximum.accumulate(np.where(new, place, 0))
    table = table.append_column("nth", pa.array(nth, pa.int64()))
    return table.append_column("there", pa.array(np.ones(len(key), dtype=bool)))


def _masks(joined: pa.Table) -> dict[Change, pa.ChunkedArray]:
    was, now = pc.is_valid(joined["there_first"]), pc.is_valid(joined["there_second"])
    both = pc.and_(was, now)

    def differs(column: str) -> pa.ChunkedArray:
        # A missing value is one like any other.
        one, other = (pc.fill_null(joined[f"{column}_{side}"], "") for side in ("first", "second"))
        return pc.and_(both, pc.not_equal(one, other))

    return {
        "added": pc.invert(was),
        "removed": pc.invert(now),
        "relabelled": differs("label"),
        "reworded": differs("text"),
        "moved": differs("split"),
    }


def _shown(kind: Change, table: pa.Table) -> list[RowChange]:
    assert kind in get_args(Change)
    first = pc.select_k_unstable(table, SHOWN, [("key", "ascending"), ("nth", "ascending")])
    return [
        RowChange(
            kind=kind,
            key=row["key"],
            **{name: (row[f"{name}_first"], row[f"{name}_second"]) for name in COMPARED},
        )
        for row in table.take(first).to_pylist()
    ]


def _labels(first: NamedDataset, second: NamedDataset) -> dict[str, tuple[int, int]]:
    """Return the rows of each label in either, where they differ; the largest change first."""
    one, other = _counts(first), _counts(second)
    pairs = {label: (one.get(label, 0), other.get(label, 0)) for label in {**one, **other}}
    changed = [(label, pair) for label, pair in pairs.items() if pair[0] != pair[1]]
    return dict(sorted(changed, key=lambda found: (-abs(found[1][1] - found[1][0]), found[0])))


def _counts(named: NamedDataset) -> dict[str, int]:
    counts: dict[str, int] = {}
    for labels in named.profile.labels.values() if named.profile else ():
        for label, count in labels.items():
            counts[label] = counts.get(label, 0) + count
    return counts


def _columns(first: pa.Schema, second: pa.Schema) -> dict[str, tuple[str | None, str | None]]:
    one = {field.name: str(field.type) for field in first}
    other = {field.name: str(field.type) for field in second}
    pairs = {name: (one.get(name), other.get(name)) for name in {**one, **other}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
