"""`bessemer init`: a project file from what a table looks like."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from bessemer.core import folder
from bessemer.core.errors import ConflictError, DataError
from bessemer.core.project import Columns, Data
from bessemer.prepare.locate import locate
from bessemer.prepare.sources.base import source_for
from bessemer.prepare.text import ending, lines
from bessemer.service.project_file import FILE

TEXT_NAMES = ("text", "message", "sentence", "utterance", "body", "content", "question", "review")
LABEL_NAMES = (
    "label", "labels", "category", "intent", "class", "target", "topic", "sentiment", "spans",
    "entities",
)  # fmt: skip
ID_NAMES = ("id", "row_id", "uuid")
DELIMITERS = (",", ";", "\t", "|")
#: What is looked at of a large table.
MOST_BATCHES = 10


def init(table: Path, *, name: str, text: str, label: str) -> Path:
    """Write the project file; see `Platform.init`."""
    target = table.parent / FILE
    if target.exists():
        raise ConflictError(
            f"There is a project file already: {target}.",
            remedy="Edit it, or remove it first.",
        )
    path = locate(table.name, relative_to=table.parent, cache=table.parent)
    delimiter = _guess_delimiter(path)
    roles = Columns(text=text or "text", label=label or "label")
    data = Data(source=table.name, delimiter=delimiter, columns=roles)
    found = source_for(path)[1]().read(path, data)
    rows = pa.Table.from_batches(islice(found, MOST_BATCHES))
    named = {"text": text, "label": label}
    for role, column in named.items():
        if column and column not in rows.column_names:
            raise DataError(
                f"{path} has no column {column!r} for the {role}.",
                remedy=f"It has {', '.join(rows.column_names)}.",
            )
    text = text or _guess_text(rows, path)
    label = label or _guess_label(rows, path, text)
    columns = f"text: {_yaml(text)}, label: {_yaml(label)}"
    for role, names in (("id", ID_NAMES), ("annotator", ("annotator",))):
        if one := next((c for c in rows.column_names if c.lower() in names), None):
            columns += f", {role}: {_yaml(one)}"
    empty = any(_blank(rows[column]) for column in (text, label))
    slug = re.sub(r"[^a-z0-9]+", "-", (name or path.stem).lower()).strip("-")[:63] or "product"
    if name and slug != name:
        raise DataError(
            f"The name {name!r} is not lower-case letters, digits and dashes.",
            remedy=f"For example {slug!r}.",
        )
    task = "token-classification" if _holds_spans(rows, label) else "text-classification"
    method = "full" if task == "token-classification" else "probe"
    content = f"""# What this product is made from. `bessemer check --explain` shows every key.
name: {slug}
task: {task}
base: minilm-l6
data:
  source: {_yaml(path.name)}
  columns: {{{columns}}}
  split: {{test: 0.2, validation: 0.1}}
"""
    if delimiter != ",":
        content += f"  delimiter: {json.dumps(delimiter)}\n"
    if empty:
        content += "prepare: {empty: drop}          # some rows have no text or no label\n"
    metric = "f1" if task == "token-classification" else "accuracy"
    content += f"""train: {{method: {method}}}    # or few-shot, lora, full
gate:
  - not_worse_than: live        # add, say: `- {metric}: {{at_least: 0.85}}`
"""
    folder.atomic_file(target, content.encode())
    return target


def _yaml(name: str) -> str:
    """Return a name as YAML, quoted where it would else be read as something different."""
    plain = re.fullmatch(r"[\w][\w ./-]*", name) and yaml.safe_load(name) == name
    return name if plain else json.dumps(name, ensure_ascii=False)


def _guess_delimiter(path: Path) -> str:
    """Return what the first line of a csv file is divided by; a comma where nothing tells."""
    if ending(path) != ".csv":
        return ","
    first = next(lines(path, "utf-8"), "")
    return max(DELIMITERS, key=first.count)


def _holds_spans(rows: pa.Table, label: str) -> bool:
    """Return whether the first filled cell of the label column is a list of objects."""
    cell = next((cell for cell in rows[label].to_pylist() if cell and cell != "[]"), "")
    try:
        value = json.loads(cell)
    except ValueError:
        return False
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _blank(column: pa.ChunkedArray) -> int:
    stripped = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
    return int(pc.sum(pc.equal(stripped, "")).as_py() or 0)


def _guess_text(rows: pa.Table, path: Path) -> str:
    """Return the column with a telling name, else the one with the longest cells."""
    columns: list[str] = rows.column_names
    named = [c for name in TEXT_NAMES for c in columns if c.lower() == name]
    if named:
        return named[0]
    if rows.num_rows == 0 or not columns:
        raise DataError(f"{path} has no rows.", remedy="Give a table with labelled rows.")
    return max(columns, key=lambda c: pc.sum(pc.utf8_length(rows[c])).as_py() or 0)


def _guess_label(rows: pa.Table, path: Path, text: str) -> str:
    """Return the column with a telling name, else the one that repeats its few values."""
    others: list[str] = [c for c in rows.column_names if c != text]
    named = [c for name in LABEL_NAMES for c in others if c.lower() == name]
    if named:
        return named[0]
    few = [c for c in others if 2 <= pc.count_distinct(rows[c]).as_py() <= rows.num_rows / 2]
    if len(few) != 1:
        raise DataError(
            f"{path}: which column holds the label? It has {', '.join(rows.column_names)}.",
            remedy="Say it with --label.",
        )
    return few[0]
