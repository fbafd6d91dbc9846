"""Rows of several annotators become one row a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from bessemer.core.dataset import ROW, SHOWN, Finding
from bessemer.core.errors import DataError
from bessemer.core.project import Prepare
from bessemer.measures import crowd
from bessemer.measures.crowd import Votes
from bessemer.tasks.base import Task

#: The column that says who labelled a row, under the name that it has in here.
ANNOTATOR = "_annotator"
#: Annotators that a finding tells of, those who are least often right first.
TOLD = 5


def join(table: pa.Table, task: Task, rules: Prepare, where: str) -> tuple[pa.Table, Finding]:
    """Return one row for each id, with the label that its annotators' labels make probable.

    All else is as in the id's first row.

    Args:
        table: With the column `ANNOTATOR`.
        task: Must be one of a single label a text.
        rules: Says how labels are joined.
        where: The table's name, for messages.

    Raises:
        DataError: A row has no annotator, or rows of one id have different texts.
    """
    if not task.answers_once:
        raise DataError(
            f"{where}: data.columns.annotator is set, but only labels of which each text has"
            " exactly one can be joined.",
            remedy="Leave it out, and give one row a text.",
        )
    keys, names = table["id"].to_pylist(), table[ANNOTATOR].to_pylist()
    texts, rows = table["text"].to_pylist(), table[ROW].to_pylist()
    first: dict[str, int] = {}
    for place, (key, name) in enumerate(zip(keys, names, strict=True)):
        if not (name or "").strip():
            raise DataError(
                f"{where}, row {rows[place]}: there is no annotator.",
                remedy="Say who labelled it, or leave data.columns.annotator out.",
            )
        one = first.setdefault(key, place)
        if texts[one] != texts[place]:
            raise DataError(
                f"{where}: the rows {rows[one]} and {rows[place]} have the id {key!r} and"
                " different texts.",
                remedy="Give each text an id of its own, or leave data.columns.id out.",
            )
    votes, items, people, labels = Votes.of(
        list(zip(keys, names, table["label"].to_pylist(), strict=True))
    )
    told = f"{len(items)} texts, {len(people)} annotators"
    if (alpha := crowd.alpha(votes)) is not None:
        told += f", Krippendorff's alpha {alpha:.3f}"
    if rules.votes == "majority":
        chosen = crowd.majority(votes)
    else:
        consensus = crowd.dawid_skene(votes)
        chosen = consensus.labels
        told += f"; probably right: {_least(people, consensus.accuracy)}"
    kept = table.take(pa.array([first[item] for item in items])).drop_columns([ANNOTATOR])
    cells = pa.array([labels[number] for number in chosen], pa.string())
    kept = kept.set_column(kept.column_names.index("label"), "label", cells)
    torn = (votes.counts() > 0).sum(axis=1) > 1
    odd = [row for row, differ in zip(kept[ROW].to_pylist(), torn, strict=True) if differ]
    return kept, Finding(
        rule="annotators differ",
        action="joined",
        count=len(odd),
        rows=tuple(odd[:SHOWN]),
        detail=f"{told}; joined by {rules.votes}",
    )


def _least(people: Sequence[str], accuracy: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    order = np.argsort(accuracy, kind="stable")[:TOLD]
    more = ", …" if len(people) > TOLD else ""
    return ", ".join(f"{people[n]} {accuracy[n]:.2f}" for n in order) + more
