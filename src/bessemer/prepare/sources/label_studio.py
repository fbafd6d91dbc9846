"""Label Studio's JSON export: tasks with the annotations that people gave.

The format is Label Studio's "task format", https://labelstud.io/guide/task_format.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import Source, batches
from bessemer.prepare.sources.jsonl import cell
from bessemer.prepare.text import MOST_LINE, lines, steady
from bessemer.tasks.base import Span

ID, WHO = "id", "annotator"
#: What stands between the values of an array.
_BETWEEN = frozenset(", \t\r\n")
#: Characters that are read at once.
_BLOCK = 1 << 20
CHOICES, LABELS = "choices", "labels"


class LabelStudio(Source):
    """One row an annotation, with the task's id and who gave it; predictions, skipped tasks and
    those without an annotation are left out.

    The columns are those of the tasks' data, then `id`, `annotator` and the project's label
    column: a choice, several of them joined by `data.labels.separator`, or labelled parts of the
    text as spans. Where a task has several questions, `data.columns.label` names one.
    """

    version = 2
    suffixes = (".json",)

    def read(self, path: Path, data: Data) -> Iterator[pa.RecordBatch]:
        """Read the file twice, first for its columns and questions; see `Source.read`."""
        with steady(path):
            form = _form(path, data)
            own = [ID, WHO, data.columns.label]
            names = [*(name for name in form.fields if name not in own), *own]
            yield from batches(path, names, _rows(path, data, form, names))


@dataclass
class _Form:
    """What the tasks have in common: fields of their data, and questions with their types."""

    fields: dict[str, None] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)


def _form(path: Path, data: Data) -> _Form:
    form = _Form()
    for task in _tasks(path, data):
        form.fields.update(dict.fromkeys(task["data"]))
        for annotation in _annotations(task):
            for result in annotation["result"]:
                form.questions[str(result.get("from_name"))] = str(result.get("type"))
    if (wanted := data.columns.label) in form.questions:
        form.questions = {wanted: form.questions[wanted]}
    if len(form.questions) > 1:
        raise DataError(
            f"{path} answers several questions: {', '.join(form.questions)}.",
            remedy="Set data.columns.label to one of them.",
        )
    for name, kind in form.questions.items():
        if kind == LABELS and data.columns.text not in form.fields:
            raise DataError(
                f"{path} has no field {data.columns.text!r}; it has {', '.join(form.fields)}.",
                remedy="Set data.columns.text to the one in which parts are labelled.",
            )
        if kind not in (CHOICES, LABELS):
            raise DataError(
                f"{path}: the question {name!r} is answered by {kind!r}.",
                remedy="Choices and labels of parts of a text are read; for others set"
                " data.columns.label to another question.",
            )
    return form


def _rows(path: Path, data: Data, form: _Form, names: list[str]) -> Iterator[list[str | None]]:
    marked = LABELS in form.questions.values()
    for number, task in enumerate(_tasks(path, data), start=1):
        found: dict[str, str | None] = {
            name: cell(path, number, name, value) for name, value in task["data"].items()
        }
        found[ID] = str(task.get("id", number))
        for annotation in _annotations(task):
            results = [r for r in annotation["result"] if str(r.get("from_name")) in form.questions]
            found[WHO] = who(annotation.get("completed_by"))
            try:
                label = (
                    _json(spans(results, found.get(data.columns.text) or ""))
                    if marked
                    else _joined(choices(results), data.labels.separator)
                )
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataError(
                    f"{path}, task {found[ID]}: an annotation cannot be read: {error}.",
                    remedy="Export it again as JSON, or remove that annotation.",
                ) from error
            found[data.columns.label] = label
            yield [found.get(name) for name in names]


def _annotations(task: dict[str, Any]) -> list[dict[str, Any]]:
    given = task["annotations"]
    return [one for one in given if not one.get("was_cancelled")]


def who(given: object) -> str:
    """Return the annotator's e-mail address where it was exported, else their number."""
    if isinstance(given, dict):
        given = given.get("email") or given.get("id")
    return "" if given is None else str(given)


def choices(results: Iterable[dict[str, Any]]) -> list[str]:
    """Return what was chosen in results of that type."""
    return [str(choice) for result in results for choice in result["value"][CHOICES]]


def _joined(chosen: list[str], separator: str | None) -> str | None:
    if len(chosen) > 1 and separator is None:
        raise ValueError(f"it has {len(chosen)} choices, and data.labels.separator is not set")
    if separator is not None and (odd := [c for c in chosen if separator in c]):
        raise ValueError(f"{odd[0]!r} holds data.labels.separator, {separator!r}")
    return (separator or "").join(chosen) or None


