"""Rows on disk: written once, read through the page cache, so that they take no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bessemer.core import folder

#: Rows of a batch.
BATCH = 8192
Mask = NDArray[np.bool_]


class Workshop:
    """Keeps tables in files without a name, which vanish with the process, kill -9 included.

    Args:
        place: Folder on the disk that has room for the rows.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def keep(self, batches: Iterable[pa.RecordBatch]) -> pa.Table:
        """Write batches of one schema, at least one, and return them as a table in the file.

        Raises:
            StorageError: The disk is full or refuses.
        """
        remaining = iter(batches)
        first = next(remaining)
        with folder.storage_errors(self._place):
            self._place.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self._place) as file:
                with pa.ipc.new_file(file, first.schema) as writer:
                    writer.write_batch(first)
                    for batch in remaining:
                        writer.write_batch(batch)
                file.flush()
                # Through its number: the file has no name any more.
                with pa.memory_map(f"/dev/fd/{file.fileno()}") as mapped:
                    return pa.ipc.open_file(mapped).read_all()

    def where(self, table: pa.Table, mask: Mask) -> pa.Table:
        """Return the rows for which the mask, shape [rows], is true."""
        if mask.all():
            return table
        return self.keep(chosen(table, mask))

    def changed(self, table: pa.Table, column: str, change: Callable[[int, str], str]) -> pa.Table:
        """Return the table with each cell of a column put through `change(place, cell)`."""

        def batches() -> Iterator[pa.RecordBatch]:
            for start, batch in placed(table):
                cells = batch.column(column).to_pylist()
                new = [change(start + n, cell) for n, cell in enumerate(cells)]
                at = batch.schema.get_field_index(column)
                yield batch.set_column(at, column, pa.array(new, pa.string()))

        return self.keep(batches())


def placed(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield a table's batches, each with the place of its first row, from 0."""
    place = 0
    for batch in table.to_batches(max_chunksize=BATCH):
        yield place, batch
        place += batch.num_rows


def chosen(table: pa.Table, mask: Mask) -> Iterator[pa.RecordBatch]:
    """Yield the rows for which the mask is true, an empty batch before them."""
    yield pa.RecordBatch.from_pylist([], schema=table.schema)
    for start, batch in placed(table):
        part = mask[start : start + batch.num_rows]
        if part.any():
            yield batch.filter(pa.array(part))


def cells(table: pa.Table, *columns: str) -> Iterator[tuple[str, ...]]:
    """Yield the cells of some columns, row by row."""
    for _, batch in placed(table.select(columns)):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
