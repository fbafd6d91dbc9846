"""Dividing rows into train, validation and test: given, grouped or stratified."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bessemer.core.dataset import ROW, SPLITS
from bessemer.core.errors import DataError
from bessemer.prepare.desk import GROUP, LABELS, SPLIT, LabelSets
from bessemer.prepare.rows import Mask, cells
from bessemer.tasks.base import Task

LEAST = 2
#: The number of each row's split, its place in `SPLITS`.
Numbers = NDArray[np.int8]


def by_column(table: pa.Table, column: str) -> Numbers:
    """Divide by the column `SPLIT`, which says train, validation or test.

    Args:
        table: Rows as `select` gives them.
        column: The column's name in the source, for messages.

    Raises:
        DataError: The column holds another word.
    """
    words = table[SPLIT].unique().to_pylist()
    if odd := sorted(str(word) for word in set(words) - set(SPLITS)):
        raise DataError(
            f"The split column {column!r} holds {', '.join(map(repr, odd[:5]))}.",
            remedy=f"Allowed are {', '.join(SPLITS)}.",
        )
    places = pc.index_in(table[SPLIT], pa.array(SPLITS))
    return np.asarray(places.to_numpy(), dtype=np.int8)


def by_share(table: pa.Table, free: Mask, share: float, seed: int, sets: LabelSets) -> Mask:
    """Return which of the free rows go to a part that holds about `share` of them.

    Without a column `GROUP` the part is stratified by each row's rarest label: of each stratum
    with n rows it gets round(n × share), at least 1 when n ≥ 2. With one, whole groups go to the
    part until the share is reached; a row without a group is a group of its own.

    Who goes first is decided by a digest of seed and text (or group), not by position: when
    rows are added, the others stay where they are, but for a few at the border. So a new model
    is compared with the live one on rows that neither has learnt from.
    """
    chosen = np.zeros(table.num_rows, dtype=bool)
    places = np.flatnonzero(free)
    if GROUP in table.column_names:
        pairs = enumerate(zip(table[GROUP].to_pylist(), table[ROW].to_pylist(), strict=True))
        names = {place: name or f"row {row}" for place, (name, row) in pairs if free[place]}
        sizes = Counter(names.values())
        reached, part = 0, set()
        for name in sorted(sizes, key=lambda name: _draw(seed, name)):
            if reached >= share * len(places):
                break
            part.add(name)
            reached += sizes[name]
        chosen[[place for place, name in names.items() if name in part]] = True
        return chosen
    draws = np.array([_draw(seed, text) for (text,) in cells(table, "text")], dtype=np.uint64)
    strata = _strata(table, sets)
    order = places[np.lexsort((draws[places], strata[places]))]
    _, starts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    for start, count in zip(starts, counts, strict=True):
        taken = max(round(count * share), 1) if count >= LEAST else 0
        chosen[order[start : start + taken]] = True
    return chosen


def _strata(table: pa.Table, sets: LabelSets) -> NDArray[np.int64]:
    """Return the number of each row's stratum: the rarest of its labels, or none."""
    numbers = table[LABELS].to_numpy()
    counts = sets.counts(numbers)
    names = [min(labels, key=lambda name: (counts[name], name), default="") for labels in sets.sets]
    _, strata = np.unique(np.array(names, dtype=object), return_inverse=True)
    found: NDArray[np.int64] = strata[numbers]
    return found


def _draw(seed: int, text: str) -> int:
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def check(
    rows: dict[str, int], found: dict[str, Counter[str]], task: Task, where: str
) -> tuple[str, ...]:
    """Return the sorted labels of the train split, or say why nothing can be learnt.

    The out-of-scope label may lack in the train split: what it names need not be learnt.

    Args:
        rows: How many there are in each split.
        found: How many rows of each split have each label.
        task: Says how many labels there must be.
        where: The source's name, for messages.

    Raises:
        DataError: A split is empty, there are fewer labels than the task needs, a label has one
            example only, or a label occurs outside the train split alone.
    """
    counts: Counter[str] = sum(found.values(), Counter())
    counts.pop(task.rules.out_of_scope or "", None)
    if len(counts) < task.least_labels:
        told = (
            f"all rows have the one label {next(iter(counts))!r}" if counts else "there is no label"
        )
        raise DataError(
            f"{where}: {told}.",
            remedy=f"This task needs {task.least_labels} labels or more; check"
            " data.columns.label and data.labels.",
        )
    if single := sorted(label for label, count in counts.items() if count < LEAST):
        raise DataError(
            f"{where}: {len(single)} labels have one example only: {', '.join(single[:5])}"
            + (", …" if len(single) > 5 else "")
            + ".",
            remedy="Give each label two examples or more, or join it with another.",
        )
    for name in SPLITS:
        if not rows.get(name):
            raise DataError(
                f"{where}: the {name} split has no rows.",
                remedy="Give more rows, or change data.split.",
            )
        if not found[name].keys() - {task.rules.out_of_scope}:
            raise DataError(
                f"{where}: no row of the {name} split has a label: nothing could be measured.",
                remedy="Give more labelled rows, or change data.split.",
            )
    labels = sorted(found["train"])
    if unseen := sorted(counts.keys() - set(labels)):
        raise DataError(
            f"{where}: no training row has the labels {', '.join(unseen[:5])}.",
            remedy="Give more rows, or change data.split so that each label can be learnt.",
        )
    return tuple(labels)
