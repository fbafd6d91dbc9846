"""CoNLL columns: a token and its tag on each line, an empty line after each sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source, batches
from bessemer.prepare.text import lines
from bessemer.tasks.token_classification import IDEOGRAPHS

#: O, or a part of an entity: IOB1, IOB2, IOBES and BILOU alike.
_TAG = re.compile(r"O|([BILUES])-(.+)")
#: Scripts that are written without spaces between words.
_UNSPACED = re.compile(f"[{IDEOGRAPHS}]")


class Conll(Source):
    """Sentences as texts with labelled spans.

    The first column is the token, the last its tag; columns are divided by blanks. Tokens are
    joined by a space, but for those of scripts without. The two columns of the table are named
    as the project's `columns` block names text and label.
    """

    version = 2
    suffixes = (".conll", ".bio", ".iob")

    def read(self, path: Path, data: Data) -> Iterator[pa.RecordBatch]:
        """Read the file; see `Source.read`."""
        yield from batches(path, [data.columns.text, data.columns.label], _rows(path, data))


def _rows(path: Path, data: Data) -> Iterator[tuple[str, str]]:
    """Yield each sentence's text and its spans as JSON."""
    sentence: list[tuple[str, str, str]] = []
    characters = 0
    for number, line in enumerate(chain(lines(path, data.encoding), [""]), start=1):
        # Not split(): a token may be a no-break space or its like.
        cells = [cell for cell in line.strip(" \t\r\n").replace("\t", " ").split(" ") if cell]
        if not cells or cells[0] == "-DOCSTART-":
            if sentence:
                text, spans = _joined(sentence)
                yield text, json.dumps(spans, ensure_ascii=False)
            sentence, characters = [], 0
            continue
        tag = _TAG.fullmatch(cells[-1])
        if len(cells) == 1 or tag is None:
            raise DataError(
                f"{path}, line {number}: {line[:40]!r} is no token with its tag.",
                remedy="Write `token tag` on each line, as `Paris B-city`, and an empty line"
                " after each sentence.",
            )
        sentence.append((cells[0], tag[1] or "O", tag[2] or ""))
        characters += len(cells[0]) + 1
        if characters > MOST_CELL_BYTES:
            raise DataError(
                f"{path}, line {number}: the sentence has more than {MOST_CELL_BYTES:,}"
                " characters.",
                remedy="Is a line break missing, or the empty line after each sentence?",
            )


def _joined(sentence: list[tuple[str, str, str]]) -> tuple[str, list[dict[str, object]]]:
    """Return the text of tokens, parts and labels, and its spans in characters."""
    text = ""
    spans: list[dict[str, object]] = []
    open_label = ""
    for token, part, label in sentence:
        if text and not (_UNSPACED.match(text[-1]) and _UNSPACED.match(token[0])):
            text += " "
        start, text = len(text), text + token
        if part == "O":
            open_label = ""
        elif part in "BSU" or label != open_label:
            spans.append({"start": start, "end": len(text), "label": label})
            open_label = label
        else:
            spans[-1]["end"] = len(text)
        if part in "ESLU":
            open_label = ""
    return text, spans
