"""Near duplicates across splits: edits of BANKING77's training texts, planted into its test split.

Found pairs are judged by a person, one by one: is the one text the other but for a few words, so
that one annotation would do for both? Texts of the sets are not ours to copy, so that verdicts lie
in `bench/judged/` under a digest of both texts. Chance draws the pairs by these digests, and draws
the same again when a few others are found. A draw that something was tuned on judges nothing any
more: raise `DRAW` then.
"""

from __future__ import annotations

import csv
import hashlib
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from bench.base import OUT, ROOT
from bench.edits import banking77, edited
from bench.near import prepared
from bessemer.prepare.ledger import FINDINGS

#: Planted texts, found pairs that are judged, and words from which on a text is long.
PLANTED, JUDGED, LONG = 1000, 200, 10
#: Which draw of pairs is judged.
DRAW = 5
VERDICTS = ROOT / "bench" / "judged" / "near_duplicates.csv"


@dataclass(frozen=True)
class Planted:
    """A text of the test split, and the training text that it was made from."""

    text: str
    origin: str
    found: bool


@dataclass(frozen=True)
class Pair:
    """Two texts of different splits that were found to be near duplicates."""

    later: str
    earlier: str

    def digest(self) -> str:
        """Return what verdicts are found by, whichever of the two comes first."""
        both = "\0".join(sorted((self.later, self.earlier)))
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def rank(self) -> str:
        """Return what decides whether the pair is drawn."""
        return hashlib.sha256(f"{DRAW} {self.digest()}".encode()).hexdigest()


def find() -> tuple[list[Planted], list[Pair]]:
    """Plant, prepare, and read what was reported: the planted texts, and all pairs."""
    draw, train, test = random.Random(0), banking77("train"), banking77("test")
    words = [word for text, _ in train for word in text.split()]
    origins = draw.sample(train, PLANTED)
    planted = [(edited(text, words, draw), label) for text, label in origins]
    home = OUT / "prepare-leaks"
    home.mkdir(parents=True, exist_ok=True)
    sources = {"source": train, "test": test + planted}
    files = {role: home / f"{role}.csv" for role in sources}
    for role, rows in sources.items():
        with files[role].open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    made = home / "made"
    shutil.rmtree(made, ignore_errors=True)
    prepared(files, made)
    leaked: set[int] = set()
    pairs: list[Pair] = []
    for one in pq.read_table(made / FINDINGS).to_pylist():
        if "in an earlier split" in one["rule"]:
            later, earlier = (
                sources[one[source]][one[row] - 1][0]
                for source, row in (("source", "row"), ("other_source", "other"))
            )
            if one["source"] == "test":
                leaked.add(one["row"] - 1 - len(test))
            if "nearly" in one["rule"]:
                pairs.append(Pair(later, earlier))
    return [
        Planted(text, origin, number in leaked)
        for number, ((text, _), (origin, _)) in enumerate(zip(planted, origins, strict=True))
    ], pairs


def judged(pairs: list[Pair]) -> list[tuple[Pair, bool | None]]:
    """Return the pairs of the sample with a person's verdict, None where there is none yet."""
    sample = sorted(set(pairs), key=Pair.rank)[:JUDGED]
    with VERDICTS.open(encoding="utf-8", newline="") as file:
        known = {row["pair"]: row["alike"] == "yes" for row in csv.DictReader(file)}
    return [(pair, known.get(pair.digest())) for pair in sample]


def write(sample: list[tuple[Pair, bool | None]]) -> Path:
    """Write the sample with its texts, to be read and judged."""
    path = OUT / "prepare-pairs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("pair", "alike", "later", "earlier"))
        for pair, verdict in sample:
            said = "" if verdict is None else "yes" if verdict else "no"
            table.writerow((pair.digest(), said, pair.later, pair.earlier))
    return path
