"""JSON lines: one object a line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source
from bessemer.prepare.text import decoded


class Jsonl(Source):
    """Objects; numbers become their text, lists and objects (of labels, of spans) their JSON."""

    version = 1
    suffixes = (".jsonl", ".ndjson")

    def read(self, path: Path, data: Data) -> pa.Table:
        """Read the file; see `Source.read`."""
        rows: list[dict[str, str | None]] = []
        # Not splitlines(): JSON may hold U+2028 and its like inside a string.
        for number, line in enumerate(decoded(path, data.encoding).split("\n"), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
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
            rows.append({key: _cell(path, number, key, cell) for key, cell in value.items()})
        names = list(dict.fromkeys(key for row in rows for key in row))
        return pa.table({n: pa.array([row.get(n) for row in rows], pa.string()) for n in names})


def _cell(path: Path, line: int, key: str, cell: object) -> str | None:
    text = None if cell is None else str(cell)
    if isinstance(cell, (list, dict)):
        text = json.dumps(cell, ensure_ascii=False)
    if len(text or "") > MOST_CELL_BYTES:
        raise DataError(
            f"{path}, line {line}: {key!r} holds {len(text or ''):,} characters.",
            remedy=f"A value has at most {MOST_CELL_BYTES:,} bytes.",
        )
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}, line {line}: {key!r} holds half a character (a lone surrogate).",
            remedy="Write whole Unicode characters.",
        ) from error
    return text
