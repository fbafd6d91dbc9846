"""Who is asked which item next, and what they say: leases, answers, undone and settled ones.

Each function is one transaction, and transactions take turns: no two annotators get the same
place at an item, in whatever process they are.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.errors import ConflictError
from bessemer.core.labelling import Campaign, Item, Said, Vote
from bessemer.service.home import Home
from bessemer.service.labels.keeping import LEASE, recount
from bessemer.service.labels.rows import find, guideline, newest, votes
from bessemer.service.labels.rules import Rules, check_name, checked
from bessemer.store import tables

#: How many items are looked at one after the other before all are.
PARTS = (20, 80, 320)


def ask(
    home: Home, connection: Connection, campaign: Campaign, annotator: str, count: int
) -> list[Item]:
    """Return what an annotator is to label now, and the one after it if `count` is 2.

    They are leased to them; see `Campaigns.next` and `Campaigns.hold`.
    """
    check_name("annotator", annotator)
    if campaign.state == "closed":
        return []
    now = home.clock()
    _end_leases(connection, campaign.id, now)
    leases = tables.leases
    mine = connection.execute(
        sa.select(leases).where(leases.c.campaign == campaign.id, leases.c.annotator == annotator)
    ).first()
    held = [n for n in _held(mine) if _asks(connection, campaign.id, annotator, n)]
    reached = mine.reached if mine is not None else 0
    while len(held) < count and not _spent(connection, campaign):
        found = _lowest(connection, campaign.id, annotator, reached, held)
        if found is None:
            last = sa.select(tables.campaigns.c.size).where(tables.campaigns.c.id == campaign.id)
            reached = connection.execute(last).scalar_one()
            break
        held.append(found)
        reached = max(reached, found)
        _lease(connection, campaign.id, annotator, now, held, reached=reached)
    _lease(connection, campaign.id, annotator, now, held, reached=reached)
    return [find(connection, campaign.id, number) for number in held[:count]]


def _held(lease: Any) -> list[int]:
    """Return what a row of leases keeps for its annotator, in their order."""
    numbers = [] if lease is None else [lease.item, lease.ahead]
    return [number for number in numbers if number is not None]


def _asks(connection: Connection, campaign: str, annotator: str, number: int) -> bool:
    """Return whether an item that somebody holds still needs their answer: it may have been settled
    meanwhile, or imported.
    """
    items, answers = tables.items, tables.answers
    needed = sa.select(items.c.missing).where(
        items.c.campaign == campaign, items.c.number == number
    )
    theirs = sa.select(answers.c.id).where(
        answers.c.campaign == campaign,
        answers.c.item == number,
        answers.c.annotator == annotator,
        answers.c.withdrawn_at.is_(None),
    )
    missing: int = connection.execute(needed).scalar_one()
    return missing > 0 and connection.execute(theirs).first() is None


def _end_leases(connection: Connection, campaign: str, now: datetime) -> None:
    """Return to all what lay too long before somebody."""
    leases = tables.leases
    over = sa.and_(leases.c.campaign == campaign, leases.c.until <= now)
    for lease in connection.execute(sa.select(leases).where(over)).all():
        for number in _held(lease):
            _return(connection, campaign, number)
    connection.execute(sa.update(leases).where(over).values(item=None, ahead=None, until=None))


def _return(connection: Connection, campaign: str, number: int) -> None:
    items = tables.items
    this = sa.and_(items.c.campaign == campaign, items.c.number == number)
    connection.execute(sa.update(items).where(this).values(returned=True))


def _spent(connection: Connection, campaign: Campaign) -> bool:
    """Return whether the budget is spent, what is being labelled now counted in."""
    if campaign.budget_labels is None and campaign.budget_minutes is None:
        return False
    campaigns, leases, items = tables.campaigns, tables.leases, tables.items
    spent = connection.execute(
        sa.select(campaigns.c.labels, campaigns.c.seconds).where(campaigns.c.id == campaign.id)
    ).one()
    underway = connection.execute(
        sa.select(sa.func.count())
        .select_from(leases)
        .join(
            items,
            sa.and_(
                items.c.campaign == leases.c.campaign,
                items.c.number.in_([leases.c.item, leases.c.ahead]),
            ),
        )
        .where(leases.c.campaign == campaign.id, items.c.gold.is_(None))
    ).scalar_one()
    labels, minutes = campaign.budget_labels, campaign.budget_minutes
    return (labels is not None and spent.labels + underway >= labels) or (
        minutes is not None and spent.seconds >= 60 * minutes
    )


def _lowest(
    connection: Connection, campaign: str, annotator: str, reached: int, held: list[int]
) -> int | None:
    """Return the lowest number that an annotator can be asked, beside what they have already.

    Up to `reached` there is nothing left for them but what was returned, so that nobody's way
    through many items is walked twice. The first parts of it are read by an index; only behind
    them the database looks through all that the annotator has answered.
    """
    items, answers, leases = tables.items, tables.answers, tables.leases
    theirs = sa.select(leases).where(leases.c.campaign == campaign, leases.c.annotator != annotator)
    leased = Counter(n for lease in connection.execute(theirs).all() for n in _held(lease))
    answered = sa.exists().where(
        answers.c.campaign == campaign,
        answers.c.item == items.c.number,
        answers.c.annotator == annotator,
        answers.c.withdrawn_at.is_(None),
    )
    for way in (sa.and_(items.c.returned, items.c.number <= reached), items.c.number > reached):
        past = 0
        for size in (*PARTS, None):
            query = sa.select(items.c.number, items.c.missing, items.c.gold).where(
                items.c.campaign == campaign,
                # As in the index, which knows no parameters.
                items.c.missing > sa.literal_column("0"),
                items.c.number > past,
                way,
            )
            if size is None:
                query = query.where(~answered)
            most = size or len(leased) + len(held) + 1
            part = connection.execute(query.order_by(items.c.number).limit(most)).all()
            # Everybody's: asked for the annotator's, PostgreSQL would read all of theirs.
            said = sa.select(answers.c.item, answers.c.annotator).where(
                answers.c.campaign == campaign,
                answers.c.item.in_([item.number for item in part]),
                answers.c.withdrawn_at.is_(None),
            )
            done = {one.item for one in connection.execute(said) if one.annotator == annotator}
            done.update(held)
            for item in part:
                free = item.gold is not None or item.missing > leased[item.number]
                if free and item.number not in done:
                    found: int = item.number
                    return found
            if len(part) < most:
                break
            past = part[-1].number
    return None


def _lease(
    connection: Connection,
    campaign: str,
    annotator: str,
    now: datetime,
    held: list[int],
    **values: Any,
) -> None:
    """Write down what an annotator has before them, one or two items."""
    leases = tables.leases
    values["item"], values["ahead"] = [*held, None, None][:2]
    values["until"] = now + LEASE if held else None
    this = sa.and_(leases.c.campaign == campaign, leases.c.annotator == annotator)
    if not connection.execute(sa.update(leases).where(this).values(**values)).rowcount:
        row = {"campaign": campaign, "annotator": annotator, "reached": 0, **values}
        connection.execute(sa.insert(leases).values(**row))


def say(home: Home, connection: Connection, campaign: Campaign, number: int, vote: Vote) -> Said:
    """Keep an answer; see `Campaigns.say`."""
    _check_open(campaign)
    _end_leases(connection, campaign.id, home.clock())
    item = find(connection, campaign.id, number)
    vote = checked(Rules(campaign), item.text, vote)
    for before in votes(connection, campaign.id, tables.answers.c.item == number):
        if before.annotator != vote.annotator or before.final:
            continue
        if (before.label, before.skipped) == (vote.label, vote.skipped):
            return before
        raise ConflictError(
            f"{vote.annotator} has answered item {item.number} of {campaign.id} already.",
            remedy="Undo that answer first.",
        )
    held = _holding(connection, campaign.id, vote.annotator)
    if item.number not in held and _spent(connection, campaign):
        raise ConflictError(f"The budget of {campaign.id} is spent.")
    _check_place(connection, campaign, item, vote.annotator)
    vote = vote.model_copy(update={"seconds": min(vote.seconds, LEASE.total_seconds())})
    kept = _keep(connection, campaign, item, _guided(connection, campaign, vote))
    if kept.label is None:
        _return(connection, campaign.id, item.number)
    if item.number in held:
        held.remove(item.number)
        _lease(connection, campaign.id, vote.annotator, home.clock(), held)
    return kept


def _holding(connection: Connection, campaign: str, annotator: str) -> list[int]:
    """Return what is leased to an annotator."""
    leases = tables.leases
    mine = sa.and_(leases.c.campaign == campaign, leases.c.annotator == annotator)
    return _held(connection.execute(sa.select(leases).where(mine)).first())


def _check_open(campaign: Campaign) -> None:
    if campaign.state == "closed":
        raise ConflictError(
            f"The campaign {campaign.id} is closed.",
            remedy=f"Open it again: bessemer campaigns open {campaign.id}",
        )


def _check_place(connection: Connection, campaign: Campaign, item: Item, annotator: str) -> None:
    """Raise `ConflictError` unless there is room for an annotator's answer to an item."""
    items = tables.items
    missing: int = connection.execute(
        sa.select(items.c.missing).where(
            items.c.campaign == campaign.id, items.c.number == item.number
        )
    ).scalar_one()
    # Who holds it has a place already.
    free = item.gold is not None or annotator in item.leased_to
    if missing <= (0 if free else len(item.leased_to)):
        raise ConflictError(
            f"Item {item.number} of {campaign.id} has all its answers, or others have it before"
            " them now.",
            remedy="Go on with the next one.",
        )


