"""How often a test split has judged: each model that is chosen by it wears it out a little.

A split that many models were held against is a part of how the best of them was chosen, and its
report is too good (Dwork et al. 2015).
"""

from __future__ import annotations

import sqlalchemy as sa

from bessemer.service.home import Home
from bessemer.store import tables


def count(home: Home, test: str, model: str, run: str) -> int:
    """Note that a test split judges a model, and return how many it has judged, this one included.

    Args:
        home: Where it is kept.
        test: Digest of the split's texts and labels.
        model: Digest of the model; judged again, it counts once.
        run: In which it is judged.
    """
    table = tables.judgements
    known = sa.select(table.c.run).where(table.c.test == test, table.c.model == model)
    every = sa.select(sa.func.count()).select_from(table).where(table.c.test == test)
    with home.database.begin() as connection:
        if connection.execute(known).first() is None:
            values = {"test": test, "model": model, "run": run, "at": home.clock()}
            connection.execute(sa.insert(table).values(**values))
        return int(connection.execute(every).scalar_one())
