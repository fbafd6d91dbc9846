"""Majority and Dawid-Skene as crowd-kit computes them, of votes in a table.

run.py <votes.csv> <found.json>
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from crowdkit.aggregation import DawidSkene, MajorityVote


def main(votes: Path, found: Path) -> None:
    """Write the label of each item by both ways."""
    table = pd.read_csv(votes, dtype=str)
    ways = {"majority": MajorityVote(), "dawid-skene": DawidSkene(n_iter=200, tol=1e-7)}
    told = {name: way.fit_predict(table).to_dict() for name, way in ways.items()}
    found.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
