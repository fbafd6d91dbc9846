"""Rows as files of other programs: each form written batch by batch into an open file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.datasets import Form
from bessemer.prepare.checks import answers_of
from bessemer.prepare.forms.conll import spans_of, tagged
from bessemer.prepare.forms.csv import FORMULA, escaped
from bessemer.tasks.base import Task

Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Writer:
    """How one form is written."""

    #: Of its file names.
    suffix: str
    media_type: str
    #: Writes batches of one schema, whose labels the task reads, into a file that is open.
    write: Callable[[Batches, pa.Schema, Task, BinaryIO], None]
    #: Whether a file can have a column that says each row's split.
    has_columns: bool = True
    #: Whether its cells hold lists and parts as such.
    nested: bool = True


def _csv(batches: Batches, schema: pa.Schema, task: Task, file: BinaryIO) -> None:
    from pyarrow import csv

    writer = None
    for batch in batches:
        names = [escaped(name) for name in batch.schema.names]
        plain = pa.record_batch([_plain(column) for column in batch.columns], names)
        # The schema is the converted one's; without a row there is a heading all the same.
        writer = writer or csv.CSVWriter(file, plain.schema)
        writer.write_batch(plain)
    if writer is None:
        empty = pa.schema([(escaped(name), pa.string()) for name in schema.names])
        writer = csv.CSVWriter(file, empty)
        writer.write_table(empty.empty_table())
    writer.close()


def _plain(column: pa.Array) -> pa.Array:
    """Return a column as a csv file can hold it: texts made safe, nested values as JSON."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = column.to_pylist()
        column = pa.array([None if v is None else _json(v) for v in values], pa.string())
        kind = pa.string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = pc.cast(column, pa.large_string())
        return pc.replace_substring_regex(column, f"^({FORMULA})", r"'\1")
    return column


def _jsonl(batches: Batches, schema: pa.Schema, task: Task, file: BinaryIO) -> None:
    for batch in batches:
        for row in batch.to_pylist():
            file.write(_json(row).encode() + b"\n")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _parquet(batches: Batches, schema: pa.Schema, task: Task, file: BinaryIO) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _conll(batches: Batches, schema: pa.Schema, task: Task, file: BinaryIO) -> None:
    for batch in batches:
        table = pa.table(batch)
        for text, answers in zip(table["text"].to_pylist(), answers_of(table, task), strict=True):
            lines = [f"{token} {tag}\n" for token, tag in tagged(text, spans_of(answers))]
            file.write("".join([*lines, "\n"]).encode())


WRITERS: dict[Form, Writer] = {
    "csv": Writer("csv", "text/csv", _csv, nested=False),
    "jsonl": Writer("jsonl", "application/jsonlines", _jsonl),
    "parquet": Writer("parquet", "application/x-parquet", _parquet),
    "conll": Writer("conll", "text/plain", _conll, has_columns=False),
}
