"""Rows of several annotators become one row a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from bessemer.core.dataset import ROW
from bessemer.core.errors import DataError
from bessemer.measures import crowd
from bessemer.measures.crowd import Votes
from bessemer.prepare.desk import ANNOTATOR, LABELS, Desk
from bessemer.prepare.digests import of_text
from bessemer.prepare.rows import cells

#: Annotators that a finding tells of, those who are least often right first.
TOLD = 5


def join(table: pa.Table, desk: Desk) -> pa.Table:
    """Return one row for each id, with the label that its annotators' labels make probable.

    All else is as in the id's first row.

    Args:
        table: Read, and with the column `ANNOTATOR`.
        desk: Its task must be one of a single label a text.

    Raises:
        DataError: A row has no annotator, or rows of one id have different texts.
    """
    where, rules = desk.where, desk.rules
    if not desk.task.answers_once:
        raise DataError(
            f"{where}: data.columns.annotator is set, but only labels of which each text has"
            " exactly one can be joined.",
            remedy="Leave it out, and give one row a text.",
        )
    first = _first_places(table, where)
    keys, names = table["id"].to_pylist(), table[ANNOTATOR].to_pylist()
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
    mask = np.zeros(table.num_rows, dtype=bool)
    mask[[first[item] for item in items]] = True
    kept = desk.shop.where(table, mask).drop_columns([ANNOTATOR])
    # Items are numbered as they come, which is how their first rows lie.
    told_labels = [labels[number] for number in chosen]
    sets = np.array([desk.sets.number(frozenset([cell])) for cell in told_labels], dtype=np.int32)
    for name, column in (("label", pa.array(told_labels, pa.string())), (LABELS, pa.array(sets))):
        kept = kept.set_column(kept.column_names.index(name), name, column)
    torn = (votes.counts() > 0).sum(axis=1) > 1
    lost = table.num_rows - kept.num_rows
    detail = f"{told}; joined by {rules.votes}"
    desk.ledger.found(
        "annotators differ", "joined", desk.named(kept, torn), detail=detail, lost=lost
    )
    return kept


def _first_places(table: pa.Table, where: str) -> dict[str, int]:
    """Return where each id stands first, after looking that its rows have one text."""
    rows = table[ROW].to_pylist()
    first: dict[str, int] = {}
    digests: dict[str, bytes] = {}
    for place, (key, name, text) in enumerate(cells(table, "id", ANNOTATOR, "text")):
        if not (name or "").strip():
            raise DataError(
                f"{where}, row {rows[place]}: there is no annotator.",
                remedy="Say who labelled it, or leave data.columns.annotator out.",
            )
        one = first.setdefault(key, place)
        digest = of_text(text)
        if digests.setdefault(key, digest) != digest:
            raise DataError(
                f"{where}: the rows {rows[one]} and {rows[place]} have the id {key!r} and"
                " different texts.",
                remedy="Give each text an id of its own, or leave data.columns.id out.",
            )
    return first


def _least(people: Sequence[str], accuracy: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    order = np.argsort(accuracy, kind="stable")[:TOLD]
    more = ", …" if len(people) > TOLD else ""
    return ", ".join(f"{people[n]} {accuracy[n]:.2f}" for n in order) + more
