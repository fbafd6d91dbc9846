"""How one data set differs from another: rows are matched by 64-bit digests of their cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.datasets import Change, NamedDataset, RowChange
from bessemer.core.datasets import Difference as Found
from bessemer.prepare.digests import Digests, of_texts
from bessemer.prepare.minhash import Places, ranks

#: Rows that are shown of each kind of change.
SHOWN = 10
#: By what rows are matched, one after the other, besides their keys: of many rows of one text,
#: those that are alike belong together.
LEVELS = (("label", "split"), ("label",), ())
#: Odd numbers that mix digests well (of splitmix64).
_MIX, _STEP = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Rows:
    """A data set, a way to its rows, and its schema."""

    named: NamedDataset
    #: Gives a split's columns id, text and label in batches, as often as it is asked.
    read: Callable[[str], Iterable[pa.RecordBatch]]
    schema: pa.Schema


@dataclass(frozen=True)
class _Side:
    """Digests of all rows of a data set, in the order of its splits; each array is [rows]."""

    key: Digests
    text: Digests
    label: Digests
    split: Digests


def difference(first: Rows, second: Rows) -> Found:
    """Compare two data sets.

    A row is found again by its id where the sources of both have a column for it, else by its
    text. A row takes 32 bytes of memory, however long it is; of a million, two are taken for
    alike that are not with a probability under 10⁻⁷.

    Args:
        first: What it was.
        second: What it is.
    """
    identified = first.named.identified and second.named.identified
    by: Literal["id", "text"] = "id" if identified else "text"
    one, other = _side(first, by), _side(second, by)
    was, now = _pairs(one, other)
    gone = np.setdiff1d(np.arange(len(one.key)), was, assume_unique=True)
    new = np.setdiff1d(np.arange(len(other.key)), now, assume_unique=True)
    # A missing partner is -1.
    kinds: dict[Change, tuple[Places, Places]] = {
        "added": (np.full(len(new), -1), new),
        "removed": (gone, np.full(len(gone), -1)),
    }
    compared: tuple[tuple[Change, Digests, Digests], ...] = (
        ("relabelled", one.label, other.label),
        ("reworded", one.text, other.text),
        ("moved", one.split, other.split),
    )
    for kind, before, after in compared:
        differs = before[was] != after[now]
        kinds[kind] = (was[differs], now[differs])
    return Found(
        first=first.named.id,
        second=second.named.id,
        by=by,
        rows=(len(one.key), len(other.key)),
        counts={kind: len(places) for kind, (places, _) in kinds.items()},
        changes=_shown(kinds, first, second, by),
        labels=_labels(first.named, second.named),
        columns=_columns(first.schema, second.schema),
    )


def _side(rows: Rows, by: str) -> _Side:
    parts: dict[str, list[Digests]] = {"key": [], "text": [], "label": [], "split": []}
    for number, split in enumerate(rows.named.splits):
        for batch in rows.read(split):
            text = _digests(batch["text"])
            parts["text"].append(text)
            parts["key"].append(text if by == "text" else _digests(batch[by]))
            labels = pc.fill_null(pc.cast(batch["label"], pa.large_string()), "")
            encoded = labels.dictionary_encode()
            parts["label"].append(_digests(encoded.dictionary)[encoded.indices.to_numpy()])
            parts["split"].append(np.full(batch.num_rows, number, np.uint64))
    nothing = np.zeros(0, np.uint64)
    return _Side(**{name: np.concatenate([nothing, *some]) for name, some in parts.items()})


def _digests(column: pa.Array) -> Digests:
    """Return the digests of a column's cells as texts; a missing one is like an empty one."""
    return of_texts(pc.cast(column, pa.large_string()).to_pylist())


def _pairs(one: _Side, other: _Side) -> tuple[Places, Places]:
    """Return the places of rows that are the same one in both, side by side."""
    was, now = np.arange(len(one.key)), np.arange(len(other.key))
    found: list[tuple[Places, Places]] = []
    for level in LEVELS:
        _, left, right = np.intersect1d(
            _names(one, level, was),
            _names(other, level, now),
            assume_unique=True,
            return_indices=True,
        )
        found.append((was[left], now[right]))
        was, now = np.delete(was, left), np.delete(now, right)
    firsts, seconds = zip(*found, strict=True)
    return np.concatenate(firsts), np.concatenate(seconds)


def _names(side: _Side, level: Sequence[str], places: Places) -> Digests:
    """Return a digest for each of some rows that no other of them has.

    It is of the key and what else the level names, and of how many such rows came before.
    """
    mixed = side.key[places] * _MIX
    for name in level:
        mixed = (mixed ^ getattr(side, name)[places]) * _MIX
    order = np.argsort(mixed, kind="stable")
    ranked = mixed[order]
    names = np.empty_like(mixed)
    names[order] = ranked + ranks(ranked).astype(np.uint64) * _STEP
    return names


def _shown(
    kinds: dict[Change, tuple[Places, Places]], first: Rows, second: Rows, by: str
) -> tuple[RowChange, ...]:
    chosen: list[tuple[Change, int, int]] = []
    for kind, (was, now) in kinds.items():
        order = np.argsort(np.where(now < 0, was, now), kind="stable")[:SHOWN]
        chosen += [(kind, int(was[n]), int(now[n])) for n in order]
    before = _rows(first, {was for _, was, _ in chosen})
    after = _rows(second, {now for _, _, now in chosen})
    changes = []
    for kind, left, right in chosen:
        one, other = before.get(left, {}), after.get(right, {})
        key = str((other or one)[by] or "")
        text, label, split = ((one.get(n), other.get(n)) for n in ("text", "label", "split"))
        changes.append(RowChange(kind=kind, key=key, text=text, label=label, split=split))
    return tuple(changes)


def _rows(rows: Rows, places: set[int]) -> dict[int, dict[str, Any]]:
    """Return the rows at some places, counted through all splits."""
    found, begin = {}, 0
    for split in rows.named.splits:
        for batch in rows.read(split):
            end = begin + batch.num_rows
            here = sorted(place for place in places if begin <= place < end)
            some = batch.take(pa.array([place - begin for place in here], pa.int64()))
            for place, row in zip(here, some.to_pylist(), strict=True):
                found[place] = {**row, "split": split}
            begin = end
    return found


def _labels(first: NamedDataset, second: NamedDataset) -> dict[str, tuple[int, int]]:
    """Return the rows of each label in either, where they differ; the largest change first."""
    one, other = first.totals, second.totals
    pairs = {label: (one.get(label, 0), other.get(label, 0)) for label in {**one, **other}}
    changed = [(label, pair) for label, pair in pairs.items() if pair[0] != pair[1]]
    return dict(sorted(changed, key=lambda found: (-abs(found[1][1] - found[1][0]), found[0])))


def _columns(first: pa.Schema, second: pa.Schema) -> dict[str, tuple[str | None, str | None]]:
    one = {field.name: str(field.type) for field in first}
    other = {field.name: str(field.type) for field in second}
    pairs = {name: (one.get(name), other.get(name)) for name in {**one, **other}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
