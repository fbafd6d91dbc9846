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
