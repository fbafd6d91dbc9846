"""Rows of a prepared data set, read batch by batch: all of them, a page, those of a finding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bessemer.core import folder
from bessemer.core.dataset import ROW, Finding
from bessemer.core.datasets import NamedDataset
from bessemer.core.errors import UnknownNameError
from bessemer.prepare import differences
from bessemer.prepare.desk import LABELLED
from bessemer.prepare.ledger import FINDINGS
from bessemer.tasks.base import TASKS, Task

#: Rows that are read at once.
BATCH = 16_384
#: What the stage `inspect` found, and the rows that it ranked.
INSPECTION, SUSPECTS = "inspection.json", "suspects.parquet"
#: What a page shows of a row.
SHOWN = ("row", "id", "text", "label")


@dataclass(frozen=True)
class Page:
    """Some of the rows that fit, and how many do."""

    rows: list[dict[str, Any]]
    total: int


@dataclass(frozen=True)
class Reader:
    """Reads the rows of a data set.

    Args:
        path: Folder of the stage's output.
        named: The data set.
    """

    path: Path
    named: NamedDataset

    @property
    def task(self) -> Task:
        """Return the task that reads its labels."""
        rules, labels = self.named.label_rules, self.named.dataset.labels
        return TASKS.load(self.named.task)(rules, labels)

    def splits(self, split: str | None = None) -> tuple[str, ...]:
        """Return all splits, or the one that is asked for.

        Raises:
            UnknownNameError: There is no such split.
        """
        known = self.named.splits
        if split is not None and split not in known:
            raise UnknownNameError("split", split, known)
        return known if split is None else (split,)

    def schema(self, split: str) -> pa.Schema:
        """Return the columns of a split."""
        return pq.read_schema(self.path / f"{split}.parquet").remove_metadata()

    def batches(self, split: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a split, with some columns or all."""
        with pq.ParquetFile(self.path / f"{split}.parquet") as file:
            yield from file.iter_batches(BATCH, columns=columns)

    def check(self, splits: Sequence[str]) -> None:
        """Compare the files of splits with their manifest.

        Raises:
            CorruptError: One is missing or changed.
        """
        known = folder.entries(self.path)
        for split in splits:
            folder.check_file(self.path / f"{split}.parquet", known[f"{split}.parquet"])

    def compared(self) -> differences.Rows:
        """Return what two data sets are compared by.

        Raises:
            CorruptError: A file is missing or changed.
        """
        splits = self.splits()
        self.check(splits)
        schema = pa.unify_schemas(map(self.schema, splits), promote_options="permissive")
        return differences.Rows(
            self.named, lambda split: self.batches(split, ("id", "text", "label")), schema
        )

    def page(self, split: str | None, label: str, search: str, begin: int, count: int) -> Page:
        """Return some of the rows that fit; no Python object is made of the others.

        Args:
            split: Of this split only.
            label: With this label only; "" for all.
            search: With this in their text, in small letters or large; "" for all.
            begin: How many of them come before the first that is shown.
            count: How many are shown at most.
        """
        rows: list[dict[str, Any]] = []
        total, all_fit = 0, not (label or search)
        for name in self.splits(split):
            before, held = total, self.named.dataset.counts[name]
            batches = self.batches(name, SHOWN)
            # Where all fit, nothing is read that is not shown or on the way to it.
            if all_fit and before + held <= begin:
                batches = iter(())
            for batch in batches:
                if all_fit and len(rows) == count:
                    break
                fits = self._fitting(batch, label, search)
                here = batch if fits is None else batch.filter(fits)
                wanted = here.slice(max(0, begin - total), count - len(rows))
                rows += [{"split": name, **row} for row in wanted.to_pylist()]
                total += here.num_rows
            total = before + held if all_fit else total
        return Page(rows, total)

    def _fitting(self, batch: pa.RecordBatch, label: str, search: str) -> pa.Array | None:
        masks = []
        if search:
            masks.append(pc.match_substring(batch["text"], search, ignore_case=True))
        if label and self.task.answers_once:
            masks.append(pc.equal(batch["label"], label))
        elif label:
            masks.append(self._holding(batch, label))
        mask = masks[0] if masks else None
        for other in masks[1:]:
            mask = pc.and_(mask, other)
        return mask

    def _holding(self, batch: pa.RecordBatch, label: str) -> pa.Array:
        """Return which rows have a label among others; only those that might are read."""
        from bessemer.prepare.checks import answers_of
        from bessemer.tasks.base import label_of

        near = pc.fill_null(pc.match_substring(batch["label"], _within(label)), False)
        near = pc.or_(near, pc.fill_null(pc.equal(batch["label"], label), False))
        some = pa.table(batch.filter(near))
        said = [any(label_of(a) == label for a in row) for row in answers_of(some, self.task)]
        return pc.replace_with_mask(near, near, pa.array(said, pa.bool_()))

    def found(self, number: int, begin: int, count: int) -> Page:
        """Return some of the rows that a finding names, with their texts where they still are.

        A row that was left out has its number and what was said of it only.

        Args:
            number: Of the finding, from 0.
            begin: How many rows come before the first that is wanted.
            count: How many are wanted at most.
        """
        findings = self.named.dataset.findings
        path, finding = self.path / FINDINGS, findings[number]
        if path.is_file():
            same = (pc.field("rule") == finding.rule) & (pc.field("action") == finding.action)
            table = pq.read_table(path, filters=same)
            # A rule may have found something in each source file; the rows are in their order.
            alike = [f for f in findings[:number] if _kind(f) == _kind(finding)]
            table = table.slice(sum(f.count for f in alike), finding.count)
        else:
            table = pa.table({"row": pa.array(finding.rows, pa.int64())})
        total = table.num_rows
        table = table.slice(begin, count)
        blank = {"split": None, "source": "source", "other": None, "detail": ""}
        rows = [{**blank, **row} for row in table.to_pylist()]
        # What people said is numbered on from the source's rows.
        role = {LABELLED: "source"}
        places = [(role.get(row["source"], row["source"]), row["row"]) for row in rows]
        texts = self._texts(places)
        pairs = zip(rows, places, strict=True)
        return Page([{**row, **texts.get(place, {})} for row, place in pairs], total)

    def suspects(self, begin: int, count: int) -> Page | None:
        """Return some of the rows whose label is probably wrong, the surest first.

        None where nobody has looked for them; see `Platform.inspect`.
        """
        stage = self.path.parent.parent / "inspect"
        for path in sorted(stage.glob(f"*/{INSPECTION}"), key=lambda p: -p.stat().st_mtime):
            if json.loads(path.read_text("utf-8"))["dataset"] == self.named.dataset.digest:
                errors = pc.field("error")
                table = pq.read_table(path.with_name(SUSPECTS), filters=errors)
                return Page(table.slice(begin, count).to_pylist(), table.num_rows)
        return None

    def _texts(self, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[str, Any]]:
        """Return the rows with these numbers in these source files, as far as there are."""
        own = set(self.named.dataset.source_digests) - {"source"}
        found = {}
        for split in self.splits():
            source = split if split in own else "source"
            numbers = pa.array([row for role, row in wanted if role == source], pa.int64())
            if not len(numbers):
                continue
            for batch in self.batches(split, SHOWN):
                for row in batch.filter(pc.is_in(batch[ROW], numbers)).to_pylist():
                    found[source, row[ROW]] = {"split": split, **row}
        return found


def _within(label: str) -> str:
    """Return a label as it stands in JSON."""
    return json.dumps(label, ensure_ascii=False)[1:-1]


def _kind(finding: Finding) -> tuple[str, str]:
    return finding.rule, finding.action
