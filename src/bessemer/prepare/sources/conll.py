"""CoNLL columns: a token and its tag on each line, an empty line after each sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source, batches
from bessemer.prepare.text import lines
from bessemer.tasks.token_classification import IDEOGRAPHS

#: Begins a document (CoNLL-2003).
DOCUMENT = "-DOCSTART-"
#: What tags may be by the schemes' names: O, or a part of an entity. IOB1 is read as BIO.
BIO, ANY = "BIO", "BIO, IOBES or BILOU"
_TAGS = {BIO: re.compile(r"O|([BI])-(.+)"), ANY: re.compile(r"O|([BILUES])-(.+)")}
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
        found = sentences(path, lines(path, data.encoding), ANY)
        rows = ((text, spans) for _, text, spans in found)
        yield from batches(path, [data.columns.text, data.columns.label], rows)


def sentences(path: Path, read: Iterable[str], scheme: str) -> Iterator[tuple[list[str], str, str]]:
    """Yield the sentences: what their document's line says, their text, their spans as JSON.

    Args:
        path: The file, for messages.
        read: Its lines.
        scheme: Of its tags, `BIO` or `ANY`.

    Raises:
        DataError: A line is no token with its tag, or a sentence is too long.
    """
    document: list[str] = []
    sentence: list[tuple[str, str, str]] = []
    characters = 0
    for number, line in enumerate(chain(read, [""]), start=1):
        # Not split(): a token may be a no-break space or its like.
        cells = [cell for cell in line.strip(" \t\r\n").replace("\t", " ").split(" ") if cell]
        if not cells or cells[0] == DOCUMENT:
            if sentence:
                text, spans = _joined(sentence)
                yield document, text, json.dumps(spans, ensure_ascii=False)
            sentence, characters = [], 0
            document = cells[1:] if cells else document
            continue
        tag = _TAGS[scheme].fullmatch(cells[-1])
        if len(cells) == 1 or tag is None:
            raise DataError(
                f"{path}, line {number}: {line[:40]!r} is no token with its {scheme} tag.",
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