def spans(results: Iterable[dict[str, Any]], text: str) -> list[Span]:
    """Return the parts of a text that results of that type label, in characters.

    Raises:
        ValueError: A place is not in the text, or has another text than was marked.
    """
    found = []
    for result in results:
        value = result["value"]
        start, end = _characters(text, int(value["start"]), int(value["end"]), value.get("text"))
        found += [Span(start, end, str(label)) for label in value[LABELS]]
    return found


def _json(found: list[Span]) -> str:
    return json.dumps([span._asdict() for span in found], ensure_ascii=False)


def _characters(text: str, start: int, end: int, shown: str | None) -> tuple[int, int]:
    """Return a span in characters; browsers count an emoji as two, and may count no CR of a CRLF.

    What was marked, where it was exported, tells how it was counted; else it is as browsers do.
    """
    if text[start:end] == shown:
        return start, end
    for large, every in ((2, True), (1, False), (2, False)):
        places = [
            number
            for number, one in enumerate(text)
            for _ in range(large if one > "\uffff" else 1)
            if every or text[number : number + 2] != "\r\n"
        ]
        if 0 <= start < end <= len(places):
            first, last = places[start], places[end - 1] + 1
            plain = text[first:last].replace("\r\n", "\n")
            if shown is None or plain == shown.replace("\r\n", "\n"):
                return first, last
    raise ValueError(f"the text from {start} to {end} is {text[start:end]!r}, not {shown!r}")


def _tasks(path: Path, data: Data) -> Iterator[dict[str, Any]]:
    """Yield the tasks one after the other; the largest of them must fit into memory."""
    for number, task in enumerate(values(path, lines(path, data.encoding, cut=True)), 1):
        if not (
            isinstance(task, dict)
            and isinstance(task.get("data"), dict)
            and isinstance(task.get("annotations"), list)
            and all(
                isinstance(one, dict) and isinstance(one.get("result"), list)
                and all(isinstance(result, dict) for result in one["result"])
                for one in task["annotations"]
            )
        ):  # fmt: skip
            raise DataError(
                f"{path}: value {number} is no task of Label Studio with data and annotations.",
                remedy="Of .json files Label Studio's export is read (JSON, not JSON-MIN). Write"
                " other tables as JSON lines, one object a line, with the ending .jsonl.",
            )
        yield task


def values(path: Path, blocks: Iterator[str]) -> Iterator[Any]:
    """Yield the values of a JSON array, one after the other in memory.

    Args:
        path: The file, for messages.
        blocks: Its text in pieces.

    Raises:
        DataError: It is no array, or ends within one.
    """
    decoder, number = json.JSONDecoder(), 1
    text = _Window(blocks)
    if text.next() != "[":
        raise DataError(
            f"{path} begins with {text.next()!r}: it is no list of tasks in JSON.",
            remedy="Of .json files Label Studio's export is read; give JSON lines the ending"
            " .jsonl.",
        )
    text.place += 1
    while text.next() != "]":
        try:
            value, text.place = decoder.raw_decode(text.held, text.place)
        except (ValueError, RecursionError) as error:
            # Perhaps it ends in what was not read yet.
            if len(text.held) - text.place < MOST_LINE and text.more():
                continue
            raise DataError(
                f"{path}: value {number} is no whole JSON ({error}).",
                remedy="Export it again; is the file cut off, or no JSON?",
            ) from error
        yield value
        number += 1
    text.place += 1
    if behind := text.next():
        raise DataError(
            f"{path}: {behind!r} stands behind the list of tasks.", remedy="Export it again."
        )


class _Window:
    """The part of a long text that is in memory, and the place in it that is looked at."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self.held, self.place = "", 0

    def more(self) -> bool:
        """Let go of what was read and hold twice as much as is left; return whether there was."""
        parts, size = [self.held[self.place :]], 0
        for block in self._blocks:
            parts.append(block)
            size += len(block)
            if size >= max(_BLOCK, len(parts[0])):
                break
        self.held, self.place = "".join(parts), 0
        return size > 0

    def next(self) -> str:
        """Go to the next value and return its first character, or nothing at the end."""
        while True:
            while self.held[self.place : self.place + 1] in _BETWEEN:
                self.place += 1
            if self.place < len(self.held) or not self.more():
                return self.held[self.place : self.place + 1]