def undo(
    home: Home, connection: Connection, campaign: Campaign, annotator: str, item: int | None
) -> Item:
    """Withdraw an annotator's newest answer, or that to an item; see `Campaigns.undo`."""
    _check_open(campaign)
    if item is None:
        said = newest(connection, campaign.id, annotator)
    else:
        given = votes(connection, campaign.id, tables.answers.c.item == item)
        theirs = [one for one in given if one.annotator == annotator and not one.final]
        if not theirs:
            return find(connection, campaign.id, item)
        said = theirs[-1]
    if said is None:
        raise ConflictError(f"{annotator!r} has no answer in {campaign.id} that can be undone.")
    others = votes(connection, campaign.id, tables.answers.c.item == said.item)
    if any(vote.final for vote in others):
        raise ConflictError(f"Item {said.item} of {campaign.id} is settled.")
    if said.label is None:
        # A skipped item is for others, who may have it before them by now.
        _check_place(connection, campaign, find(connection, campaign.id, said.item), annotator)
    _withdraw(home, connection, campaign, said)
    held = [said.item, *_holding(connection, campaign.id, annotator)]
    for number in held[2:]:
        _return(connection, campaign.id, number)
    _lease(connection, campaign.id, annotator, home.clock(), held[:2])
    return find(connection, campaign.id, said.item)


