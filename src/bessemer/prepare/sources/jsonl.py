"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, MOST_COLUMNS, Source, batches
from bessemer.prepare.text import lines, steady


class Jsonl(Source):
    """Objects; numbers become their text, lists and objects (of labels, of spans) their JSON.

    The file is read twice, since a key may turn up in its last line only.
    """

    version = 2
    suffixes = (".jsonl", ".ndjson")

    def read(self, path: Path, data: Data) -> Iterator[pa.RecordBatch]:
        """Read the file; see `Source.read`."""
        with steady(path):
            names: dict[str, None] = {}
            for _, value in _objects(path, data):
                if not value.keys() <= names.keys():
                    names.update(dict.fromkeys(value))
                if len(names) > MOST_COLUMNS:
                    break  # which `batches` refuses
            rows = (
                [cell(path, number, name, value.get(name)) for name in names]
                for number, value in _objects(path, data)
            )
            yield from batches(path, list(names), rows)


def _objects(path: Path, data: Data) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line."""
    read = json.JSONDecoder().raw_decode
    for number, line in enumerate(lines(path, data.encoding), start=1):
        text = line.strip(" \t\r\n")
        if not text:
            continue
        try:
            value, end = read(text)
            if end < len(text):
                raise ValueError(f"behind it stands {text[end:][:40]!r}")
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: no JSON ({error}).",
                remedy="Write one whole JSON object on each line.",
            ) from error
        if not isinstance(value, dict):
            raise DataError(
                f"{path}, line {number}: {line[:40]!r} is no JSON object.",
                remedy='Write one object a line, as {"text": "…", "label": "…"}.',
            )
        if isinstance(value.get(data.columns.text), (list, dict)):
            raise DataError(
                f"{path}, line {number}: {data.columns.text!r} holds no text but"
                f" {str(value[data.columns.text])[:40]!r}….",
                remedy="Write the text as one string, or set data.columns.text.",
            )
        yield number, value


def cell(where: Path | str, line: int, key: str, value: object) -> str | None:
    """Return a JSON value as the text of a cell.

    Raises:
        DataError: It is too long, or half a character.
    """
    if isinstance(value, str) and value.isascii() and len(value) <= MOST_CELL_BYTES:
        return value
    text = None if value is None else str(value)
    if isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False)
    if len(text or "") > MOST_CELL_BYTES:
        raise DataError(
            f"{where}, line {line}: {key!r} holds {len(text or ''):,} characters.",
            remedy=f"A value has at most {MOST_CELL_BYTES:,} bytes.",
        )
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}, line {line}: {key!r} holds half a character (a lone surrogate).",
            remedy="Write whole Unicode characters.",
        ) from error
    return text
