"""All rows of all sources, each with its split."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bessemer.core.dataset import ROW, SPLITS
from bessemer.prepare import splits
from bessemer.prepare.desk import HELPERS, LABELS, LabelSets
from bessemer.prepare.ledger import Named
from bessemer.prepare.rows import Mask, Workshop, placed


class Whole:
    """Rows of one or more sources; their places count through all of them.

    Args:
        tables: Mended rows by the role of their source.
        numbers: Of each row's split, by role.
        sets: The sets of labels that the column `LABELS` numbers.
    """

    def __init__(
        self, tables: dict[str, pa.Table], numbers: dict[str, splits.Numbers], sets: LabelSets
    ) -> None:
        self._tables = tables
        self._numbers = numbers
        self.sets = sets
        self.splits: splits.Numbers = np.concatenate([numbers[role] for role in tables])
        self.texts = pa.chunked_array(
            [chunk for table in tables.values() for chunk in table["text"].chunks], pa.string()
        )
        self.label_sets: NDArray[np.int32] = np.concatenate(
            [table[LABELS].to_numpy() for table in tables.values()]
        )
        sources = [pa.repeat(role, table.num_rows) for role, table in tables.items()]
        rows = [table[ROW].to_numpy() for table in tables.values()]
        self.named = Named(pa.concat_arrays(sources), np.concatenate(rows))

    def counts(self) -> dict[str, int]:
        """Return how many rows each split has."""
        counts = np.bincount(self.splits, minlength=len(SPLITS)).tolist()
        return dict(zip(SPLITS, counts, strict=True))

    def labels(self) -> dict[str, Counter[str]]:
        """Return how many rows of each split have each label."""
        return {
            name: self.sets.counts(self.label_sets[self.splits == number])
            for number, name in enumerate(SPLITS)
        }

    def where(self, mask: Mask, shop: Workshop) -> Whole:
        """Return the rows for which the mask is true."""
        tables, numbers, start = {}, {}, 0
        for role, table in self._tables.items():
            part = mask[start : start + table.num_rows]
            tables[role] = shop.where(table, part)
            numbers[role] = self._numbers[role][part]
            start += table.num_rows
        return Whole(tables, numbers, self.sets)

    def write(self, folder: Path) -> tuple[str, ...]:
        """Write one Parquet file a split and return its columns: the source's, then others'."""
        fields: dict[str, pa.Field] = {}
        for table in self._tables.values():
            for one in table.drop_columns([n for n in HELPERS if n in table.column_names]).schema:
                fields.setdefault(one.name, one)
        schema = pa.schema(list(fields.values()))
        with ExitStack() as stack:
            writers = [
                stack.enter_context(pq.ParquetWriter(folder / f"{name}.parquet", schema))
                for name in SPLITS
            ]
            for role, table in self._tables.items():
                for start, batch in placed(table):
                    aligned = _aligned(batch, schema)
                    numbers = self._numbers[role][start : start + batch.num_rows]
                    for number in np.unique(numbers):
                        part = aligned.filter(pa.array(numbers == number))
                        writers[number].write_batch(part)
        return tuple(schema.names)


def _aligned(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        batch[one.name] if one.name in batch.schema.names else pa.nulls(batch.num_rows, one.type)
        for one in schema
    ]
    return pa.record_batch(columns, schema=schema)
