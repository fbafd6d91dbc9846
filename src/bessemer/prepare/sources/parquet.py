"""Apache Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source


class Parquet(Source):
    """A Parquet file; lists and structures (of labels, of spans) become their JSON, and columns
    that cannot be written as text are left out.
    """

    version = 1
    suffixes = (".parquet",)

    def read(self, path: Path, data: Data) -> pa.Table:
        """Read the file; see `Source.read`."""
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path} is no Parquet file: {error}.", remedy="Write it again, or export a csv."
            ) from error
        columns = {}
        for name in table.column_names:
            try:
                column = _text(table[name])
            except (pa.ArrowException, TypeError, ValueError):
                continue
            longest = pc.max(pc.binary_length(column)).as_py() or 0
            if longest > MOST_CELL_BYTES:
                raise DataError(
                    f"{path}: a cell of the column {name!r} has {longest:,} bytes.",
                    remedy=f"A cell holds at most {MOST_CELL_BYTES:,} bytes.",
                )
            columns[name] = column
        return pa.table(columns)


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if not pa.types.is_nested(column.type):
        return pc.cast(column, pa.string())
    values = column.to_pylist()
    cells = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
    return pa.array(cells, pa.string())
