"""Is this table what the task needs? Flaws are mended as told, or named with their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.dataset import Finding
from bessemer.core.errors import DataError, nearest
from bessemer.core.project import Columns, Prepare

SHOWN = 10
ROW = "row"


def select(table: pa.Table, columns: Columns, extra: dict[str, str], where: str) -> pa.Table:
    """Return the columns `row`, `id`, `text`, `label`, those of `extra`, and all others.

    Args:
        table: As the source gave it.
        columns: Which column plays which role.
        extra: Columns to be kept under another name as well, as {new name: name}.
        where: The table's name, for messages.

    Returns:
        A table in which `row` is the number of the row in the source, from 1.

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
    ids = table[columns.id] if columns.id else pc.cast(numbers, pa.string())
    result = {ROW: numbers, "id": ids, "text": table[columns.text], "label": table[columns.label]}
    result |= {new: table[name] for new, name in extra.items()}
    used = {columns.text, columns.label, columns.id}
    for name in table.column_names:
        if name not in used:
            result[name if name not in result else f"{name}_"] = table[name]
    return pa.table(result)


def mend(table: pa.Table, rules: Prepare, where: str) -> tuple[pa.Table, list[Finding]]:
    """Apply the rules for empty cells, labels and exact duplicates, in this order.

    Raises:
        DataError: A flaw for which the rule says "error", or no rows are left.
    """
    findings: list[Finding] = []
    table = _empty(table, rules, where, findings)
    table = _labels(table, rules, where, findings)
    if rules.duplicates == "drop":
        table = _duplicates(table, findings)
    return table, findings


def _finding(table: pa.Table, rule: str, action: str, detail: str = "") -> Finding:
    rows = table[ROW].to_pylist()
    return Finding(
        rule=rule, action=action, count=len(rows), rows=tuple(rows[:SHOWN]), detail=detail
    )


def _listed(rows: Iterable[int], count: int) -> str:
    shown = ", ".join(str(row) for row in rows)
    return f"{shown}, …" if count > SHOWN else shown


def _empty(table: pa.Table, rules: Prepare, where: str, findings: list[Finding]) -> pa.Table:
    for column in ("text", "label"):
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


def _labels(table: pa.Table, rules: Prepare, where: str, findings: list[Finding]) -> pa.Table:
    """Join labels that differ in case or blanks only into the most frequent spelling."""
    spellings: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for entry in pc.value_counts(table["label"]).to_pylist():
        key = " ".join(entry["values"].split()).casefold()
        spellings[key].append((entry["counts"], entry["values"]))
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
        changed = table.filter(pc.is_in(table["label"], pa.array(list(joined), pa.string())))
        detail = "; ".join(f"{old!r} → {new!r}" for old, new in sorted(joined.items()))
        findings.append(_finding(changed, "labels alike", "joined", detail))
    names = [joined.get(label, label).strip() for label in table["label"].to_pylist()]
    position = table.column_names.index("label")
    return table.set_column(position, "label", pa.array(names, pa.string()))


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
