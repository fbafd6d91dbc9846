"""CoNLL columns: a token and its BIO tag on each line, an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import IO
from urllib.parse import quote, unquote

from bessemer.core import digest
from bessemer.core.errors import RequestError
from bessemer.core.labelling import Labelled, Vote
from bessemer.prepare.forms.base import Form, Reading
from bessemer.prepare.sources.conll import BIO, DOCUMENT, sentences
from bessemer.tasks.base import Answers, Span, Task
from bessemer.tasks.token_classification import IDEOGRAPHS

_TOKEN = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}]+|\S")


class Conll(Form):
    """Spans of token-classification; the blanks of a text are not in it.

    A vote is a document whose first line names the item's key and the annotator, and says whether
    it is final; joined, there are sentences alone. Skipped items and those without a vote are
    left out.
    """

    suffix = ".conll"

    def write(self, items: Iterable[Labelled], task: Task, file: IO[str], *, joined: bool) -> None:
        """Write the sentences; see `Form.write`."""
        for item in items:
            for vote in item.votes:
                if vote.label is None:
                    continue
                if not joined:
                    names = f"key={quote(item.key)} annotator={quote(vote.annotator)}"
                    final = " final=yes" if vote.final else ""
                    file.write(f"{DOCUMENT} {names}{final} O\n\n")
                spans = spans_of(task.parse(item.text, vote.label))
                file.writelines(f"{token} {tag}\n" for token, tag in tagged(item.text, spans))
                file.write("\n")

    def read(self, file: Reading, task: Task) -> Iterator[Labelled]:
        """Read the sentences; see `Form.read`."""
        for document, text, spans in sentences(file.path, file.lines, BIO):
            given = (cell.partition("=") for cell in document)
            names = {name: unquote(value) for name, _, value in given}
            vote = Vote(
                annotator=names.get("annotator", ""),
                label=spans,
                final="final" in names,
                at=file.at,
            )
            key = names.get("key") or digest.of_bytes(text.encode("utf-8", "replace"))[:16]
            yield Labelled(key=key, text=text, votes=(vote,))


def spans_of(answers: Answers) -> list[Span]:
    """Return answers as spans in the order of their text.

    Raises:
        RequestError: They are labels of the whole text, or a label has a blank.
    """
    for answer in answers:
        if not isinstance(answer, Span):
            raise RequestError(
                "CoNLL holds labelled parts of texts, and these are labels of whole texts.",
                remedy="Choose another form, as csv or jsonl.",
            )
        if answer.label.split() != [answer.label]:
            raise RequestError(f"CoNLL divides by blanks, and the label {answer.label!r} has some.")
    return sorted(answers)


def tagged(text: str, spans: list[Span]) -> Iterator[tuple[str, str]]:
    """Yield the tokens of a text with their tags (IOB2)."""
    waiting = iter(spans)
    span = next(waiting, None)
    for token in _TOKEN.finditer(text):
        while span is not None and span.end <= token.start():
            span = next(waiting, None)
        if span is None or token.start() < span.start:
            yield token[0], "O"
        else:
            yield token[0], f"{'B' if token.start() == span.start else 'I'}-{span.label}"
