"""Rows as files of other programs: each form written batch by batch into an open file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.datasets import Form
from bessemer.prepare.checks import answers_of
from bessemer.tasks.base import Answers, Task
from bessemer.tasks.token_classification import IDEOGRAPHS

#: What a spreadsheet takes for the beginning of a formula: OWASP's list (CSV injection), with
#: the wide forms that some take for the same.
FORMULA = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
#: A token of a CoNLL file: what stands between blanks, but for scripts that are written without.
_TOKEN = re.compile(rf"[{IDEOGRAPHS}]|[^\s{IDEOGRAPHS}]+")

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


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before it."""
    return f"'{cell}" if re.match(FORMULA, cell) else cell


def tagged(text: str, answers: Answers) -> Iterator[tuple[str, str]]:
    """Yield the tokens of a text with their tags (IOB2), cut where a span begins or ends."""
    spans = sorted(answers)
    bounds = sorted({edge for span in spans for edge in (span.start, span.end)})
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        edges = [start, *(edge for edge in bounds if start < edge < end), end]
        for left, right in pairwise(edges):
            span = next((one for one in spans if one.start <= left < one.end), None)
            part = "" if span is None else "B-" if span.start == left else "I-"
            yield text[left:right], part + span.label if span else "O"


def _csv(batches: Batches, schema: pa.Schema, task: Task, file: BinaryIO) -> None:
    from pyarrow import csv

    writer = None
    for batch in batches:
        names = [safe(name) for name in batch.schema.names]
        plain = pa.record_batch([_plain(column) for column in batch.columns], names)
        # The schema is the converted one's; without a row there is a heading all the same.
        writer = writer or csv.CSVWriter(file, plain.schema)
        writer.write_batch(plain)
    if writer is None:
        empty = pa.schema([(safe(name), pa.string()) for name in schema.names])
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
        return pc.replace_substring_regex(column, f"^({FORMULA})", "'\\1")
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
            lines = [f"{token} {tag}\n" for token, tag in tagged(text, answers)]
            file.write("".join([*lines, "\n"]).encode())


WRITERS: dict[Form, Writer] = {
    "csv": Writer("csv", "text/csv", _csv, nested=False),
    "jsonl": Writer("jsonl", "application/jsonlines", _jsonl),
    "parquet": Writer("parquet", "application/x-parquet", _parquet),
    "conll": Writer("conll", "text/plain", _conll, has_columns=False),
}
