"""What answers leave to be done: labels that an item still needs, and what was spent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.labelling import Campaign, Item, Said, Vote
from bessemer.service.labels.rows import guideline, votes
from bessemer.store import tables

#: How long an item is kept for who has it before them, unless they ask again; no answer counts as
#: more work than that.
LEASE = timedelta(minutes=10)


def recount(connection: Connection, campaign: Campaign, said: Said, times: int) -> None:
    """Bring up to date how many labels an item still needs, and what was spent.

    Args:
        connection: In whose transaction.
        campaign: The campaign.
        said: What was added or withdrawn.
        times: 1 or -1. Time that was spent on a withdrawn answer stays spent.
    """
    items, answers = tables.items, tables.answers
    this = sa.and_(items.c.campaign == campaign.id, items.c.number == said.item)
    gold = connection.execute(sa.select(items.c.gold).where(this)).scalar()
    given = connection.execute(
        sa.select(answers.c.final).where(
            answers.c.campaign == campaign.id,
            answers.c.item == said.item,
            answers.c.label.is_not(None),
            answers.c.withdrawn_at.is_(None),
        )
    ).scalars()
    missing = _missing(campaign, gold, given.all())
    connection.execute(sa.update(items).where(this).values(missing=missing))
    counts = gold is None and said.label is not None and not said.final
    _spend(connection, campaign, times * counts, said.seconds if times > 0 else 0.0)


def _missing(campaign: Campaign, gold: str | None, given: Sequence[bool]) -> int:
    """Return how many labels an item still needs.

    Args:
        campaign: The item's.
        gold: The item's known answer, or None.
        given: Of each label that it has, whether it settles the item.
    """
    if gold is not None:
        return 1
    return 0 if any(given) else max(0, campaign.overlap - len(given))


def _spend(connection: Connection, campaign: Campaign, labels: int, seconds: float) -> None:
    table = tables.campaigns
    values = {"labels": table.c.labels + labels, "seconds": table.c.seconds + seconds}
    connection.execute(sa.update(table).where(table.c.id == campaign.id).values(**values))


def keep_all(connection: Connection, campaign: Campaign, new: Sequence[tuple[Item, Vote]]) -> int:
    """Write many votes, and return how many were new.

    Those of annotators who have voted on an item already are left out, and final ones on items
    that are settled.
    """
    answers, items = tables.answers, tables.items
    there: dict[int, list[Vote]] = {item.number: [] for item, _ in new}
    for said in votes(connection, campaign.id, answers.c.item.in_(list(there))):
        there[said.item].append(said)
    now = guideline(connection, campaign.id)
    newest_version = now.version if now else 0
    kept = []
    for item, vote in new:
        before = there[item.number]
        if any(one.final if vote.final else _same(one, vote) for one in before):
            continue
        before.append(vote)
        version = vote.guideline if 0 <= vote.guideline <= newest_version else 0
        place = {"campaign": campaign.id, "item": item.number, "guideline": version}
        seconds = min(vote.seconds, LEASE.total_seconds())
        kept.append({**dict(vote), **place, "seconds": seconds})
    if not kept:
        return 0
    connection.execute(sa.insert(answers), kept)
    gold = {item.number: item.gold for item, _ in new}
    counts = [one for one in kept if gold[one["item"]] is None and one["label"] is not None]
    change = (
        sa.update(items)
        .where(items.c.campaign == campaign.id, items.c.number == sa.bindparam("place"))
        .values(missing=sa.bindparam("still"))
    )
    values = []
    for number, some in there.items():
        labels = [one.final for one in some if one.label is not None]
        values.append({"place": number, "still": _missing(campaign, gold[number], labels)})
    connection.execute(change, values)
    spent = sum(not one["final"] for one in counts)
    _spend(connection, campaign, spent, sum(one["seconds"] for one in kept))
    return len(kept)


def _same(one: Vote, other: Vote) -> bool:
    return one.annotator == other.annotator and not one.final
