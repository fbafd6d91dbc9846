"""Is this table what the task needs? Flaws are mended as told, or named with their rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bessemer.core.dataset import SHOWN, Finding
from bessemer.core.errors import DataError
from bessemer.prepare import annotators, pii
from bessemer.prepare.desk import ANNOTATOR, LABELS, Desk
from bessemer.prepare.rows import Mask, cells, placed
from bessemer.tasks.base import Answers, Span, Task, label_of


def mend(table: pa.Table, desk: Desk) -> pa.Table:
    """Apply the rules for empty cells, misread and like labels, several annotators, and personal
    data, in this order.

    The label column is written as the task writes it afterwards, and the column `LABELS` is
    there.

    Raises:
        DataError: A flaw for which the rule says "error", or no rows are left.
    """
    table = _empty(table, desk)
    table, wrong = _read(table, desk)
    table = _without_misread(table, wrong, desk)
    table = _alike(table, desk)
    if ANNOTATOR in table.column_names:
        table = annotators.join(table, desk)
    return table if desk.rules.pii == "ignore" else _personal(table, desk)


def answers_of(table: pa.Table, task: Task) -> list[Answers]:
    """Return what the label column of a mended table says, row by row."""
    return [task.parse(text, cell or "") for text, cell in cells(table, "text", "label")]


def _listed(found: Finding) -> str:
    shown = ", ".join(map(str, found.rows))
    return f"{shown}, …" if found.count > SHOWN else shown


def _empty(table: pa.Table, desk: Desk) -> pa.Table:
    for column in ("text",) if desk.task.label_may_be_empty else ("text", "label"):
        if not table.num_rows:
            break
        blank = np.concatenate([_blank(batch[column]) for _, batch in placed(table)])
        if not blank.any():
            continue
        found = desk.ledger.found(f"empty {column}", "dropped", desk.named(table, blank))
        if desk.rules.empty == "error":
            raise DataError(
                f"{desk.where}: {found.count} of {table.num_rows} rows have an empty {column}"
                f" (rows {_listed(found)}).",
                remedy="Fill them in, or set prepare.empty to drop.",
            )
        table = desk.shop.where(table, ~blank)
        if not table.num_rows and not desk.may_be_empty:
            raise DataError(
                f"{desk.where}: no row has both a text and a label.",
                remedy="Label some rows first.",
            )
    return table


def _blank(column: pa.Array) -> Mask:
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
    found: Mask = pc.equal(pc.binary_length(trimmed), 0).to_numpy(zero_copy_only=False)
    return found


def _read(table: pa.Table, desk: Desk) -> tuple[pa.Table, dict[int, str]]:
    """Read the label column; return the table and why which places cannot be read."""
    wrong: dict[int, str] = {}
    written: list[pa.Array] = []
    numbers: list[NDArray[np.int32]] = []
    for start, batch in placed(table.select(["text", "label"])):
        told: list[str | None] = []
        sets = np.zeros(batch.num_rows, dtype=np.int32)
        pairs = zip(batch["text"].to_pylist(), batch["label"].to_pylist(), strict=True)
        for n, (text, cell) in enumerate(pairs):
            try:
                answers = desk.task.parse(text, cell or "")
            except ValueError as error:
                wrong[start + n] = str(error)
                told.append(cell)
                continue
            told.append(desk.task.write(answers))
            sets[n] = desk.sets.number(frozenset(label_of(answer) for answer in answers))
        written.append(pa.array(told, pa.string()))
        numbers.append(sets)
    column = pa.chunked_array(written, pa.string())
    table = table.set_column(table.column_names.index("label"), "label", column)
    of_rows = np.concatenate([np.zeros(0, dtype=np.int32), *numbers])
    return table.append_column(LABELS, pa.array(of_rows)), wrong


def _without_misread(table: pa.Table, wrong: dict[int, str], desk: Desk) -> pa.Table:
    if not wrong:
        return table
    mask = np.zeros(table.num_rows, dtype=bool)
    mask[list(wrong)] = True
    reason = next(iter(wrong.values()))
    named = desk.named(table, mask)
    found = desk.ledger.found("label misread", "dropped", named, detail=f"the first: {reason}")
    if desk.rules.misread == "error":
        raise DataError(
            f"{desk.where}, row {found.rows[0]}: {reason}"
            + (f" ({found.count} rows in all: {_listed(found)})." if found.count > 1 else "."),
            remedy="Mend these labels, or set prepare.misread to drop.",
        )
    if mask.all() and not desk.may_be_empty:
        raise DataError(
            f"{desk.where}: no row's label can be read.", remedy=f"The first: {reason}."
        )
    return desk.shop.where(table, ~mask)


def _alike(table: pa.Table, desk: Desk) -> pa.Table:
    """Join labels that differ in case or blanks only into the most frequent spelling."""
    numbers = table[LABELS].to_numpy()
    counts = desk.sets.counts(numbers)
    spellings: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for label, count in counts.items():
        spellings[" ".join(label.split()).casefold()].append((count, label))
    twins = {key: sorted(group, reverse=True) for key, group in spellings.items() if len(group) > 1}
    if twins and desk.rules.labels == "error":
        group = next(iter(twins.values()))
        listed = " and ".join(f"{label!r} ({count} rows)" for count, label in group)
        raise DataError(
            f"{desk.where}: the labels {listed} differ in case or blanks only"
            + (f", as do {len(twins) - 1} more groups." if len(twins) > 1 else "."),
            remedy="Write them alike, or set prepare.labels to join.",
        )
    joined = {label: group[0][1] for group in twins.values() for _, label in group[1:]}
    if joined:
        odd = np.array([bool(labels & joined.keys()) for labels in desk.sets.sets])[numbers]
        detail = "; ".join(f"{old!r} → {new!r}" for old, new in sorted(joined.items()))
        desk.ledger.found("labels alike", "joined", desk.named(table, odd), detail=detail, lost=0)
    names = {label: joined.get(label, label).strip() for label in counts}
    return renamed(table, {old: new for old, new in names.items() if old != new}, desk)


def renamed(table: pa.Table, names: dict[str, str], desk: Desk) -> pa.Table:
    """Return the table with labels written by other names."""
    if not names:
        return table
    old = table[LABELS].to_numpy()
    moved = [
        desk.sets.number(frozenset(names.get(label, label) for label in labels))
        for labels in list(desk.sets.sets)
    ]
    told = [
        desk.task.write(frozenset(_named(answer, names) for answer in answers))
        for answers in answers_of(table, desk.task)
    ]
    table = table.set_column(
        table.column_names.index("label"), "label", pa.array(told, pa.string())
    )
    new = pa.array(np.array(moved, dtype=np.int32)[old])
    return table.set_column(table.column_names.index(LABELS), LABELS, new)


def _named(answer: str | Span, names: dict[str, str]) -> str | Span:
    new = names.get(label_of(answer), label_of(answer))
    return new if isinstance(answer, str) else answer._replace(label=new)


def _personal(table: pa.Table, desk: Desk) -> pa.Table:
    """Report, mask or drop texts that hold personal data."""
    found = {n: some for n, some in enumerate(_finds(table, desk)) if some}
    if not found:
        return table
    odd = np.zeros(table.num_rows, dtype=bool)
    odd[list(found)] = True
    kinds = Counter(one.kind for some in found.values() for one in some)
    rule, where = desk.rules.pii, desk.where
    action = {"mask": "masked", "drop": "dropped"}.get(rule, "kept")
    detail = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    finding = desk.ledger.found("personal data", action, desk.named(table, odd), detail=detail)
    if rule == "error":
        raise DataError(
            f"{where}: {finding.count} of {table.num_rows} texts hold personal data ({detail};"
            f" rows {_listed(finding)}).",
            remedy="Take it out, or set prepare.pii to mask, drop or report.",
        )
    if rule == "drop":
        if odd.all() and not desk.may_be_empty:
            raise DataError(
                f"{where}: every text holds personal data ({detail}).",
                remedy="Set prepare.pii to mask or report.",
            )
        return desk.shop.where(table, ~odd)
    return _masked(table, found, desk) if rule == "mask" else table


def _finds(table: pa.Table, desk: Desk) -> Iterator[list[pii.Found]]:
    """Yield the personal data of each text, names included where the project asks for them."""
    for _, batch in placed(table.select(["text"])):
        texts = batch["text"].to_pylist()
        if desk.names is None:
            yield from map(pii.find, texts)
            continue
        for text, names in zip(texts, desk.names.find(texts), strict=True):
            yield pii.joined(text, pii.find(text), names)


def _masked(table: pa.Table, found: dict[int, list[pii.Found]], desk: Desk) -> pa.Table:
    """Return the table with kinds in the place of personal data, spans moved along."""
    told: list[str] = []
    for n, (text, cell) in enumerate(cells(table, "text", "label")):
        if n not in found:
            told.append(cell)
            continue
        answers = desk.task.parse(text, cell)
        moved = _apart(_moved(answer, found[n]) for answer in answers)
        told.append(desk.task.write(frozenset(moved)))
    labels = pa.array(told, pa.string())
    table = table.set_column(table.column_names.index("label"), "label", labels)
    return desk.shop.changed(
        table, "text", lambda n, text: pii.mask(text, found[n]) if n in found else text
    )


def _apart(answers: Iterable[str | Span]) -> Iterator[str | Span]:
    """Yield answers without spans that overlap one before: they were parts of one thing that is
    masked as a whole.
    """
    end = 0
    for answer in sorted(answers, key=lambda one: (one,) if isinstance(one, str) else one[:2]):
        if isinstance(answer, str):
            yield answer
        elif answer.start >= end:
            end = answer.end
            yield answer


def _moved(answer: str | Span, found: Iterable[pii.Found]) -> str | Span:
    """Return an answer about a text as one about the masked text."""
    if isinstance(answer, str):
        return answer
    some = list(found)
    start, end = (pii.moved(answer.start, some, end=False), pii.moved(answer.end, some, end=True))
    return answer._replace(start=start, end=end)
