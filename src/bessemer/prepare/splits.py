"""Dividing rows into train, validation and test: given, grouped or stratified."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.dataset import SPLITS
from bessemer.core.errors import DataError
from bessemer.core.project import Split

LEAST = 2


def by_column(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """Divide by a column that says train, validation or test.

    Raises:
        DataError: The column holds another word.
    """
    words = set(pc.unique(table[column]).to_pylist())
    if odd := sorted(str(word) for word in words - set(SPLITS)):
        raise DataError(
            f"The split column {column!r} holds {', '.join(map(repr, odd[:5]))}.",
            remedy=f"Allowed are {', '.join(SPLITS)}.",
        )
    return {name: table.filter(pc.equal(table[column], name)) for name in SPLITS if name in words}


def by_share(table: pa.Table, share: float, split: Split, seed: int) -> tuple[pa.Table, pa.Table]:
    """Divide into (rest, part), where part holds about `share` of the rows.

    Without a group column the part is stratified: of each label with n rows it gets
    round(n × share), at least 1 when n ≥ 2. With one, whole groups go to the part, drawn at
    random until the share is reached.
    """
    draws = np.random.default_rng(seed)
    chosen = np.zeros(table.num_rows, dtype=bool)
    if split.group is not None:
        groups = np.array(table[split.group].fill_null("").to_pylist(), dtype=object)
        names, sizes = np.unique(groups, return_counts=True)
        order = draws.permutation(len(names))
        before = np.cumsum(sizes[order]) - sizes[order]
        chosen = np.isin(groups, names[order[before < share * table.num_rows]])
    else:
        labels = np.array(table["label"].to_pylist(), dtype=object)
        for label in np.unique(labels):
            rows = draws.permutation(np.flatnonzero(labels == label))
            count = max(round(len(rows) * share), 1) if len(rows) >= LEAST else 0
            chosen[rows[:count]] = True
    return table.filter(pa.array(~chosen)), table.filter(pa.array(chosen))


def check(splits: dict[str, pa.Table], where: str) -> tuple[str, ...]:
    """Return the sorted labels of the train split, or say why nothing can be learnt.

    Raises:
        DataError: A split is empty, there is one label only, a label has one example only,
            or a label occurs outside the train split alone.
    """
    counts = {
        entry["values"]: entry["counts"]
        for entry in pc.value_counts(
            pa.chunked_array(
                [chunk for table in splits.values() for chunk in table["label"].chunks]
            )
        ).to_pylist()
    }
    if len(counts) < LEAST:
        raise DataError(
            f"{where}: all rows have the one label {next(iter(counts))!r}.",
            remedy="A classifier needs two labels or more; check data.columns.label.",
        )
    if single := sorted(label for label, count in counts.items() if count < LEAST):
        raise DataError(
            f"{where}: {len(single)} labels have one example only: {', '.join(single[:5])}"
            + (", …" if len(single) > 5 else "")
            + ".",
            remedy="Give each label two examples or more, or join it with another.",
        )
    for name in SPLITS:
        if name not in splits or not splits[name].num_rows:
            raise DataError(
                f"{where}: the {name} split has no rows.",
                remedy="Give more rows, or change data.split.",
            )
    labels = sorted(set(splits["train"]["label"].to_pylist()))
    if unseen := sorted(counts.keys() - set(labels)):
        raise DataError(
            f"{where}: no training row has the labels {', '.join(unseen[:5])}.",
            remedy="Give more rows, or change data.split so that each label can be learnt.",
        )
    return tuple(labels)
