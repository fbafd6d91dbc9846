"""Comma-separated values (RFC 4180), with any delimiter and encoding."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source
from bessemer.prepare.text import decoded


class Csv(Source):
    """A table with a header row. Python's reader names the line of an error; Arrow's does not."""

    version = 1
    suffixes = (".csv", ".tsv")

    def read(self, path: Path, data: Data) -> pa.Table:
        """Read the file; see `Source.read`."""
        delimiter = (
            "\t" if path.suffix.lower() == ".tsv" and data.delimiter == "," else data.delimiter
        )
        csv.field_size_limit(MOST_CELL_BYTES)
        # Not splitlines(): a cell may hold U+2028 and its like.
        lines = io.StringIO(decoded(path, data.encoding), newline="")
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        rows: list[list[str]] = []
        try:
            header = next(reader, [])
            for row in reader:
                if len(row) != len(header) and row:
                    raise DataError(
                        f"{path}, line {reader.line_num}: the row has {len(row)} cells, the header"
                        f" has {len(header)}.",
                        remedy="Quote cells that hold the delimiter, or set data.delimiter"
                        f" (it is {delimiter!r}).",
                    )
                if row:
                    rows.append(row)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: {error}.",
                remedy="Check the quotes around that line; a cell holds at most"
                f" {MOST_CELL_BYTES:,} bytes.",
            ) from error
        if not header or len(set(header)) != len(header):
            raise DataError(
                f"{path}: the header {header!r} is empty or names a column twice.",
                remedy="Give every column a name of its own in the first line.",
            )
        columns = zip(*rows, strict=True) if rows else [() for _ in header]
        return pa.table(
            {
                name: pa.array(cells, pa.string())
                for name, cells in zip(header, columns, strict=True)
            }
        )
