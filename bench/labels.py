"""What labels cost and are worth: what several annotators' labels of one text become, which
labels are wrong, and which ones are needed.

Five annotators are simulated on BANKING77's 10,003 training texts. Two are careful, two mistake an
intent for the one that follows it in the alphabet about as often as not, one knows a third.
"""

from __future__ import annotations

import csv
import json
import subprocess
from typing import Any

import numpy as np

from bench import active
from bench.base import OUT, ROOT, Bench, Row, at_least, at_most
from bench.peers.environment import PEERS, python_of
from bessemer.measures import crowd
from bessemer.measures.crowd import Votes
from bessemer.prepare.locate import locate

#: How often each annotator is right, and takes the next label for it; else any label is as likely.
ANNOTATORS = ((0.80, 0.05), (0.75, 0.05), (0.45, 0.50), (0.40, 0.55), (0.33, 0.0))


def measure() -> tuple[list[Row], dict[str, Any]]:
    parts = {"crowd": _crowd, "label errors": active.label_errors, "selection": active.selection}
    found = {name: part() for name, part in parts.items()}
    rows = [row for some, _ in found.values() for row in some]
    return rows, {name: raw for name, (_, raw) in found.items()}


def _crowd() -> tuple[list[Row], dict[str, Any]]:
    path = locate("public:banking77/train.csv", relative_to=ROOT, cache=OUT / "downloads")
    with path.open(encoding="utf-8", newline="") as file:
        actual = [row["category"] for row in csv.DictReader(file)]
    labels = sorted(set(actual))
    truth = np.array([labels.index(label) for label in actual])
    rows = _votes(truth, labels)
    votes, items, _, names = Votes.of(rows)
    order = np.array([int(item) for item in items])
    right = np.array([names.index(label) for label in actual])[order]
    shares = {
        "majority": float((crowd.majority(votes) == right).mean()),
        "dawid-skene": float((crowd.dawid_skene(votes).labels == right).mean()),
    }
    theirs = _theirs(rows, actual)
    return [
        Row("majority: right", 100 * shares["majority"], "%"),
        Row("Dawid-Skene: right", 100 * shares["dawid-skene"], "%"),
        at_least(
            "… over majority", 100 * (shares["dawid-skene"] - shares["majority"]), "points", 2
        ),
        Row("crowd-kit's majority: right", 100 * theirs["majority"], "%"),
        Row("crowd-kit's Dawid-Skene: right", 100 * theirs["dawid-skene"], "%"),
        at_most(
            "… away from ours",
            100 * abs(shares["dawid-skene"] - theirs["dawid-skene"]),
            "points",
            0.1,
        ),
        Row("Krippendorff's alpha", crowd.alpha(votes) or 0.0, ""),
    ], {"ours": shares, "crowd-kit": theirs, "annotators": ANNOTATORS}


def _votes(truth: np.ndarray[Any, Any], labels: list[str]) -> list[tuple[str, str, str]]:
    draw, count = np.random.default_rng(0), len(labels)
    rows = []
    for who, (known, following) in enumerate(ANNOTATORS):
        chance = draw.random(len(truth))
        said = draw.integers(0, count, len(truth))
        said = np.where(chance < known + following, (truth + 1) % count, said)
        said = np.where(chance < known, truth, said)
        rows += [(str(item), f"annotator {who}", labels[n]) for item, n in enumerate(said)]
    return rows


def _theirs(rows: list[tuple[str, str, str]], actual: list[str]) -> dict[str, float]:
    """Return how many labels crowd-kit gets right, by way."""
    source, target = OUT / "labels-votes.csv", OUT / "labels-crowdkit.json"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("task", "worker", "label"), *rows])
    script = str(PEERS / "crowdkit" / "run.py")
    command = [str(python_of("crowdkit")), script, str(source), str(target)]
    subprocess.run(command, check=True)
    told = json.loads(target.read_text(encoding="utf-8"))
    return {
        name: float(np.mean([label == actual[int(item)] for item, label in found.items()]))
        for name, found in told.items()
    }


BENCH = Bench(
    "labels",
    "BANKING77: simulated annotators joined; flipped labels found; which texts to label first",
    "Dawid-Skene ≥ 2 points over majority, within 0.1 of crowd-kit's; ≥ 0.75 of 5 % flipped labels"
    " in the first 10 %; ≤ 0.6 × the labels to 90 % against random, mean of 5 seeds",
    15,
    measure,
)
