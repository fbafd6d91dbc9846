"""Which labels are probably wrong: confident learning (Northcutt et al. 2021, by cleanlab)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bessemer.core.dataset import ROW, SHOWN, SPLITS, Finding
from bessemer.core.errors import needs
from bessemer.tasks.base import Task

#: Probability from which one of several labels is suggested.
LIKELY = 0.5


def together(tables: dict[str, pa.Table], group: str | None) -> pa.Table:
    """Return the rows of all splits: columns `row`, `text`, `label`, `split`, and `group`.

    Args:
        tables: Rows of each split.
        group: Column whose equal values belong together; null where a split lacks it.
    """
    parts = []
    for split in SPLITS:
        table = tables[split]
        names = [name for name in (ROW, "text", "label", group) if name in table.column_names]
        part = table.select(names).append_column("split", pa.array([split] * len(table)))
        if group in names:
            part = part.rename_columns(
                ["group" if name == group else name for name in names] + ["split"]
            )
        parts.append(part)
    return pa.concat_tables(parts, promote_options="default")


def quality(
    chances: NDArray[np.float64], given: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how well each label fits, from 0 to 1, and whether it is taken for an error.

    A label's score is the probability that the model gives it. How many are taken for errors
    follows from the confident joint: how often a label is given to a row that the model takes for
    another, surer than it is on average of that other's own rows. Those with the lowest scores
    are taken.

    Args:
        chances: Probabilities, shape [n, labels], of models that did not learn from the row.
        given: Label numbers, shape [n]; or 0 and 1, shape [n, labels], where a text may have
            several labels, each by itself.

    Raises:
        MissingExtraError: cleanlab is not installed.
    """
    rule = "low_self_confidence"
    with needs("train"):
        if given.ndim == 2:
            from cleanlab.multilabel_classification import get_label_quality_scores
            from cleanlab.multilabel_classification.filter import find_label_issues

            listed = [np.flatnonzero(row).tolist() for row in given]
            scores = get_label_quality_scores(listed, chances)
            with warnings.catch_warnings():  # cleanlab calls what it tells others not to call
                warnings.simplefilter("ignore", DeprecationWarning)
                errors = find_label_issues(listed, chances, filter_by=rule, n_jobs=1)
        else:
            from cleanlab import filter as filters
            from cleanlab.rank import get_label_quality_scores

            scores = get_label_quality_scores(given, chances, method="self_confidence")
            errors = filters.find_label_issues(given, chances, filter_by=rule, n_jobs=1)
    return np.asarray(scores, dtype=np.float64), np.asarray(errors, dtype=bool)


def rank(
    task: Task, table: pa.Table, chances: NDArray[np.float64], given: NDArray[Any]
) -> pa.Table:
    """Return rows with what is suggested for them, the surest error first.

    Args:
        task: One of labels of whole texts.
        table: Columns `row`, `split`, `text`, `label`; n rows.
        chances: As for `quality`.
        given: As for `quality`.

    Returns:
        Columns `row`, `split`, `text`, `given`, `suggested`, `chance`, `score`, `error`; see
        `core.dataset.Suspect`.
    """
    scores, errors = quality(chances, given)
    if given.ndim == 1:
        cells = [task.labels[number] for number in chances.argmax(axis=1)]
        sure = chances.max(axis=1)
    else:
        names, picked = np.array(task.labels), chances >= LIKELY
        cells = [task.write(frozenset(names[row].tolist())) for row in picked]
        sure = np.where(picked, chances, 1 - chances).prod(axis=1)
    columns = {name: table[name] for name in (ROW, "split", "text")} | {
        "given": table["label"],
        "suggested": pa.array(cells, pa.string()),
        "chance": pa.array(sure, pa.float64()),
        "score": pa.array(scores, pa.float64()),
        "error": pa.array(errors),
    }
    # Of several labels an error need not have the lowest score.
    return pa.table(columns).take(pa.array(np.lexsort((scores, ~errors))))


def finding(ranked: pa.Table, rare: int) -> Finding:
    """Return what is told of a ranking from `rank`; `rare` rows could not be judged."""
    errors = ranked.filter(ranked["error"])
    rows = errors[ROW].to_pylist()
    counts = {split: pc.sum(pc.equal(errors["split"], split)).as_py() or 0 for split in SPLITS}
    told = ", ".join(f"{count} in {split}" for split, count in counts.items() if count)
    judged = f"of {ranked.num_rows} judged"
    detail = "; ".join(part for part in (told, judged) if part)
    if rare:
        detail += f"; {rare} not judged: their label is too rare"
    return Finding(
        rule="label probably wrong",
        action="kept",
        count=len(rows),
        rows=tuple(rows[:SHOWN]),
        detail=detail,
    )
