"""Comma-separated values (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

from bessemer.core.labelling import Labelled
from bessemer.prepare.forms.base import MOST_LINE, Form, Reading, flat, grouped
from bessemer.tasks.base import Task

#: What a spreadsheet takes for a formula, apostrophes before it or not (OWASP, CSV injection).
FORMULA = r"'*[=+\-@\t\r\n＝＋－＠]"
_ESCAPED = re.compile(f"'{FORMULA}")
JOINED = ("key", "text", "label")
LONG = (
    "key", "text", "image", "gold", "annotator", "label", "skipped", "final", "guideline",
    "seconds", "suggested", "at",
)  # fmt: skip


class Csv(Form):
    """A table with a header row.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it, which reading
    takes away. Suggestions are not written.
    """

    suffix = ".csv"

    def write(self, items: Iterable[Labelled], task: Task, file: IO[str], *, joined: bool) -> None:
        """Write the table; see `Form.write`."""
        columns = JOINED if joined else LONG
        table = csv.writer(file)
        table.writerow(columns)
        for row in flat(items, joined=joined):
            table.writerow([escaped(row.get(column)) for column in columns])

    def read(self, file: Reading, task: Task) -> Iterator[Labelled]:
        """Read the table; see `Form.read`."""
        return grouped(file, _rows(file))


def _rows(file: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(MOST_LINE)
    table = csv.reader(file.lines, strict=True)
    try:
        header = next(table, [])
        if len(set(header)) != len(header) or "text" not in header:
            raise file.error(
                1, f"the columns are {', '.join(header)[:200]!r}", "One is `text`, none is twice."
            )
        for row in table:
            if row and len(row) != len(header):
                raise file.error(
                    table.line_num,
                    f"the row has {len(row)} cells, the header has {len(header)}",
                    "Quote cells that hold a comma.",
                )
            if row:
                cells = ((_ESCAPED.match(cell) and cell[1:]) or cell for cell in row)
                yield table.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise file.error(table.line_num, str(error), "Check the quotes around it.") from error


def escaped(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if re.match(FORMULA, text) else text