def settle(home: Home, connection: Connection, campaign: Campaign, number: int, vote: Vote) -> Said:
    """Keep a final answer, in place of an earlier one; see `Campaigns.settle`."""
    item = find(connection, campaign.id, number)
    if item.gold is not None:
        raise ConflictError(f"The answer to item {item.number} of {campaign.id} is known.")
    vote = checked(Rules(campaign), item.text, vote)
    for before in votes(connection, campaign.id, tables.answers.c.item == number):
        if before.final:
            _withdraw(home, connection, campaign, before)
    kept = _keep(connection, campaign, item, _guided(connection, campaign, vote))
    detail = {"item": item.number, "label": kept.label}
    home.event(connection, "item settled", campaign.id, **detail)
    return kept


def _guided(connection: Connection, campaign: Campaign, vote: Vote) -> Vote:
    """Return a vote that names the guideline that is shown now."""
    now = guideline(connection, campaign.id)
    return vote.model_copy(update={"guideline": now.version if now else 0})


def _keep(connection: Connection, campaign: Campaign, item: Item, vote: Vote) -> Said:
    """Write an answer and count it."""
    insert = sa.insert(tables.answers).values(**dict(vote), campaign=campaign.id, item=item.number)
    key = connection.execute(insert).inserted_primary_key
    assert key is not None
    kept = Said(**dict(vote), id=key[0], item=item.number)
    recount(connection, campaign, kept, 1)
    return kept


def _withdraw(home: Home, connection: Connection, campaign: Campaign, said: Said) -> None:
    """Let an answer count no more; it is kept."""
    answers = tables.answers
    change = sa.update(answers).where(answers.c.id == said.id).values(withdrawn_at=home.clock())
    connection.execute(change)
    recount(connection, campaign, said, -1)
