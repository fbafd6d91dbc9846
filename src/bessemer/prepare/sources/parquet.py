"""Apache Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source


class Parquet(Source):
    """A Parquet file; columns that cannot be written as text are left out."""

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
                column = pc.cast(table[name], pa.string())
            except pa.ArrowException:
                continue
            longest = pc.max(pc.binary_length(column)).as_py() or 0
            if longest > MOST_CELL_BYTES:
                raise DataError(
                    f"{path}: a cell of the column {name!r} has {longest:,} bytes.",
                    remedy=f"A cell holds at most {MOST_CELL_BYTES:,} bytes.",
                )
            columns[name] = column
        return pa.table(columns)
