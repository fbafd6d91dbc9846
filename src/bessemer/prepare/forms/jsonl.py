"""JSON lines: one object a vote, or a joined item."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from bessemer.core.labelling import Labelled
from bessemer.prepare.forms.base import Form, Reading, flat, grouped
from bessemer.tasks.base import Task

#: Fields in which a number stands for its digits.
NAMES = ("key", "label", "annotator")
#: Fields that say something when they are empty, too.
SAID = ("text", "label")


class Jsonl(Form):
    """Objects; several labels and spans are JSON lists. Nothing is lost in it."""

    suffix = ".jsonl"

    def write(self, items: Iterable[Labelled], task: Task, file: IO[str], *, joined: bool) -> None:
        """Write the lines; see `Form.write`."""
        for row in flat(items, joined=joined):
            if row.get("label") is not None and not task.answers_once:
                row["label"] = json.loads(row["label"])
            said = {
                name: value
                for name, value in row.items()
                if value not in (None, "", []) or (name in SAID and value is not None)
            }
            file.write(json.dumps(said, ensure_ascii=False) + "\n")

    def read(self, file: Reading, task: Task) -> Iterator[Labelled]:
        """Read the lines; see `Form.read`."""
        return grouped(file, _rows(file))


def _rows(file: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in file.numbered():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise file.error(number, f"no JSON ({error})", "Write one object a line.") from error
        if not isinstance(row, dict):
            raise file.error(number, f"{line[:40]!r} is no JSON object", "Write one a line.")
        if isinstance(row.get("label"), list):
            row["label"] = json.dumps(row["label"], ensure_ascii=False)
        for name in NAMES:
            if isinstance(row.get(name), (int, float)):
                row[name] = str(row[name])
        yield number, row
