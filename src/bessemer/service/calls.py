"""Calls: from the journal of the serving processes into the database, each exactly once."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from bessemer.core.records import Call
from bessemer.service.home import Home
from bessemer.store import journal, tables

FOLDER = "journal"
BATCH = 1000


def drain(home: Home) -> int:
    """Bring all finished journal segments into the database and remove them.

    A segment that is still written to is left alone. `UNIQUE(source, id)` makes repeating
    harmless: a drain that was killed between commit and removal is done again.

    Returns:
        How many calls were new.
    """
    count = 0
    with home.stages.lock("journal", "drain"):
        for segment in journal.segments(home.root / FOLDER):
            with journal.finished(segment) as finished:
                if finished:
                    count += _drain(home, segment)
                    segment.unlink()
    return count


def _drain(home: Home, segment: Path) -> int:
    count = 0
    batch: list[bytes] = []
    for line in journal.read(segment):
        batch.append(line)
        if len(batch) == BATCH:
            count += _insert(home, segment.name, batch)
            batch = []
    return count + _insert(home, segment.name, batch)


def _insert(home: Home, source: str, lines: list[bytes]) -> int:
    table = tables.calls
    rows = []
    for line in lines:
        call = Call.model_validate_json(line)
        rows.append(
            {
                "source": source,
                "id": call.id,
                "at": call.at,
                "route": call.route,
                "release": call.release,
                "key": call.key,
                "record": json.loads(line),
            }
        )
    if not rows:
        return 0
    with home.database.begin() as connection:
        known = sa.select(table.c.id).where(table.c.source == source)
        seen = set(connection.execute(known).scalars())
        new = [row for row in rows if row["id"] not in seen]
        if new:
            connection.execute(sa.insert(table), new)
    return len(new)
