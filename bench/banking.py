"""The release that is served when serving is measured, and what it is asked."""

from __future__ import annotations

import csv

from bench.base import OUT, ROOT
from bench.command import bessemer, ran
from bessemer.prepare.locate import locate
from bessemer.service.platform import Platform

ROUTE = "banking77"


def banking77() -> tuple[Platform, list[str]]:
    """Return a home in which BANKING77's release is deployed, and the test split's texts."""
    home = OUT / "banking77-home"
    ran(bessemer("run", "examples/banking77", "--json"), home)
    return Platform.open(home), texts()


def texts() -> list[str]:
    """Return the texts of the test split: short messages to a bank."""
    table = locate("public:banking77/test.csv", relative_to=ROOT, cache=OUT / "downloads")
    with table.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]
