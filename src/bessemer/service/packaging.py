"""An export: rows in one form, with the data card beside them, in a folder or in a zip file."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.datasets import Exported, Form
from bessemer.core.errors import UnknownNameError
from bessemer.core.folder import storage_errors
from bessemer.prepare import card
from bessemer.prepare.exports import WRITERS
from bessemer.service.dataset_rows import Reader

#: The cards, for people and for programs.
README, CROISSANT = "README.md", "croissant.json"
#: Column that says which split a row is in.
SPLIT = "split"
#: Bytes that are sent at once.
CHUNK = 1 << 16

Opened = Callable[[str], AbstractContextManager[IO[bytes]]]


class _Counted:
    """A file that is written to, with the number and the digest of its bytes."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and count."""
        self._file.write(data)
        self.size += len(data)
        self.sha256.update(data)
        return len(data)

    def flush(self) -> None:
        """Leave it to who has opened the file."""

    close = flush


def write(reader: Reader, form: Form, split: str | None, opened: Opened) -> list[card.File]:
    """Write an export and return its files but for the cards.

    Args:
        reader: Of the data set.
        form: One of `prepare.exports.WRITERS`.
        split: Rows of this split only, or of all.
        opened: Opens a new file by its name.

    Raises:
        UnknownNameError: There is no such form or split.
        RequestError: The form cannot hold these labels.
        CorruptError: The rows were changed after they were written.
    """
    if form not in WRITERS:
        raise UnknownNameError("form", form, WRITERS)
    writer = WRITERS[form]
    splits = reader.splits(split)
    reader.check(splits)
    schema = _schema([reader.schema(name) for name in splits])
    parts = [splits] if writer.has_columns else [(name,) for name in splits]
    files = []
    for part in parts:
        name = "rows" if len(parts) == 1 and split is None else part[0]
        with opened(f"{name}.{writer.suffix}") as file:
            counted = _Counted(file)
            batches = _batches(reader, part, schema)
            writer.write(batches, schema, reader.task, cast(BinaryIO, counted))
        digest = counted.sha256.hexdigest()
        files.append(card.File(f"{name}.{writer.suffix}", counted.size, digest))
    told = card.croissant(reader.named, writer, files, schema)
    with opened(CROISSANT) as file:
        text = json.dumps(told, indent=1, ensure_ascii=False)
        file.write(text.encode() + b"\n")
    with opened(README) as file:
        file.write(card.markdown(reader.named, files).encode())
    return files


def exported(
    reader: Reader, form: Form, split: str | None, files: Sequence[card.File], path: str
) -> Exported:
    """Return the record of an export."""
    counts = reader.named.dataset.counts
    return Exported(
        dataset=reader.named.id,
        form=form,
        path=path,
        rows=sum(counts[name] for name in reader.splits(split)),
        files={file.name: file.sha256 for file in files},
    )


def zipped(reader: Reader, form: Form, split: str | None, aside: Path) -> Iterator[bytes]:
    """Return an export as the pieces of a zip file.

    Everything that can be wrong is, before the first piece; the file has no name, so that
    nothing of it stays when the process ends.

    Args:
        reader: Of the data set.
        form: As in `write`.
        split: As in `write`.
        aside: Folder on a disk with room for it.
    """
    with storage_errors(aside):
        aside.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=aside)  # noqa: SIM115 (the last piece closes it)
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                write(reader, form, split, lambda name: archive.open(name, "w", force_zip64=True))
            file.seek(0)
        except BaseException:
            file.close()
            raise

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(CHUNK):
                yield piece

    return pieces()


def _schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the columns of all splits; where their types do not agree, as texts."""
    fields: dict[str, pa.DataType] = {SPLIT: pa.string()}
    for schema in schemas:
        for field in schema:
            name = f"{SPLIT}_" if field.name == SPLIT else field.name
            known = fields.setdefault(name, field.type)
            if known != field.type:
                fields[name] = pa.string()
    return pa.schema(list(fields.items()))


def _batches(reader: Reader, splits: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for split in splits:
        for batch in reader.batches(split):
            own = {f"{SPLIT}_" if n == SPLIT else n: batch[n] for n in batch.schema.names}
            own[SPLIT] = pa.array([split] * batch.num_rows, pa.string())
            columns = [
                _cast(own[field.name], field.type)
                if field.name in own
                else pa.nulls(batch.num_rows, field.type)
                for field in schema
            ]
            yield pa.record_batch(columns, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_nested(column.type):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], kind)
    return pc.cast(column, kind)
