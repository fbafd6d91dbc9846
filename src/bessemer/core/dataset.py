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
