"""The verb `prepare`: from source files to checked, split rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.dataset import ROW, SHOWN, SPLITS, Finding
from bessemer.core.project import Data, Prepare
from bessemer.prepare import checks, splits
from bessemer.prepare.annotators import ANNOTATOR
from bessemer.prepare.sources.base import source_for
from bessemer.tasks.base import Task


@dataclass(frozen=True)
class Prepared:
    """Rows by split, each with the columns row, id, text, label and the source's others."""

    tables: dict[str, pa.Table]
    labels: tuple[str, ...]
    findings: tuple[Finding, ...]


def prepare(task: Task, data: Data, rules: Prepare, seed: int, files: dict[str, Path]) -> Prepared:
    """Read, check, mend and split.

    Args:
        task: Which reads the label column.
        data: The project's block.
        rules: What is done about flaws.
        seed: Of the splits.
        files: `source`, and `test` or `validation` where these are files of their own.

    Raises:
        DataError: The rows are not what the task needs; see `prepare.checks`.
    """
    tables: dict[str, pa.Table] = {}
    findings: list[Finding] = []
    for role, path in files.items():
        roles = {
            splits.GROUP: data.split.group,
            splits.SPLIT: data.split.column,
            ANNOTATOR: data.columns.annotator,
        }
        extra = {new: name for new, name in roles.items() if name and role == "source"}
        table = pa.Table.from_batches(source_for(path)[1]().read(path, data))
        table = checks.select(table, data.columns, extra, str(path.name))
        tables[role], found = checks.mend(table, task, rules, str(path.name))
        tables[role] = splits.with_strata(tables[role], checks.answers_of(tables[role], task))
        findings += found
    result = _split(data, seed, tables)
    result = {name: _without_helpers(table) for name, table in result.items()}
    answers = {name: checks.answers_of(table, task) for name, table in result.items()}
    labels = splits.check(answers, task, files["source"].name)
    findings += _leaks(result)
    return Prepared(tables=result, labels=labels, findings=tuple(findings))


def _without_helpers(table: pa.Table) -> pa.Table:
    helpers = (splits.GROUP, splits.SPLIT, splits.STRATUM)
    return table.drop_columns([name for name in helpers if name in table.column_names])


def _split(data: Data, seed: int, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    rest = tables["source"]
    if data.split.column is not None:
        result = splits.by_column(rest, data.split.column)
        if "validation" in result:
            return result
        rest = result.get("train", rest.slice(0, 0))
        tables = {**tables, **{name: result[name] for name in ("test",) if name in result}}
    result = {name: tables[name] for name in ("test", "validation") if name in tables}
    for offset, name in enumerate(("test", "validation")):
        share = getattr(data.split, name)
        if name not in result and isinstance(share, float):
            rest, result[name] = splits.by_share(rest, share, seed + offset)
    return {"train": rest, **result}


def _leaks(tables: dict[str, pa.Table]) -> list[Finding]:
    """Report texts of a later split that stand in an earlier one as well."""
    findings = []
    for position, name in enumerate(SPLITS[1:], start=1):
        earlier = pa.concat_arrays(
            [chunk for split in SPLITS[:position] for chunk in tables[split]["text"].chunks]
        )
        leaked = tables[name].filter(pc.is_in(tables[name]["text"], earlier))
        if leaked.num_rows:
            rows = leaked[ROW].to_pylist()
            findings.append(
                Finding(
                    rule=f"text of {name} also in an earlier split",
                    action="kept",
                    count=len(rows),
                    rows=tuple(rows[:SHOWN]),
                )
            )
    return findings
