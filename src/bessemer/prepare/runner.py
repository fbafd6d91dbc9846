"""The verb `prepare`: from source files to checked, split rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bessemer.core.dataset import SPLITS, Finding, Version
from bessemer.core.progress import Progress
from bessemer.core.project import Data, Prepare
from bessemer.prepare import checks, duplicates, outliers, splits
from bessemer.prepare.corrections import COLUMNS, KEPT, Corrections, labels_of
from bessemer.prepare.desk import ANNOTATOR, GROUP, LABELLED, SPLIT, Desk, LabelSets
from bessemer.prepare.leakage import compare
from bessemer.prepare.ledger import FINDINGS, Ledger
from bessemer.prepare.presidio import Model, Names
from bessemer.prepare.rows import Workshop
from bessemer.prepare.select import select
from bessemer.prepare.sources.base import source_for
from bessemer.prepare.whole import Whole
from bessemer.tasks.base import Task


@dataclass(frozen=True)
class Inputs:
    """What rows are made from."""

    #: `source`, `test` or `validation` where these are files of their own, and `labels` where
    #: people have labelled.
    files: dict[str, Path]
    #: Digest of what is in them.
    digest: str
    seed: int
    #: Which looks for names in the texts.
    model: Model | None = None


@dataclass(frozen=True)
class Prepared:
    """What became of the rows; they lie in one Parquet file a split."""

    #: Each split has the columns row, id, text, label and the source's others.
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    history: tuple[Version, ...]


def prepare(
    task: Task, data: Data, rules: Prepare, inputs: Inputs, target: Path, progress: Progress
) -> Prepared:
    """Read, check, mend and split, and write the splits; memory grows with a row, not its text.

    Args:
        task: Which reads the label column.
        data: The project's block.
        rules: What is done about flaws.
        inputs: Files and seed.
        target: Folder for the files; the rows are kept there in the meantime, too.
        progress: Is told how far the long checks are.

    Raises:
        DataError: The rows are not what the task needs; see `prepare.checks`.
        BessemerError: The model is not what it should be; see `prepare.presidio.Names`.
    """
    shop = Workshop(target)
    tables: dict[str, pa.Table] = {}
    for role, path in inputs.files.items():
        # So that no two rows of the train split have one number.
        before = tables["source"].num_rows if role == LABELLED else 0
        said = LABELLED in inputs.files
        tables[role] = _read(path, role, data, shop, before=before, unlabelled=said)
    ledger = Ledger(inputs.digest, sum(table.num_rows for table in tables.values()))
    sets = LabelSets()
    names = Names(inputs.model) if inputs.model and rules.pii != "ignore" else None
    desks = {
        role: Desk(task, rules, ledger, shop, role, path.name, sets, names)
        for role, path in inputs.files.items()
    }
    tables = _mended(tables, desks)
    numbers = _split(data, inputs.seed, tables, sets)
    whole = Whole(tables, numbers, sets)
    name = inputs.files["source"].name
    splits.check(whole.counts(), whole.labels(), task, name)
    whole = compare(whole, rules, ledger, shop, progress)
    labels = splits.check(whole.counts(), whole.labels(), task, name)
    outliers.report(whole, ledger)
    columns = whole.write(target)
    ledger.write(target / FINDINGS)
    return Prepared(columns, labels, whole.counts(), tuple(ledger.findings), tuple(ledger.history))


def _mended(tables: dict[str, pa.Table], desks: dict[str, Desk]) -> dict[str, pa.Table]:
    """Return the sources' rows after the checks of each, with what people said of them."""
    said = None
    if LABELLED in tables:
        read = tables.pop(LABELLED)
        if not desks[LABELLED].task.answers_once:
            # Sets and spans cannot be voted on: what was said last counts.
            read = read.drop_columns([ANNOTATOR])
        known = frozenset[str]().union(
            *(labels_of(table, desks[LABELLED]) for table in tables.values())
        )
        desk = desks[LABELLED]
        said = Corrections(read, checks.mend(read, desk), known, desk)
    for role, read in tables.items():
        desk = desks[role]
        table = checks.mend(read if said is None else said.put(read, desk), desk)
        if desk.rules.duplicates == "drop":
            table = duplicates.without_exact(table, desk)
        tables[role] = table
    if said is not None and (rest := said.rest(desks[LABELLED])).num_rows:
        tables[LABELLED] = rest
    return tables


def _read(
    path: Path, role: str, data: Data, shop: Workshop, *, before: int, unlabelled: bool
) -> pa.Table:
    roles = {
        GROUP: data.split.group,
        SPLIT: data.split.column,
        ANNOTATOR: data.columns.annotator,
    }
    if role == LABELLED:
        data, roles = data.model_copy(update={"columns": COLUMNS}), {ANNOTATOR: "annotator"}
    extra = {new: name for new, name in roles.items() if name and role in ("source", LABELLED)}
    batches = source_for(path)[1]().read(path, data)
    if role == LABELLED:
        batches = (batch.select(KEPT) for batch in batches)
    chosen = select(batches, data.columns, extra, path.name, before=before, unlabelled=unlabelled)
    return shop.keep(chosen)


def _split(
    data: Data, seed: int, tables: dict[str, pa.Table], sets: LabelSets
) -> dict[str, splits.Numbers]:
    """Return the number of each row's split, its place in `SPLITS`, by source."""
    found = {
        role: np.full(table.num_rows, SPLITS.index(role) if role in SPLITS else 0, dtype=np.int8)
        for role, table in tables.items()
    }
    rest = tables["source"]
    present = set(tables)
    if data.split.column is not None:
        found["source"] = splits.by_column(rest, data.split.column)
        present |= {SPLITS[number] for number in np.unique(found["source"])}
        if "validation" in present:
            return found
    for offset, name in enumerate(("test", "validation")):
        share = getattr(data.split, name)
        if name not in present and isinstance(share, float):
            free = found["source"] == 0
            part = splits.by_share(rest, free, share, seed + offset, sets)
            found["source"][part] = SPLITS.index(name)
    return found
