"""Rows of the labelling tables as records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bessemer.core.errors import UnknownNameError
from bessemer.core.labelling import Campaign, Guideline, Item, NewCampaign, NewItem, Said
from bessemer.service.home import Home
from bessemer.store import tables
from bessemer.store.database import utc

#: Items that are read or written in one transaction, for which others wait.
AT_ONCE = 5_000


def campaigns(connection: Connection, project: str | None = None) -> list[Campaign]:
    """Return all campaigns, or a project's, newest first."""
    table = tables.campaigns
    query = sa.select(table).order_by(table.c.created_at.desc(), table.c.number.desc())
    if project is not None:
        query = query.where(table.c.project == project)
    return [_campaign(row) for row in connection.execute(query).mappings()]


def campaign(connection: Connection, name: str) -> Campaign:
    """Return the campaign of an id, or the newest one of a project.

    Raises:
        UnknownNameError: There is no such campaign.
    """
    table = tables.campaigns
    query = sa.select(table).where(sa.or_(table.c.id == name, table.c.project == name))
    row = connection.execute(query.order_by(table.c.number.desc()).limit(1)).mappings().first()
    if row is None:
        raise UnknownNameError("campaign", name, [one.id for one in campaigns(connection)])
    return _campaign(row)


def _campaign(row: sa.RowMapping) -> Campaign:
    return Campaign(
        **row["asked"],
        id=row["id"],
        state=row["state"],
        created_at=utc(row["created_at"]),
        by=row["by"],
    )


def begin(connection: Connection, made: Campaign, number: int) -> None:
    """Write a new campaign, its project's `number`th; it has no items yet."""
    connection.execute(
        sa.insert(tables.campaigns).values(
            **made.model_dump(include={"id", "project", "state", "created_at", "by"}),
            asked=made.model_dump(mode="json", include=set(NewCampaign.model_fields)),
            number=number,
            size=0,
            labels=0,
            seconds=0.0,
        )
    )


def guideline(connection: Connection, campaign: str) -> Guideline | None:
    """Return the newest version of what annotators are told, or None."""
    table = tables.guidelines
    query = sa.select(table).where(table.c.campaign == campaign).order_by(table.c.version.desc())
    row = connection.execute(query.limit(1)).first()
    if row is None:
        return None
    return Guideline(version=row.version, text=row.text, at=utc(row.at), by=row.by)


def find(connection: Connection, campaign: str, number: int) -> Item:
    """Return one item.

    Raises:
        UnknownNameError: There is no such item.
    """
    for found in items(connection, campaign, tables.items.c.number == number):
        return found
    raise UnknownNameError("item", f"{number} of {campaign}", [])


def items(connection: Connection, campaign: str, *where: sa.ColumnElement[bool]) -> list[Item]:
    """Return a campaign's items in their order: all, or those of which something holds."""
    table, leases = tables.items, tables.leases
    holding: dict[int, list[str]] = defaultdict(list)
    held = sa.select(leases).where(leases.c.campaign == campaign)
    for row in connection.execute(held.order_by(leases.c.annotator)):
        for number in (row.item, row.ahead):
            holding[number].append(row.annotator)
    query = sa.select(table).where(table.c.campaign == campaign, *where).order_by(table.c.number)
    names = NewItem.model_fields
    return [
        Item(
            **{name: row[name] for name in names},
            number=row["number"],
            leased_to=tuple(holding.get(row["number"], ())),
        )
        for row in connection.execute(query).mappings()
    ]


def votes(connection: Connection, campaign: str, *where: sa.ColumnElement[bool]) -> list[Said]:
    """Return the votes that count, oldest first: all, or those of which something holds."""
    table = tables.answers
    query = sa.select(table).where(
        table.c.campaign == campaign, table.c.withdrawn_at.is_(None), *where
    )
    return [said(row) for row in connection.execute(query.order_by(table.c.id)).mappings()]


def newest(connection: Connection, campaign: str, annotator: str) -> Said | None:
    """Return an annotator's newest vote that counts and settles nothing, or None."""
    table = tables.answers
    query = sa.select(table).where(
        table.c.campaign == campaign,
        table.c.annotator == annotator,
        table.c.withdrawn_at.is_(None),
        ~table.c.final,
    )
    row = connection.execute(query.order_by(table.c.id.desc()).limit(1)).mappings().first()
    return None if row is None else said(row)


def said(row: sa.RowMapping) -> Said:
    """Return a row of the table of answers as a record."""
    names = Said.model_fields.keys() - {"at"}
    return Said(**{name: row[name] for name in names}, at=utc(row["at"]))


def _add(connection: Connection, campaign: Campaign, new: Sequence[NewItem]) -> int:
    """Append the items whose key is new, and return how many they were."""
    table, counts = tables.items, tables.campaigns
    first = {item.key: item for item in reversed(new)}
    known = connection.execute(
        sa.select(table.c.key).where(table.c.campaign == campaign.id, table.c.key.in_(list(first)))
    )
    for key in known.scalars().all():
        del first[key]
    this = counts.c.id == campaign.id
    last: int = connection.execute(sa.select(counts.c.size).where(this)).scalar_one()
    values = [
        {
            **item.model_dump(include=set(NewItem.model_fields)),
            "campaign": campaign.id,
            "number": number,
            "missing": 1 if item.gold is not None else campaign.overlap,
            "returned": False,
        }
        for number, item in enumerate(reversed(first.values()), last + 1)
    ]
    if values:
        connection.execute(sa.insert(table), values)
        connection.execute(sa.update(counts).where(this).values(size=last + len(values)))
    return len(values)


def add_all(home: Home, campaign: Campaign, items: Sequence[NewItem]) -> int:
    """Append the items whose key is new, some thousands in a transaction; return how many."""
    new = 0
    for start in range(0, len(items), AT_ONCE):
        with home.database.begin() as connection:
            added = _add(connection, campaign, items[start : start + AT_ONCE])
            if added:
                home.event(connection, "items added", campaign.id, count=added)
            new += added
    return new
