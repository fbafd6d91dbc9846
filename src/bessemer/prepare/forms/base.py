"""The contract of a form: a file format that labelled items are written to and read from."""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar

from pydantic import ValidationError

from bessemer.core import digest
from bessemer.core.catalogue import Catalogue
from bessemer.core.errors import DataError, TooLargeError, UnknownNameError
from bessemer.core.labelling import Labelled, NewItem, Vote
from bessemer.tasks.base import Task

#: A larger file is refused before it is read.
MOST_FILE_BYTES = 1_000_000_000
#: Characters of a line.
MOST_LINE = 5_000_000
#: Fields of a row that say something of a vote; the others are the item's.
OF_VOTE = tuple(Vote.model_fields)


class Form(ABC):
    """One format. Stateless."""

    #: Ending of a file's name that chooses this form, with the dot.
    suffix: ClassVar[str]

    @abstractmethod
    def write(self, items: Iterable[Labelled], task: Task, file: IO[str], *, joined: bool) -> None:
        """Write items and their votes.

        Args:
            items: The items; joined ones have one vote, which is nobody's.
            task: What their labels mean.
            file: Open for writing, without translation of line ends.
            joined: Whether to write one row an item, and no annotator.
        """

    @abstractmethod
    def read(self, file: Reading, task: Task) -> Iterator[Labelled]:
        """Yield items and their votes; an annotator is "" where the file names none.

        Raises:
            DataError: The file is not of this form; the message names the place.
        """


FORMS: Catalogue[Form] = Catalogue("form", "bessemer.prepare.forms", Form)  # type: ignore[type-abstract]


def form_of(path: Path, name: str | None) -> Form:
    """Return a form by its name, or by the ending of files; by default the file's own.

    Raises:
        UnknownNameError: There is none.
    """
    if name is not None and not name.startswith("."):
        return FORMS.load(name)()
    ending = (path.suffix if name is None else name).lower()
    forms = {form.suffix: form for form in map(FORMS.load, FORMS.names())}
    if ending not in forms:
        raise UnknownNameError("form of files that end in", ending, forms)
    return forms[ending]()


@dataclass(frozen=True)
class Reading:
    """A file that is being read."""

    path: Path
    lines: Iterator[str]
    #: The time of votes that name none.
    at: datetime

    def error(self, line: int, what: str, remedy: str = "") -> DataError:
        """Return an error that names a line."""
        return DataError(f"{self.path}, line {line}: {what}.", remedy=remedy)

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Yield lines with their numbers, from 1."""
        return enumerate(self.lines, start=1)


@contextlib.contextmanager
def opened(path: Path, at: datetime) -> Iterator[Reading]:
    """Yield a file's lines as UTF-8, their ends as they are; a byte-order mark is taken away.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
        TooLargeError: It is too large, or one of its lines is.
    """
    try:
        size = path.stat().st_size
        if size > MOST_FILE_BYTES:
            raise TooLargeError(
                f"{path} has {size:,} bytes.", remedy=f"Split it: at most {MOST_FILE_BYTES:,}."
            )
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield Reading(path, _lines(path, file), at)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte 0x{error.object[error.start]:02x} is no UTF-8 text.",
            remedy="Save the file as UTF-8.",
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _lines(path: Path, file: IO[str]) -> Iterator[str]:
    while line := file.readline(MOST_LINE):
        if len(line) == MOST_LINE and not line.endswith("\n"):
            raise TooLargeError(f"{path} has a line of more than {MOST_LINE:,} characters.")
        yield line


def flat(items: Iterable[Labelled], *, joined: bool) -> Iterator[dict[str, Any]]:
    """Yield one row a vote, or a joined item, and one for each item that has none."""
    for item in items:
        head = item.model_dump(mode="json", exclude={"votes"})
        if joined:
            labels = [vote.label for vote in item.votes]
            if labels:
                yield {
                    "key": item.key,
                    "text": item.text,
                    "image": item.image,
                    "label": labels[0],
                }
            continue
        for vote in item.votes:
            yield head | vote.model_dump(mode="json")
        if not item.votes:
            yield head


def grouped(file: Reading, rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Labelled]:
    """Yield the items of rows in the order of their first ones; the inverse of `flat`.

    A row without a key is an item of its text. Fields that say nothing here are passed over.

    Args:
        file: What is read, for messages and the time.
        rows: Each with the number of its line.

    Raises:
        DataError: A row has no text, or two of one key differ in it.
    """
    items: dict[str, NewItem] = {}
    votes: dict[str, list[Vote]] = {}
    for line, row in rows:
        given = {name: value for name, value in row.items() if value not in (None, "")}
        if "image" in given:
            given.setdefault("text", "")
        if not isinstance(text := given.get("text"), str):
            known = ", ".join(map(str, row))[:200] or "nothing"
            raise file.error(line, f"there is no text, but {known}", "Name the field `text`.")
        given.setdefault("key", digest.of_bytes(text.encode("utf-8", "replace"))[:16])
        vote = {name: given.pop(name) for name in OF_VOTE if name in given}
        head = {name: given[name] for name in NewItem.model_fields if name in given}
        try:
            if isinstance(head.get("suggestions"), str):
                head["suggestions"] = json.loads(head["suggestions"])
            item = NewItem.model_validate(head)
            if "label" in vote or "skipped" in vote:
                said = Vote.model_validate({"annotator": "", "at": file.at, **vote})
                votes.setdefault(item.key, []).append(said)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise file.error(line, f"{place}: {first['msg']}") from error
        except (ValueError, RecursionError) as error:
            raise file.error(line, f"the suggestions are no JSON ({error})") from error
        if items.setdefault(item.key, item).text != item.text:
            raise file.error(line, f"the key {item.key!r} had another text before")
    for key, item in items.items():
        yield Labelled(**dict(item), votes=tuple(votes.get(key, ())))
