"""Data sets: named, content-hashed examples in splits."""

from __future__ import annotations

from bessemer.core.record import Record

SPLITS = ("train", "validation", "test")
#: Column with a row's number in its source, from 1.
ROW = "row"
#: Rows that a finding names.
SHOWN = 10


class Finding(Record):
    """Something noticed in the rows, and what was done about it."""

    #: What kind of flaw: "empty text", "exact duplicate", "missing label" …
    rule: str
    #: "dropped", "joined", "masked" or "kept".
    action: str
    #: How many rows, and the first of them by their number in the source (1 = first row).
    count: int
    rows: tuple[int, ...]
    detail: str = ""
    #: Where these rows come from: "source", or "test", "validation", "labels" if they have a
    #: file of their own.
    sources: tuple[str, ...] = ("source",)


class Version(Record):
    """Rows as one rule left them: the source as it was read, or its parent after a repair."""

    #: Digest of the parent's and of what was done.
    digest: str
    #: Digest of the version that it was made from; None for the source as it was read.
    parent: str | None
    #: The rule of the finding that led to it, "read" or "split".
    rule: str
    #: "read", "dropped", "joined", "masked" or "divided".
    action: str
    #: Rows that were changed or left out, and rows that there are since.
    changed: int
    rows: int


class Dataset(Record):
    """A prepared data set; the rows lie beside it, one Parquet file a split."""

    #: Digest of everything that determined it.
    digest: str
    source: str
    #: SHA-256 of each source file.
    source_digests: dict[str, str]
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    #: Examples in each split.
    counts: dict[str, int]
    licence: str | None
    findings: tuple[Finding, ...]
    #: How its rows came about, from the source on.
    history: tuple[Version, ...] = ()


class Suspect(Record):
    """A row whose label a model that did not learn from it finds improbable."""

    #: Number of the row in its source, from 1, and the split that it is in.
    row: int
    split: str
    text: str
    #: As in the label column.
    given: str
    #: What the model would give instead; the same as `given` where that is its first choice.
    suggested: str
    #: Probability of the suggested label, and how well the given one fits: 0 is surely wrong.
    chance: float
    score: float
    #: Whether the label is taken for an error.
    error: bool


class Inspection(Record):
    """What `inspect` found: which labels of a data set are probably wrong."""

    #: Digest of the data set.
    dataset: str
    #: Rows whose label was judged: a label that is too rare cannot be.
    judged: int
    finding: Finding
    #: The surest errors first; all ranked rows lie beside it in `suspects.parquet`.
    suspects: tuple[Suspect, ...]
