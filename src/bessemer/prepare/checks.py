"""Is this table what the task needs? Flaws are mended as told, or named with their rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.dataset import ROW, SHOWN, Finding
from bessemer.core.errors import DataError, nearest
from bessemer.core.project import Columns, Prepare
from bessemer.prepare import annotators, pii
from bessemer.tasks.base import Answers, Span, Task, label_of


def select(table: pa.Table, columns: Columns, extra: dict[str, str], where: str) -> pa.Table:
    """Return the columns `row`, `id`, `text`, `label`, those of `extra`, and all others.

    Args:
        table: As the source gave it.
        columns: Which column plays which role.
        extra: Columns to be kept under another name as well, as {new name: name}.
        where: The table's name, for messages.

    Returns:
        A table in which `row` is the number of the row in the source, from 1. Without a column
        for it, `id` is that number, or where several annotators label, that of the text's first
        row.

    Raises:
        DataError: A column is missing (the message names the nearest), or a cell holds NUL.
    """
    wanted = [columns.text, columns.label, columns.id, *extra.values()]
    for name in wanted:
        if name is not None and name not in table.column_names:
            close = nearest(name, table.column_names)
            raise DataError(
                f"{where} has no column {name!r}; it has"
                f" {', '.join(table.column_names) or 'none'}.",
                remedy=(f"Did you mean {close!r}? " if close else "")
                + "Set data.columns, or data.delimiter if the columns run together.",
            )
    if table.num_rows == 0:
        raise DataError(f"{where} has no rows.", remedy="Give a table with labelled rows.")
    for name in (columns.text, columns.label):
        nul = pc.fill_null(pc.match_substring(table[name], "\0"), False)
        if (row := pc.index(nul, True).as_py()) >= 0:
            raise DataError(
                f"{where}, row {row + 1}: the column {name!r} holds a NUL character.",
                remedy="Remove it: the row is damaged.",
            )
    numbers = pa.array(range(1, table.num_rows + 1), pa.int64())
    if columns.id:
        ids = table[columns.id]
    elif columns.annotator:
        first: dict[str, int] = {}
        texts = enumerate(table[columns.text].to_pylist(), start=1)
        ids = pa.array([str(first.setdefault(text, number)) for number, text in texts])
    else:
        ids = pc.cast(numbers, pa.string())
    result = {ROW: numbers, "id": ids, "text": table[columns.text], "label": table[columns.label]}
    result |= {new: table[name] for new, name in extra.items()}
    used = {columns.text, columns.label, columns.id, columns.annotator}
    for name in table.column_names:
        if name not in used:
            result[name if name not in result else f"{name}_"] = table[name]
    return pa.table(result)


def mend(table: pa.Table, task: Task, rules: Prepare, where: str) -> tuple[pa.Table, list[Finding]]:
    """Apply the rules for empty cells, misread and like labels, several annotators, personal
    data and exact duplicates, in this order.

    The label column is written as the task writes it afterwards.

    Raises:
        DataError: A flaw for which the rule says "error", or no rows are left.
    """
    findings: list[Finding] = []
    table = _empty(table, task, rules, where, findings)
    table, answers = _read(table, task, rules, where, findings)
    table = _labels(table, answers, task, rules, where, findings)
    if annotators.ANNOTATOR in table.column_names:
        table, finding = annotators.join(table, task, rules, where)
        findings.append(finding)
    if rules.pii != "ignore":
        table = _personal(table, task, rules, where, findings)
    if rules.duplicates == "drop":
        table = _duplicates(table, findings)
    return table, findings


def answers_of(table: pa.Table, task: Task) -> list[Answers]:
    """Return what the label column of a mended table says, row by row."""
    pairs = zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    return [task.parse(text, cell or "") for text, cell in pairs]


def _finding(table: pa.Table, rule: str, action: str, detail: str = "") -> Finding:
    rows = table[ROW].to_pylist()
    return Finding(
        rule=rule, action=action, count=len(rows), rows=tuple(rows[:SHOWN]), detail=detail
    )


def _listed(rows: Iterable[int], count: int) -> str:
    shown = ", ".join(str(row) for row in rows)
    return f"{shown}, …" if count > SHOWN else shown


def _empty(
    table: pa.Table, task: Task, rules: Prepare, where: str, findings: list[Finding]
) -> pa.Table:
    for column in ("text",) if task.label_may_be_empty else ("text", "label"):
        blank = pc.equal(pc.utf8_trim_whitespace(pc.fill_null(table[column], "")), "")
        found = table.filter(blank)
        if not found.num_rows:
            continue
        finding = _finding(found, f"empty {column}", "dropped")
        if rules.empty == "error":
            raise DataError(
                f"{where}: {finding.count} of {table.num_rows} rows have an empty {column}"
                f" (rows {_listed(finding.rows, finding.count)}).",
                remedy="Fill them in, or set prepare.empty to drop.",
            )
        findings.append(finding)
        table = table.filter(pc.invert(blank))
    if not table.num_rows:
        raise DataError(
            f"{where}: no row has both a text and a label.", remedy="Label some rows first."
        )
    return table


def _read(
    table: pa.Table, task: Task, rules: Prepare, where: str, findings: list[Finding]
) -> tuple[pa.Table, list[Answers]]:
    """Parse the label column; a row that cannot be is named, and dropped if that is the rule."""
    answers: list[Answers] = []
    wrong: list[int] = []
    reason = ""
    pairs = zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    for place, (text, cell) in enumerate(pairs):
        try:
            answers.append(task.parse(text, cell or ""))
        except ValueError as error:
            wrong.append(place)
            reason = reason or str(error)
    if not wrong:
        return table, answers
    found = table.take(pa.array(wrong))
    finding = _finding(found, "label misread", "dropped", f"the first: {reason}")
    if rules.misread == "error":
        raise DataError(
            f"{where}, row {finding.rows[0]}: {reason}"
            + (
                f" ({finding.count} rows in all: {_listed(finding.rows, finding.count)})."
                if finding.count > 1
                else "."
            ),
            remedy="Mend these labels, or set prepare.misread to drop.",
        )
    findings.append(finding)
    if not answers:
        raise DataError(f"{where}: no row's label can be read.", remedy=f"The first: {reason}.")
    dropped = set(wrong)
    return table.filter(pa.array([n not in dropped for n in range(table.num_rows)])), answers


def _labels(
    table: pa.Table,
    answers: list[Answers],
    task: Task,
    rules: Prepare,
    where: str,
    findings: list[Finding],
) -> pa.Table:
    """Join labels that differ in case or blanks only into the most frequent spelling."""
    counts = Counter(label_of(answer) for row in answers for answer in row)
    spellings: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for label, count in counts.items():
        spellings[" ".join(label.split()).casefold()].append((count, label))
    twins = {key: sorted(group, reverse=True) for key, group in spellings.items() if len(group) > 1}
    if twins and rules.labels == "error":
        group = next(iter(twins.values()))
        listed = " and ".join(f"{label!r} ({count} rows)" for count, label in group)
        raise DataError(
            f"{where}: the labels {listed} differ in case or blanks only"
            + (f", as do {len(twins) - 1} more groups." if len(twins) > 1 else "."),
            remedy="Write them alike, or set prepare.labels to join.",
        )
    joined = {label: group[0][1] for group in twins.values() for _, label in group[1:]}
    if joined:
        odd = [any(label_of(answer) in joined for answer in row) for row in answers]
        detail = "; ".join(f"{old!r} → {new!r}" for old, new in sorted(joined.items()))
        findings.append(_finding(table.filter(pa.array(odd)), "labels alike", "joined", detail))
    cells = [task.write(frozenset(_renamed(a, joined) for a in row)) for row in answers]
    position = table.column_names.index("label")
    return table.set_column(position, "label", pa.array(cells, pa.string()))


def _renamed(answer: str | Span, names: dict[str, str]) -> str | Span:
    label = label_of(answer)
    new = names.get(label, label).strip()
    return new if isinstance(answer, str) else answer._replace(label=new)


def _personal(
    table: pa.Table, task: Task, rules: Prepare, where: str, findings: list[Finding]
) -> pa.Table:
    """Report, mask or drop texts that hold personal data."""
    texts = table["text"].to_pylist()
    found = [pii.find(text) for text in texts]
    odd = pa.array([bool(one) for one in found])
    kinds = Counter(one.kind for some in found for one in some)
    if not kinds:
        return table
    action = {"mask": "masked", "drop": "dropped"}.get(rules.pii, "kept")
    detail = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    finding = _finding(table.filter(odd), "personal data", action, detail)
    if rules.pii == "error":
        raise DataError(
            f"{where}: {finding.count} of {table.num_rows} texts hold personal data ({detail};"
            f" rows {_listed(finding.rows, finding.count)}).",
            remedy="Take it out, or set prepare.pii to mask, drop or report.",
        )
    findings.append(finding)
    if rules.pii == "drop":
        if finding.count == table.num_rows:
            raise DataError(
                f"{where}: every text holds personal data ({detail}).",
                remedy="Set prepare.pii to mask or report.",
            )
        return table.filter(pc.invert(odd))
    if rules.pii == "mask":
        cells = [
            task.write(frozenset(_shifted(answer, some) for answer in answers))
            for answers, some in zip(answers_of(table, task), found, strict=True)
        ]
        masked = [pii.mask(text, some) for text, some in zip(texts, found, strict=True)]
        for name, values in (("text", masked), ("label", cells)):
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.array(values, pa.string()))
    return table


def _shifted(answer: str | Span, found: list[pii.Found]) -> str | Span:
    """Return an answer about a text as one about the masked text."""
    if isinstance(answer, str):
        return answer
    start, end = (pii.moved(answer.start, found, end=False), pii.moved(answer.end, found, end=True))
    return answer._replace(start=start, end=end)


def _duplicates(table: pa.Table, findings: list[Finding]) -> pa.Table:
    """Drop rows whose text and label stand in an earlier row; report contradictions."""
    keys = table.select([ROW, "text", "label"])
    first = keys.group_by(["text", "label"]).aggregate([(ROW, "min")])
    kept = pc.is_in(table[ROW], first[f"{ROW}_min"])
    if (dropped := table.filter(pc.invert(kept))).num_rows:
        findings.append(_finding(dropped, "exact duplicate", "dropped"))
    table = table.filter(kept)
    labels = table.group_by("text").aggregate([("label", "count")])
    torn = labels.filter(pc.greater(labels["label_count"], 1))["text"]
    conflicts = table.filter(pc.is_in(table["text"], torn))
    if conflicts.num_rows:
        findings.append(_finding(conflicts, "same text, other label", "kept"))
    return table
