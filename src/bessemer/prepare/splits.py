"""Dividing rows into train, validation and test: given, grouped or stratified."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.dataset import SPLITS
from bessemer.core.errors import DataError
from bessemer.tasks.base import Answers, Task, label_of

LEAST = 2
#: Columns that `checks.select` adds where the project names a group or a split column.
GROUP, SPLIT = "split group", "split name"
#: What `with_strata` adds: rows of one stratum are spread over the splits evenly.
STRATUM = "split stratum"


def by_column(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """Divide by the column `SPLIT`, which says train, validation or test.

    Args:
        table: Rows as `checks.select` gives them.
        column: The column's name in the source, for messages.

    Raises:
        DataError: The column holds another word.
    """
    words = set(pc.unique(table[SPLIT]).to_pylist())
    if odd := sorted(str(word) for word in words - set(SPLITS)):
        raise DataError(
            f"The split column {column!r} holds {', '.join(map(repr, odd[:5]))}.",
            remedy=f"Allowed are {', '.join(SPLITS)}.",
        )
    return {name: table.filter(pc.equal(table[SPLIT], name)) for name in SPLITS if name in words}


def with_strata(table: pa.Table, answers: list[Answers]) -> pa.Table:
    """Add the column `STRATUM`: of each row's labels the rarest, "" where it has none."""
    counts = Counter(label_of(answer) for row in answers for answer in row)
    strata = [
        min((label_of(answer) for answer in row), key=lambda name: (counts[name], name), default="")
        for row in answers
    ]
    return table.append_column(STRATUM, pa.array(strata, pa.string()))


def by_share(table: pa.Table, share: float, seed: int) -> tuple[pa.Table, pa.Table]:
    """Divide into (rest, part), where part holds about `share` of the rows.

    Without a column `GROUP` the part is stratified: of each stratum with n rows it gets
    round(n × share), at least 1 when n ≥ 2. With one, whole groups go to the part until the
    share is reached; a row without a group is a group of its own.

    Who goes first is decided by a digest of seed and text (or group), not by position: when
    rows are added, the others stay where they are, but for a few at the border. So a new model
    is compared with the live one on rows that neither has learnt from.
    """
    chosen = np.zeros(table.num_rows, dtype=bool)
    if GROUP in table.column_names:
        names = [name or f"row {row}" for name, row in zip(*_lists(table, GROUP), strict=True)]
        sizes = Counter(names)
        reached, part = 0, set()
        for name in sorted(sizes, key=lambda name: _draw(seed, name)):
            if reached >= share * table.num_rows:
                break
            part.add(name)
            reached += sizes[name]
        chosen = np.array([name in part for name in names])
    else:
        rows: dict[str, list[int]] = defaultdict(list)
        for row, label in enumerate(table[STRATUM].to_pylist()):
            rows[label].append(row)
        draws = [_draw(seed, text) for text in table["text"].to_pylist()]
        for members in rows.values():
            count = max(round(len(members) * share), 1) if len(members) >= LEAST else 0
            chosen[sorted(members, key=draws.__getitem__)[:count]] = True
    return table.filter(pa.array(~chosen)), table.filter(pa.array(chosen))


def _lists(table: pa.Table, column: str) -> tuple[list[str | None], list[int]]:
    return table[column].to_pylist(), table["row"].to_pylist()


def _draw(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed} {text}".encode()).digest()


def check(splits: dict[str, list[Answers]], task: Task, where: str) -> tuple[str, ...]:
    """Return the sorted labels of the train split, or say why nothing can be learnt.

    The out-of-scope label may lack in the train split: what it names need not be learnt.

    Raises:
        DataError: A split is empty, there are fewer labels than the task needs, a label has one
            example only, or a label occurs outside the train split alone.
    """
    counts = Counter(
        label for rows in splits.values() for row in rows for label in {label_of(a) for a in row}
    )
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
        if not splits.get(name):
            raise DataError(
                f"{where}: the {name} split has no rows.",
                remedy="Give more rows, or change data.split.",
            )
        if not any(label_of(a) != task.rules.out_of_scope for row in splits[name] for a in row):
            raise DataError(
                f"{where}: no row of the {name} split has a label: nothing could be measured.",
                remedy="Give more labelled rows, or change data.split.",
            )
    labels = sorted({label_of(answer) for row in splits["train"] for answer in row})
    if unseen := sorted(counts.keys() - set(labels)):
        raise DataError(
            f"{where}: no training row has the labels {', '.join(unseen[:5])}.",
            remedy="Give more rows, or change data.split so that each label can be learnt.",
        )
    return tuple(labels)
