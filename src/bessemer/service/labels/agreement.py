"""Where a campaign stands: how much is done, how far annotators agree, how well each works."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from bessemer.core.labelling import Annotator, Campaign, Disagreement, Pair, Progress, Said
from bessemer.measures import crowd
from bessemer.measures.crowd import Votes
from bessemer.service.labels import rows
from bessemer.service.labels.rules import Rules
from bessemer.store import tables

#: Annotators whose every pair is told, those who did most.
MOST_PAIRED = 20
#: Votes from which annotators' accuracy is estimated at most: those on every so-manieth item.
MOST_JUDGED = 20_000
#: Mean change of a probability at which that estimate ends: no shown digit moves any more.
STILL = 1e-4


@dataclass(frozen=True)
class Given:
    """The votes of a campaign as columns: a hundred thousand records would take seconds."""

    #: Number of each vote's item, int64 of shape [votes]; so are the next two.
    items: NDArray[np.int64]
    #: Place of each vote's annotator in `names`, of its label in `cells`; -1: skipped.
    annotators: NDArray[np.int64]
    labels: NDArray[np.int64]
    final: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    names: list[str]
    cells: list[str]

    @classmethod
    def read(cls, connection: Connection, campaign: str) -> Given:
        """Return the votes that count."""
        table = tables.answers
        query = sa.select(
            table.c.item, table.c.annotator, table.c.label, table.c.final, table.c.seconds
        ).where(table.c.campaign == campaign, table.c.withdrawn_at.is_(None))
        found = connection.execute(query).all()
        items, names, labels, final, seconds = zip(*found, strict=True) if found else [()] * 5
        people, cells = sorted(set(names)), sorted({cell for cell in labels if cell is not None})
        person = {name: place for place, name in enumerate(people)}
        cell = {label: place for place, label in enumerate(cells)}
        return cls(
            np.array(items, dtype=np.int64),
            np.array([person[name] for name in names], dtype=np.int64),
            np.array([-1 if label is None else cell[label] for label in labels], dtype=np.int64),
            np.array(final, dtype=np.bool_),
            np.array(seconds, dtype=np.float64),
            people,
            cells,
        )

    def votes(self, kept: NDArray[np.bool_]) -> Votes:
        """Return some of the votes, numbered as `names` and `cells`."""
        known, items = np.unique(self.items[kept], return_inverse=True)
        sizes = (len(known), len(self.names), len(self.cells))
        return Votes(items, self.annotators[kept], self.labels[kept], sizes)


def counted(connection: Connection, campaign: Campaign) -> Progress:
    """Return where a campaign stands; see `Campaigns.show`."""
    items, spent = tables.items, tables.campaigns
    mine = items.c.campaign == campaign.id
    known = sa.select(items.c.number, items.c.gold).where(mine, items.c.gold.is_not(None))
    gold: dict[int, str] = {row.number: row.gold for row in connection.execute(known)}
    waiting = sa.select(sa.func.count()).where(mine, items.c.missing > sa.literal_column("0"))
    unfinished = connection.execute(waiting).scalar_one() - len(gold)
    total = connection.execute(
        sa.select(spent.c.size, spent.c.seconds).where(spent.c.id == campaign.id)
    ).one()
    given = Given.read(connection, campaign.id)
    asked = ~np.isin(given.items, list(gold))
    called = asked & (given.labels >= 0) & ~given.final
    votes, once = given.votes(called), Rules(campaign).task.answers_once
    return Progress(
        campaign=campaign,
        guideline=rows.guideline(connection, campaign.id),
        items=total.size - len(gold),
        done=total.size - len(gold) - unfinished,
        answers=int(called.sum()),
        gold=len(gold),
        skipped=int((asked & (given.labels < 0)).sum()),
        disputed=len(connection.execute(disputed(campaign.id)).all()),
        minutes=total.seconds / 60,
        alpha=crowd.alpha(votes),
        annotators=_annotators(given, gold, _accuracy(given, called) if once else {}),
        pairs=_pairs(votes, given.names),
        labels=_labels(given, asked, once=once),
    )


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


def disagreements(
    connection: Connection, campaign: Campaign, most: int | None
) -> list[Disagreement]:
    """Return what annotators differ about; see `Campaigns.disagreements`."""
    numbers = disputed(campaign.id).order_by(tables.answers.c.item).limit(most)
    said: dict[int, list[Said]] = defaultdict(list)
    for vote in rows.votes(connection, campaign.id, tables.answers.c.item.in_(numbers)):
        said[vote.item].append(vote)
    items = rows.items(connection, campaign.id, tables.items.c.number.in_(numbers))
    return [Disagreement(item=item, said=tuple(said[item.number])) for item in items]


def _accuracy(given: Given, called: NDArray[np.bool_]) -> dict[int, float]:
    """Return how often each annotator is probably right, where items have several labels."""
    items, times = np.unique(given.items[called], return_counts=True)
    several = times > 1
    step = 1 + int(times[several].sum()) // MOST_JUDGED
    votes = given.votes(called & np.isin(given.items, items[several][::step]))
    if not votes.sizes[0]:
        return {}
    accuracy = crowd.dawid_skene(votes, still=STILL).accuracy
    return {number: float(accuracy[number]) for number in set(votes.annotators.tolist())}


def _annotators(
    given: Given, gold: dict[int, str], accuracy: dict[int, float]
) -> tuple[Annotator, ...]:
    """Return what each annotator did, who did most first."""
    result = []
    tests = np.isin(given.items, list(gold)) & (given.labels >= 0)
    for number, name in enumerate(given.names):
        theirs = (given.annotators == number) & ~given.final
        if not theirs.any():
            continue
        answered = np.flatnonzero(theirs & tests)
        skipped = int((theirs & (given.labels < 0)).sum())
        result.append(
            Annotator(
                name=name,
                labelled=int(theirs.sum()) - skipped - len(answered),
                skipped=skipped,
                seconds=float(np.median(given.seconds[theirs])),
                gold=len(answered),
                gold_right=sum(
                    given.cells[given.labels[place]] == gold[int(given.items[place])]
                    for place in answered
                ),
                accuracy=accuracy.get(number),
            )
        )
    return tuple(sorted(result, key=lambda one: (-one.labelled, one.name)))


def _pairs(votes: Votes, names: Sequence[str]) -> tuple[Pair, ...]:
    """Return how far each two agree who labelled the same items."""
    busy = np.bincount(votes.annotators, minlength=len(names)).argsort(kind="stable")[::-1]
    result = []
    for first, second in combinations(sorted(busy[:MOST_PAIRED].tolist()), 2):
        both, kappa = crowd.kappa(votes, first, second)
        if both:
            result.append(Pair(first=names[first], second=names[second], both=both, kappa=kappa))
    return tuple(result)


def _labels(given: Given, asked: NDArray[np.bool_], *, once: bool) -> dict[str, int]:
    """Return on how many items each label was said; on settled ones the final one counts."""
    settled = np.isin(given.items, given.items[given.final])
    counts = asked & (given.labels >= 0) & (given.final | ~settled)
    pairs = np.unique(np.stack([given.items[counts], given.labels[counts]]), axis=1)
    if once:
        times = np.bincount(pairs[1], minlength=len(given.cells)).tolist()
        found = Counter(dict(zip(given.cells, times, strict=True)))
    else:
        # As `Task.write` writes: a list of labels or of spans.
        within = [_named(json.loads(cell)) for cell in given.cells]
        said = {(item, one) for item, cell in pairs.T.tolist() for one in within[cell]}
        found = Counter(label for _, label in said)
    return {label: count for label, count in found.most_common() if count}


def _named(listed: Sequence[Any]) -> frozenset[str]:
    return frozenset(one if isinstance(one, str) else one["label"] for one in listed)
