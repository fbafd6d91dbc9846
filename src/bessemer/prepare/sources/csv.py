"""Comma-separated values (RFC 4180), with any delimiter and encoding."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source, batches
from bessemer.prepare.text import ending, lines


class Csv(Source):
    """A table with a header row. Python's reader names the line of an error; Arrow's does not."""

    version = 2
    suffixes = (".csv", ".tsv")

    def read(self, path: Path, data: Data) -> Iterator[pa.RecordBatch]:
        """Read the file; see `Source.read`."""
        tabs = ending(path) == ".tsv" and data.delimiter == ","
        rows = _rows(path, data.encoding, "\t" if tabs else data.delimiter)
        header = next(rows, [])
        if not header or len(set(header)) != len(header):
            raise DataError(
                f"{path}: the header {header!r} is empty or names a column twice.",
                remedy="Give every column a name of its own in the first line.",
            )
        yield from batches(path, header, rows)


def _rows(path: Path, encoding: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the header, then the rows, each as long as it."""
    csv.field_size_limit(MOST_CELL_BYTES)
    reader = csv.reader(lines(path, encoding, newline=""), delimiter=delimiter, strict=True)
    try:
        yield (header := next(reader, []))
        for row in reader:
            if len(row) != len(header) and row:
                raise DataError(
                    f"{path}, line {reader.line_num}: the row has {len(row)} cells, the header"
                    f" has {len(header)}.",
                    remedy="Quote cells that hold the delimiter, or set data.delimiter"
                    f" (it is {delimiter!r}).",
                )
            if row:
                yield row
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}.",
            remedy="Check the quotes around that line; a cell holds at most"
            f" {MOST_CELL_BYTES:,} bytes.",
        ) from error
