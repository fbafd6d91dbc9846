"""Campaigns to files and back, and as the rows that a project learns from."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core import folder
from bessemer.core.errors import DataError, RequestError, UserError
from bessemer.core.labelling import Campaign, Imported, Item, Labelled, NewItem, Said, Vote
from bessemer.measures import crowd
from bessemer.prepare.forms.base import form_of, opened
from bessemer.service.home import Home
from bessemer.service.labels import rows
from bessemer.service.labels.agreement import Given
from bessemer.service.labels.keeping import keep_all
from bessemer.service.labels.rules import Rules, check_items, checked
from bessemer.store import tables
from bessemer.tasks.base import Task


def export(home: Home, campaign: Campaign, path: Path, form: str | None, *, joined: bool) -> Path:
    """Write a campaign to a file that is whole or absent; see `Campaigns.export`."""
    found, task = form_of(path, form), Rules(campaign).task
    items = labelled(home, campaign)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    if path.is_dir():
        raise RequestError(f"{path} is a folder.", remedy="Name a file.")
    with folder.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("w", encoding="utf-8", newline="") as file:
                given = join(home, campaign, task, items) if joined else items
                found.write(given, task, file, joined=joined)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
        finally:
            aside.unlink(missing_ok=True)
    return path


def labelled(home: Home, campaign: Campaign) -> Iterator[Labelled]:
    """Yield all items of a campaign with their votes, some thousands from one transaction."""
    table, answers = tables.items, tables.answers
    last = 0
    while True:
        part = sa.and_(table.c.number > last, table.c.number <= last + rows.AT_ONCE)
        with home.database.begin() as connection:
            items = rows.items(connection, campaign.id, part)
            theirs = answers.c.item.between(last + 1, last + rows.AT_ONCE)
            said: dict[int, list[Said]] = defaultdict(list)
            for vote in rows.votes(connection, campaign.id, theirs):
                said[vote.item].append(vote)
        if not items:
            return
        last += rows.AT_ONCE
        for item in items:
            yield Labelled(
                **{name: getattr(item, name) for name in NewItem.model_fields},
                votes=tuple(
                    Vote(**{name: getattr(vote, name) for name in Vote.model_fields})
                    for vote in said[item.number]
                ),
            )


def join(
    home: Home, campaign: Campaign, task: Task, items: Iterator[Labelled]
) -> Iterator[Labelled]:
    """Yield items with one vote, which is nobody's: what their votes make probable.

    That is the known answer, else the one that settles it, else, where each text has one label,
    what Dawid and Skene's estimate finds, else what most said; of equal ones what came first.
    """
    probable = _probable(home, campaign) if task.answers_once else {}
    for number, item in enumerate(items, start=1):
        votes = [vote.label for vote in item.votes if vote.label is not None]
        finals = [vote.label for vote in item.votes if vote.final]
        label = item.gold
        if label is None and votes:
            most = Counter(votes).most_common(1)[0][0]
            label = finals[-1] if finals else probable.get(number, most)
        vote = Vote(annotator="", label=label, at=campaign.created_at)
        yield item.model_copy(update={"votes": () if label is None else (vote,)})


def _probable(home: Home, campaign: Campaign) -> dict[int, str]:
    with home.database.begin() as connection:
        given = Given.read(connection, campaign.id)
    called = (given.labels >= 0) & ~given.final
    if not called.any():
        return {}
    best = crowd.dawid_skene(given.votes(called)).labels
    items = np.unique(given.items[called]).tolist()
    return {item: given.cells[label] for item, label in zip(items, best, strict=True)}


def bring(home: Home, campaign: Campaign, path: Path, form: str | None, annotator: str) -> Imported:
    """Read a file into a campaign; see `Campaigns.import_`."""
    rules = Rules(campaign)
    waiting = iter(_read(home, path, form, rules.task).items())
    parts = []
    while part := dict(islice(waiting, rows.AT_ONCE)):
        parts.append(part)
    new: list[NewItem] = []
    for part in parts:
        with home.database.begin() as connection:
            known = {item.key: item for item in _known(connection, campaign, part)}
        for key, item in part.items():
            at_home = known.get(key)
            where = f"{path}, item {key[:80]!r}"
            part[key] = _checked(rules, item, at_home, annotator, where)
            if at_home is None:
                new.append(NewItem(**{name: getattr(item, name) for name in NewItem.model_fields}))
    new = check_items(rules, new)
    items = rows.add_all(home, campaign, new)
    votes = 0
    for part in parts:
        with home.database.begin() as connection:
            places = {item.key: item for item in _known(connection, campaign, part)}
            kept = [(places[key], vote) for key, item in part.items() for vote in item.votes]
            votes += keep_all(connection, campaign, kept)
            home.event(connection, "answers imported", campaign.id, file=path.name, count=len(kept))
    return Imported(items=items, votes=votes)


def _read(home: Home, path: Path, form: str | None, task: Task) -> dict[str, Labelled]:
    """Return the items of a file by their keys."""
    given: dict[str, Labelled] = {}
    with opened(path, home.clock()) as file:
        for item in form_of(path, form).read(file, task):
            before = given.setdefault(item.key, item)
            if before is item:
                continue
            if before.text != item.text:
                raise DataError(f"{path}: two items of the key {item.key[:80]!r} differ in text.")
            both = {"votes": (*before.votes, *item.votes)}
            given[item.key] = before.model_copy(update=both)
    return given


def _known(connection: Connection, campaign: Campaign, keys: Iterable[str]) -> list[Item]:
    return rows.items(connection, campaign.id, tables.items.c.key.in_(list(keys)))


def _checked(
    rules: Rules, item: Labelled, known: Item | None, annotator: str, where: str
) -> Labelled:
    """Return an item whose votes may be kept, and of each annotator's several ones the last.

    Raises:
        DataError: One may not, or the campaign knows the item with another text.
    """
    text = known.text if known else item.text
    if _squeezed(text) != _squeezed(item.text):
        raise DataError(
            f"{where}: the campaign has another text under this key: {text[:60]!r}.",
            remedy="Give the item a key of its own.",
        )
    gold = (known or item).gold is not None
    last: dict[tuple[str, bool], Vote] = {}
    for vote in item.votes:
        changes: dict[str, Any] = {}
        if not vote.annotator:
            changes["annotator"] = annotator
        if vote.final and (gold or vote.label is None):
            changes["final"] = False
        if vote.label is not None and text != item.text:
            changes["label"] = _moved(vote.label, item.text, text)
        try:
            kept = checked(rules, text, vote.model_copy(update=changes) if changes else vote)
        except UserError as error:
            raise DataError(f"{where}: {error}") from error
        last[kept.annotator, kept.final] = kept
    return item.model_copy(update={"votes": tuple(last.values())})


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _moved(cell: str, text: str, other: str) -> str:
    """Return spans of a text in another one that differs in blanks alone."""
    try:
        spans = json.loads(cell)
        ends = [place + 1 for place, sign in enumerate(other) if not sign.isspace()]
        before = [0, *accumulate(not sign.isspace() for sign in text)]
        for span in spans:
            start, end = before[span["start"]], before[span["end"]]
            span.update(start=ends[start] - 1, end=ends[end - 1])
        return json.dumps(spans, ensure_ascii=False)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return cell  # labels of the whole text, or what nobody will understand
