"""Which texts may be labelled, and what is labelled already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from bessemer.core import digest, folder
from bessemer.core.dataset import ROW
from bessemer.core.errors import DataError, nearest
from bessemer.core.labelling import NewItem
from bessemer.core.project import Project
from bessemer.prepare.checks import answers_of
from bessemer.prepare.locate import locate
from bessemer.prepare.sources.base import source_for
from bessemer.service.home import Home
from bessemer.service.inputs import sources
from bessemer.service.labels import files
from bessemer.service.labels.campaigns import Campaigns
from bessemer.service.labels.labelled import same_kind
from bessemer.service.labels.rules import MOST_KEY, MOST_TEXT
from bessemer.service.pipeline import Pipeline
from bessemer.service.project_file import Loaded, at
from bessemer.tasks.base import Answers, Task, label_of

#: Column of a folder of images.
IMAGE = "image"
MOST_IMAGE_BYTES = 20_000_000


@dataclass(frozen=True)
class Texts:
    """Texts, each with what names its row: `tickets.csv#17`."""

    keys: list[str]
    texts: list[str]
    #: The image that each is the name of, where the pool is a folder of images.
    images: list[Path | None]

    def without(self, known: set[str]) -> list[int]:
        """Return the numbers of the texts that are like none of `known`; see `alike`."""
        return [n for n, text in enumerate(self.texts) if alike(text) not in known]


@dataclass(frozen=True)
class Answered:
    """Texts with what is right for each, in the order in which they were labelled."""

    texts: list[str]
    answers: list[Answers]

    def without(self, known: set[str]) -> Answered:
        """Return those whose text is like none of `known`; see `alike`."""
        rows = [n for n, text in enumerate(self.texts) if alike(text) not in known]
        return Answered([self.texts[n] for n in rows], [self.answers[n] for n in rows])


def alike(text: str) -> str:
    """Return a text without what does not make it another one: case and blanks."""
    return " ".join(text.casefold().split())


def pool(loaded: Loaded, cache: Path) -> Texts:
    """Return the texts of the project's pool, each once.

    Texts that could not be put up are left out: empty ones, and damaged ones.

    Raises:
        DataError: It has no column with texts, or no text.
    """
    name, columns = loaded.project.label.pool or "", loaded.project.data.columns
    try:
        path = locate(name, relative_to=loaded.folder, cache=cache)
    except DataError as error:
        where = at(loaded, ("label", "pool"))
        raise DataError(f"{where}{error.message}", remedy=error.remedy) from error
    batches = source_for(path)[1]().read(path, loaded.project.data)
    table = pa.Table.from_batches(batches)
    if columns.text not in table.column_names:
        close = nearest(columns.text, table.column_names)
        raise DataError(
            f"{at(loaded, ('label', 'pool'))}{path.name} has no column {columns.text!r}; it has"
            f" {', '.join(table.column_names) or 'none'}.",
            remedy=(f"Did you mean {close!r}? " if close else "") + "Set data.columns.text.",
        )
    names = [str(number) for number in range(1, table.num_rows + 1)]
    if columns.id in table.column_names:
        given = table[columns.id].to_pylist()
        names = [one or number for one, number in zip(given, names, strict=True)]
    texts, images = table[columns.text].to_pylist(), [None] * table.num_rows
    if path.is_dir() and IMAGE in table.column_names:
        # Files in two folders may have one name.
        texts = table[IMAGE].to_pylist()
        images = [path / name for name in texts]
    seen: set[str] = set()
    found = Texts([], [], [])
    for number, text, image in zip(names, texts, images, strict=True):
        key = f"{path.name}#{number}"
        if _usable(key, text) and alike(text) not in seen:
            seen.add(alike(text))
            found.keys.append(key)
            found.texts.append(text)
            found.images.append(image)
    if not found.texts:
        raise DataError(f"{path.name} has no text in its column {columns.text!r}.")
    return found


def kept(home: Home, image: Path) -> str:
    """Keep an image in the home, where the console finds it, and return its SHA-256.

    Raises:
        DataError: It cannot be read, or is too large to be shown.
        StorageError: The disk is full or refuses.
    """
    try:
        size, content = image.stat().st_size, b""
        if size <= MOST_IMAGE_BYTES:
            content = image.read_bytes()
    except OSError as error:
        raise DataError(
            f"{image} cannot be read: {error.strerror}.", remedy="Check that it is still there."
        ) from error
    if not content:
        raise DataError(
            f"{image} has {size:,} bytes.", remedy=f"An image has 1 to {MOST_IMAGE_BYTES:,}."
        )
    sha256 = digest.of_bytes(content)
    target = home.root / "blobs" / sha256
    if not target.exists():
        folder.atomic_file(target, content)
    return sha256


def _usable(key: str, text: str | None) -> bool:
    if text is None or not text.strip() or len(text) > MOST_TEXT or "\0" in text:
        return False
    return len(key) <= MOST_KEY and key.isprintable()


def names_of(loaded: Loaded) -> dict[str, str]:
    """Return the name of each split's file, `source` for those that have none of their own."""
    return {role: Path(name).name for role, name in sources(loaded.project).items()}


def rows_of(pipeline: Pipeline, split: str) -> Answered:
    """Return a split's rows, in an order that does not follow the file."""
    table = pipeline.rows(split)
    order = np.random.default_rng(pipeline.plan.project.seed).permutation(table.num_rows)
    table = table.take(order)
    return Answered(table["text"].to_pylist(), answers_of(table, pipeline.task))


def tests(pipeline: Pipeline) -> list[NewItem]:
    """Return the validation rows as items whose answer is known: no model has learnt from them, so
    that what is suggested for them is as often right as elsewhere.
    """
    table = pipeline.rows("validation").select([ROW, "text", "label"])
    name = Path(pipeline.plan.project.data.source).name
    return [
        NewItem(key=f"{name}#{row['row']}", text=row["text"], gold=row["label"])
        for row in table.to_pylist()
    ]


def of_campaigns(home: Home, project: Project, task: Task) -> tuple[Answered, set[str]]:
    """Return what a project's campaigns have found so far, and all texts that they ask for.

    Tests of annotators are no finding; neither is a label that the project does not know.
    """
    found: Answered = Answered([], [])
    asked: set[str] = set()
    known = {*task.labels, task.nothing}
    for campaign in reversed(Campaigns(home).list(project.name)):
        if not same_kind(campaign, project):
            continue
        items = files.labelled(home, campaign)
        for item in files.join(home, campaign, task, items):
            asked.add(alike(item.text))
            if item.gold is not None or not item.votes:
                continue
            answers = task.parse(item.text, item.votes[0].label or "")
            if {label_of(answer) for answer in answers} <= known:
                found.texts.append(item.text)
                found.answers.append(answers)
    return found, asked


def of_texts(*lists: Sequence[str]) -> set[str]:
    """Return what `alike` makes of all texts."""
    return {alike(text) for text in chain(*lists)}
