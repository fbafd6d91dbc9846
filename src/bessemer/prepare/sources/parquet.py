"""Apache Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    MOST_CELL_BYTES,
    Source,
    batches,
)
from bessemer.prepare.text import Bound, steady

#: Rows that are read at once, before their cells' sizes are known.
_LEAST_ROWS, _MOST_ROWS = 50, 500
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
_PLAIN = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_null,
)


class Parquet(Source):
    """A Parquet file; lists and structures (of labels, of spans) become their JSON, and columns
    that cannot be written as text are left out.
    """

    version = 2
    suffixes = (".parquet",)

    def read(self, path: Path, data: Data) -> Iterator[pa.RecordBatch]:
        """Read the file; see `Source.read`."""
        with steady(path):
            try:
                # Column chunks are read a piece at a time, not whole.
                with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                    names = [field.name for field in file.schema_arrow if _readable(file, field)]
                    [none] = batches(path, names, [])
                    found = _joined(_parts(path, file, none.schema))
                    # Also of a file without rows, the columns are told.
                    yield next(found, none)
                    yield from found
            except FileNotFoundError:
                raise
            except (pa.ArrowException, OSError) as error:
                raise DataError(
                    f"{path} is no Parquet file, or a damaged one: {error}.",
                    remedy="Write it again, or export a csv.",
                ) from error


def _readable(file: pq.ParquetFile, field: pa.Field) -> bool:
    """Return whether every cell of a column can be written as text."""
    if pa.types.is_nested(field.type):
        return _json(field.type)
    try:
        pc.cast(pa.array([], field.type), pa.string())
        if any(test(field.type) for test in _BYTES):
            for part in file.iter_batches(_rows(file), columns=[field.name]):
                pc.cast(part.column(0), pa.string())
    except pa.ArrowException:
        return False
    return True


def _json(kind: pa.DataType) -> bool:
    """Return whether values of a type are JSON, all the way down."""
    if pa.types.is_nested(kind):
        return all(_json(kind.field(number).type) for number in range(kind.num_fields))
    return any(test(kind) for test in _PLAIN)


def _parts(path: Path, file: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    row, bound = 1, Bound(path)
    for part in file.iter_batches(_rows(file), columns=schema.names) if schema.names else ():
        cells = [_text(path, row, name, part.column(name)) for name in schema.names]
        bound.add(sum(pc.sum(pc.binary_length(column)).as_py() or 0 for column in cells))
        yield pa.record_batch(cells, schema=schema)
        row += part.num_rows


def _rows(file: pq.ParquetFile) -> int:
    """Return how many rows are read at once: fewer where they are long."""
    groups = map(file.metadata.row_group, range(file.num_row_groups))
    size = sum(group.total_byte_size for group in groups) // max(1, file.metadata.num_rows)
    return int(max(_LEAST_ROWS, min(_MOST_ROWS, BATCH_CHARACTERS // max(1, size))))


def _joined(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held: list[pa.RecordBatch] = []
    for part in parts:
        held.append(part)
        large = sum(batch.nbytes for batch in held) >= BATCH_CHARACTERS
        if large or sum(batch.num_rows for batch in held) >= BATCH_ROWS:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def _text(path: Path, row: int, name: str, column: pa.Array) -> pa.Array:
    """Return a column as strings; `row` is the number of its first, for messages."""
    if pa.types.is_nested(column.type):
        values = column.to_pylist()
        cells = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
        found = pa.array(cells, pa.string())
    else:
        found = pc.cast(column, pa.string())
    where = f"{path}, rows {row:,} to {row + len(column) - 1:,}: the column {name!r}"
    try:
        found.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{where} holds bytes that are no UTF-8 text.", remedy="Write the file again."
        ) from error
    longest = pc.max(pc.binary_length(found)).as_py() or 0
    if longest > MOST_CELL_BYTES:
        raise DataError(
            f"{where} has a cell of {longest:,} bytes.",
            remedy=f"A cell holds at most {MOST_CELL_BYTES:,} bytes.",
        )
    return found
