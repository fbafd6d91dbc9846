"""Where a campaign stands: how much is done, how far annotators agree, how well each works."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.labelling import Annotator, Campaign, Disagreement, Pair, Progress, Said
from bessemer.measures import crowd
from bessemer.measures.crowd import Votes
from bessemer.service import campaign_rows as rows
from bessemer.service.campaign_rules import Rules
from bessemer.store import tables

#: Annotators whose every pair is told, those who did most.
MOST_PAIRED = 20


class _Given(NamedTuple):
    """What is read of a vote: records of a hundred thousand would take seconds."""

    item: int
    name: str
    label: str | None
    final: bool
    seconds: float


def counted(connection: Connection, campaign: Campaign) -> Progress:
    """Return where a campaign stands; see `Campaigns.show`."""
    items, spent = tables.items, tables.campaigns
    mine = items.c.campaign == campaign.id
    known = sa.select(items.c.number, items.c.gold).where(mine, items.c.gold.is_not(None))
    gold = {row.number: row.gold for row in connection.execute(known)}
    waiting = sa.select(sa.func.count()).where(mine, items.c.missing > sa.literal_column("0"))
    unfinished = connection.execute(waiting).scalar_one() - len(gold)
    total = connection.execute(
        sa.select(spent.c.size, spent.c.seconds).where(spent.c.id == campaign.id)
    ).one()
    given = _given(connection, campaign.id)
    asked = [row for row in given if row.item not in gold]
    called = [(str(row.item), row.name, row.label) for row in asked if row.label and not row.final]
    votes, _, names, _ = Votes.of(called)
    accuracy = {}
    if Rules(campaign).task.answers_once and len(called) > votes.sizes[0]:
        accuracy = dict(zip(names, crowd.dawid_skene(votes).accuracy, strict=True))
    return Progress(
        campaign=campaign,
        guideline=rows.guideline(connection, campaign.id),
        items=total.size - len(gold),
        done=total.size - len(gold) - unfinished,
        answers=len(called),
        gold=len(gold),
        skipped=sum(row.label is None for row in asked),
        disputed=len(connection.execute(disputed(campaign.id)).all()),
        minutes=total.seconds / 60,
        alpha=crowd.alpha(votes),
        annotators=_annotators(given, gold, accuracy),
        pairs=_pairs(votes, names),
        labels=_labels(campaign, asked),
    )


def _given(connection: Connection, campaign: str) -> list[_Given]:
    table = tables.answers
    query = sa.select(
        table.c.item, table.c.annotator, table.c.label, table.c.final, table.c.seconds
    ).where(table.c.campaign == campaign, table.c.withdrawn_at.is_(None))
    return [_Given(*row) for row in connection.execute(query)]


def disputed(campaign: str) -> sa.Select[tuple[int]]:
    """Return a query for the items that have several labels and no final one."""
    answers, items = tables.answers, tables.items
    place = sa.and_(items.c.campaign == answers.c.campaign, items.c.number == answers.c.item)
    return (
        sa.select(answers.c.item)
        .join(items, place)
        .where(
            answers.c.campaign == campaign,
            answers.c.withdrawn_at.is_(None),
            items.c.gold.is_(None),
        )
        .group_by(answers.c.item)
        .having(
            sa.func.count(answers.c.label.distinct()) > 1,
            sa.func.sum(sa.case((answers.c.final, 1), else_=0)) == 0,
        )
    )


def disagreements(connection: Connection, campaign: Campaign) -> list[Disagreement]:
    """Return what annotators differ about; see `Campaigns.disagreements`."""
    numbers = disputed(campaign.id)
    said: dict[int, list[Said]] = defaultdict(list)
    for vote in rows.votes(connection, campaign.id, tables.answers.c.item.in_(numbers)):
        said[vote.item].append(vote)
    items = rows.items(connection, campaign.id, tables.items.c.number.in_(numbers))
    return [Disagreement(item=item, said=tuple(said[item.number])) for item in items]


def _annotators(
    given: Sequence[_Given], gold: dict[int, str], accuracy: dict[str, float]
) -> tuple[Annotator, ...]:
    """Return what each annotator did, who did most first."""
    theirs: dict[str, list[_Given]] = defaultdict(list)
    for row in given:
        if not row.final:
            theirs[row.name].append(row)
    result = []
    for name, some in theirs.items():
        tests = [row for row in some if row.item in gold and row.label is not None]
        skipped = sum(row.label is None for row in some)
        result.append(
            Annotator(
                name=name,
                labelled=len(some) - skipped - len(tests),
                skipped=skipped,
                seconds=median(row.seconds for row in some),
                gold=len(tests),
                gold_right=sum(row.label == gold[row.item] for row in tests),
                accuracy=accuracy.get(name),
            )
        )
    return tuple(sorted(result, key=lambda one: (-one.labelled, one.name)))


def _pairs(votes: Votes, names: Sequence[str]) -> tuple[Pair, ...]:
    """Return how far each two agree who labelled the same items."""
    busy = np.bincount(votes.annotators, minlength=len(names)).argsort(kind="stable")[::-1]
    result = []
    for pair in combinations(sorted(names[number] for number in busy[:MOST_PAIRED]), 2):
        first, second = map(names.index, pair)
        both, kappa = crowd.kappa(votes, first, second)
        if both:
            result.append(Pair(first=pair[0], second=pair[1], both=both, kappa=kappa))
    return tuple(result)


def _labels(campaign: Campaign, asked: Sequence[_Given]) -> dict[str, int]:
    """Return on how many items each label was said; on settled ones the final one counts."""
    settled = {row.item for row in asked if row.final}
    called = {
        (row.item, row.label)
        for row in asked
        if row.label is not None and (row.final or row.item not in settled)
    }
    if Rules(campaign).task.answers_once:
        count = Counter(cell for _, cell in called)
    else:
        # As `Task.write` writes: a list of labels or of spans.
        within = {cell: _named(json.loads(cell)) for _, cell in called}
        count = Counter(
            label for _, label in {(item, one) for item, cell in called for one in within[cell]}
        )
    return dict(count.most_common())


def _named(listed: Sequence[Any]) -> frozenset[str]:
    return frozenset(one if isinstance(one, str) else one["label"] for one in listed)
