"""From a source's columns to the ones that everything after it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.dataset import ROW
from bessemer.core.errors import DataError, nearest
from bessemer.core.project import Columns
from bessemer.prepare.desk import HELPERS
from bessemer.prepare.digests import of_text


def select(
    batches: Iterable[pa.RecordBatch],
    columns: Columns,
    extra: dict[str, str],
    where: str,
    *,
    before: int = 0,
    unlabelled: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield the columns `row`, `id`, `text`, `label`, those of `extra`, and all others.

    Args:
        batches: As the source gives them, one or more of one schema.
        columns: Which column plays which role.
        extra: Columns to be kept under another name as well, as {new name: name}.
        where: The source's name, for messages.
        before: Rows of another source that come before: numbers go on from there.
        unlabelled: Whether the column of labels may be missing; its cells are empty then.

    Yields:
        Batches in which `row` is the number of the row in the source, from 1. Without a column
        for it, `id` is that number, or where several annotators label, that of the text's first
        row.

    Raises:
        DataError: A column is missing (the message names the nearest), there are no rows, or a
            cell holds NUL.
    """
    count = before
    first: dict[bytes, str] = {}
    for given in batches:
        batch = given
        if unlabelled and columns.label not in given.schema.names:
            nothing = pa.nulls(given.num_rows, pa.string())
            batch = given.append_column(columns.label, nothing)
        _check_columns(batch.schema.names, columns, extra, where)
        if not batch.num_rows:
            continue
        for name in (columns.text, columns.label):
            nul = pc.fill_null(pc.match_substring(batch[name], "\0"), False)
            if (row := pc.index(nul, True).as_py()) >= 0:
                raise DataError(
                    f"{where}, row {count + row + 1}: the column {name!r} holds a NUL character.",
                    remedy="Remove it: the row is damaged.",
                )
        numbers = pa.array(range(count + 1, count + batch.num_rows + 1), pa.int64())
        if columns.id:
            ids = batch[columns.id]
        elif columns.annotator:
            texts = enumerate(batch[columns.text].to_pylist(), start=count + 1)
            told = [first.setdefault(of_text(text), str(number)) for number, text in texts]
            ids = pa.array(told, pa.string())
        else:
            ids = pc.cast(numbers, pa.string())
        yield _chosen(batch, columns, extra, numbers, ids)
        count += batch.num_rows
    if count == before:
        raise DataError(f"{where} has no rows.", remedy="Give a table with labelled rows.")


def _chosen(
    batch: pa.RecordBatch, columns: Columns, extra: dict[str, str], numbers: pa.Array, ids: pa.Array
) -> pa.RecordBatch:
    found = {ROW: numbers, "id": ids, "text": batch[columns.text], "label": batch[columns.label]}
    found |= {new: batch[name] for new, name in extra.items()}
    used = {columns.text, columns.label, columns.id, columns.annotator}
    names = set(batch.schema.names)
    for name in batch.schema.names:
        if name in used:
            continue
        free = name
        while free in found or free in HELPERS or (free != name and free in names):
            free += "_"
        found[free] = batch[name]
    return pa.record_batch(found)


def _check_columns(present: list[str], columns: Columns, extra: dict[str, str], where: str) -> None:
    for name in (columns.text, columns.label, columns.id, *extra.values()):
        if name is not None and name not in present:
            close = nearest(name, present)
            raise DataError(
                f"{where} has no column {name!r}; it has {', '.join(present) or 'none'}.",
                remedy=(f"Did you mean {close!r}? " if close else "")
                + "Set data.columns, or data.delimiter if the columns run together.",
            )
