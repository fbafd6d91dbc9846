"""Data sets under the names their projects gave them: what uses each, how two of them differ."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from bessemer.core.dataset import SPLITS, Dataset
from bessemer.core.project import Labels
from bessemer.core.record import Record

#: What rows can be exported as.
Form = Literal["csv", "jsonl", "parquet", "conll"]
#: What can have become of a row from one data set to another.
Change = Literal["added", "removed", "relabelled", "reworded", "moved"]


class Profile(Record):
    """What the rows of a data set look like."""

    #: Rows with each label in each split, `{split: {label: rows}}`, the commonest first. A row of
    #: several labels, or with several spans of one, counts once for each of them.
    labels: dict[str, dict[str, int]]
    #: Where each class of text lengths begins, in characters; the last one has no end.
    edges: tuple[int, ...]
    #: Texts of each split in each of these classes.
    lengths: dict[str, tuple[int, ...]]


class Use(Record):
    """A run that a data set went into, and what came of it."""

    run: str
    state: str
    started_at: datetime
    #: Whether weights were learnt from it, or found that were.
    trained: bool
    release: str | None


class NamedDataset(Record):
    """A data set under its project's next number."""

    #: `<project>.<number>`.
    id: str
    project: str
    number: int
    created_at: datetime
    #: Task family, which says what its labels mean, with what the project says of them.
    task: str
    label_rules: Labels
    #: Whether a column of the source names the rows; else their numbers do.
    identified: bool
    dataset: Dataset
    #: None in a list.
    profile: Profile | None = None
    #: The newest first.
    uses: tuple[Use, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits that it has, in their order."""
        return tuple(split for split in SPLITS if split in self.dataset.counts)

    @property
    def totals(self) -> dict[str, int]:
        """Return the rows of each label, the commonest first; nothing without a profile."""
        totals: dict[str, int] = {}
        for counts in self.profile.labels.values() if self.profile else ():
            for label, count in counts.items():
                totals[label] = totals.get(label, 0) + count
        return dict(sorted(totals.items(), key=lambda one: (-one[1], one[0])))

    @property
    def previous(self) -> str | None:
        """Return the name of the project's data set before it."""
        return f"{self.project}.{self.number - 1}" if self.number > 1 else None


class RowChange(Record):
    """What became of one row; what it was is None where it was not there."""

    kind: Change
    #: What the row is known by in both data sets: its id, or its text.
    key: str
    #: Text, label and split before and after.
    text: tuple[str | None, str | None]
    label: tuple[str | None, str | None]
    split: tuple[str | None, str | None]


class Difference(Record):
    """How one data set differs from another."""

    #: Their names.
    first: str
    second: str
    #: By what a row is found again.
    by: Literal["id", "text"]
    #: Rows of each.
    rows: tuple[int, int]
    #: Rows of each kind of change; one row can have changed in several ways.
    counts: dict[Change, int]
    #: The first of each kind.
    changes: tuple[RowChange, ...]
    #: Rows with each label in either, where the two numbers differ.
    labels: dict[str, tuple[int, int]]
    #: Type of each column in either, where they differ; None where there is no such column.
    columns: dict[str, tuple[str | None, str | None]]


class Exported(Record):
    """What an export wrote."""

    dataset: str
    form: Form
    #: The folder; on a server, "".
    path: str
    rows: int
    #: SHA-256 of each file.
    files: dict[str, str]
