"""The texts that measurements ask: real ones, in their order."""

from __future__ import annotations

import csv

from bench.base import OUT, ROOT
from bessemer.prepare.locate import locate


def banking(split: str) -> list[str]:
    """Return the texts of a split of BANKING77: short messages to a bank."""
    name = f"public:banking77/{split}.csv"
    table = locate(name, relative_to=ROOT, cache=OUT / "downloads")
    with table.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]
