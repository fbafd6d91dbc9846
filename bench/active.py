"""BANKING77 on the frozen base: labels that are wrong, and labels that are needed.

The pool is the training split but for 2,000 rows, on which the default strategy was chosen (the
accuracy with 1,000 labels, mean of the seeds); the test split decides nothing. A strategy begins
with 100 typical texts, without any label, and random with 100 at random; then come rounds of 100.
"""

from __future__ import annotations

import csv
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import picture
from bench.base import OUT, ROOT, Row, at_least, at_most
from bessemer.core.project import Labels
from bessemer.improve.selection import COLD, DEFAULT, STRATEGIES, Pool, select
from bessemer.improve.stopping import forecast
from bessemer.prepare.label_errors import quality
from bessemer.prepare.locate import locate
from bessemer.pretrained.resolve import TOKENISER, WEIGHTS, resolve
from bessemer.tasks.text_classification import TextClassification
from bessemer.train import folds

SEEDS, BATCH, MOST, AIM = 5, 100, 5000, 0.9
#: Training rows that strategies are compared on, those of them that the stop rule sees, and the
#: labels after which they are compared.
HELD, SEEN, COMPARED = 2000, 500, 1000
#: Labels of the default's curves, for the stop rule.
FAR = 2000
FLIPPED, FIRST = 0.05, 0.1

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
Curve = list[tuple[int, float]]


def label_errors() -> tuple[list[Row], dict[str, Any]]:
    """Flip labels, each to any other one, and look where the ranking puts them."""
    vectors, actual = _vectors("train")
    shares, raw = [], []
    for seed in range(3):
        draw = np.random.default_rng(seed)
        flipped = draw.choice(len(actual), round(FLIPPED * len(actual)), replace=False)
        given = actual.copy()
        given[flipped] = (actual[flipped] + draw.integers(1, 77, len(flipped))) % 77
        alone = np.arange(len(given))
        chances, _ = folds.out_of_fold(vectors, given, 77, alone, seed, lambda _: None)
        scores, errors = quality(chances, given)
        first = np.argsort(scores, kind="stable")[: round(FIRST * len(scores))]
        shares.append(float(np.isin(flipped, first).mean()))
        taken = np.flatnonzero(errors)
        right = np.isin(taken, flipped)
        raw.append(
            {
                "first tenth": shares[-1],
                "taken": len(taken),
                "precision": float(right.mean()),
                "recall": float(right.sum() / len(flipped)),
                "mended": float((chances[taken].argmax(axis=1) == actual[taken])[right].mean()),
            }
        )

    def mean(name: str) -> float:
        return float(np.mean([one[name] for one in raw]))

    return [
        at_least("5 % flipped labels: in the first 10 %", mean("first tenth"), "", 0.75),
        Row("… taken for errors", mean("recall"), ""),
        Row("… flipped among those taken", mean("precision"), ""),
        Row("… of these the suggestion is right", mean("mended"), ""),
    ], {"seeds": raw}


def selection() -> tuple[list[Row], dict[str, Any]]:
    """Label by every strategy until 90 % of the test split are right."""
    _data()  # so that it is encoded once
    names, seeds = zip(*[(name, seed) for name in STRATEGIES for seed in range(SEEDS)], strict=True)
    # Processes with one thread each: two that share the cores wait for each other most of the time.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(2, get_context("spawn")) as workers:
        curves_ = workers.map(_labelled, names, seeds)
        found = dict(zip(zip(names, seeds, strict=True), curves_, strict=True))
        stops = list(workers.map(_stopped, [found[DEFAULT, seed] for seed in range(SEEDS)]))
    needed = {
        name: [_reached(found[name, seed]["test"]) for seed in range(SEEDS)] for name in STRATEGIES
    }
    means = {name: float(np.mean(counts)) for name, counts in needed.items()}
    compared = {
        name: float(np.mean([dict(found[name, s]["held"])[COMPARED] for s in range(SEEDS)]))
        for name in STRATEGIES
    }
    curves = {name: _mean([found[name, s]["test"] for s in range(SEEDS)]) for name in STRATEGIES}
    picture.labels(
        {n: [p for p in c if p[0] <= 3000] for n, c in curves.items()}, OUT / "labels.svg"
    )
    ordered = sorted(means, key=lambda name: means[name])
    raw = {"labels to 90 %": needed, "held out, 1,000 labels": compared, "stops": stops}
    raw["curves"] = {f"{name} {seed}": one["test"] for (name, seed), one in found.items()}
    return [
        *(Row(f"labels to 90 %: {name}", means[name], "labels") for name in ordered),
        at_most(f"… {DEFAULT} against random", means[DEFAULT] / means["random"], "×", 0.6),
        *(
            Row(f"held out, {COMPARED} labels: {name}", 100 * compared[name], "%")
            for name in sorted(compared, key=lambda name: -compared[name])
        ),
        Row(
            f"stop rule ({DEFAULT}): says stop at", float(np.mean([s[0] for s in stops])), "labels"
        ),
        Row("… 100 labels before it added", 100 * float(np.mean([s[1] for s in stops])), "points"),
        Row("… 100 labels after it add", 100 * float(np.mean([s[2] for s in stops])), "points"),
    ], raw


def _data() -> list[tuple[Vectors, Numbers]]:
    """Return vectors and label numbers of the pool, the held rows and the test split."""
    vectors, actual = _vectors("train")
    order = np.random.default_rng(77).permutation(len(actual))
    held, pool = order[:HELD], order[HELD:]
    return [(vectors[rows], actual[rows]) for rows in (pool, held)] + [_vectors("test")]


def _labelled(name: str, seed: int) -> dict[str, Any]:
    """Return the curves of one strategy on the held and the test rows, and what it labelled."""
    (vectors, actual), *judged = _data()
    rows = select("random" if name == "random" else COLD, Pool(vectors), BATCH, seed)
    curves: tuple[Curve, Curve] = ([], [])
    while True:
        head = folds.learn(vectors[rows], actual[rows], 77)
        for curve, (others, wanted) in zip(curves, judged, strict=True):
            answered = folds.answer(head, others, several=False).argmax(axis=1)
            curve.append((len(rows), float((answered == wanted).mean())))
        least = FAR if name == DEFAULT else COMPARED
        if (len(rows) >= least and max(a for _, a in curves[1]) >= AIM) or len(rows) >= MOST:
            return {"held": curves[0], "test": curves[1], "rows": rows}
        left = np.setdiff1d(np.arange(len(vectors)), rows)
        chances = folds.answer(head, vectors[left], several=False)
        pool = Pool(vectors[left], chances, labelled=vectors[rows])
        rows = np.concatenate([rows, left[select(name, pool, BATCH, seed)]])


def _stopped(found: dict[str, Any]) -> tuple[float, ...]:
    """Return when the stop rule ends a curve, and the test accuracy of 100 labels around it."""
    (vectors, actual), (others, wanted), _ = _data()
    rows, test = found["rows"], dict(found["test"])
    asked = (others[:SEEN], wanted[:SEEN])
    for count in range(3 * BATCH, FAR - 3 * BATCH + 1, BATCH):
        sizes = sorted({int(n) for n in np.geomspace(count // 8, count, 6).round()})
        learnt = (vectors[rows[:count]], actual[rows[:count]])
        right = folds.curve(learnt, asked, 77, sizes, 0, lambda _: None)
        told = forecast(sizes, right, "validation", more=BATCH, least=0.005, seed=0)
        if told is not None and told.stop:
            break
    three = 3 * BATCH
    before = (test[count] - test[max(count - three, BATCH)]) / 3
    return count, before, (test[count + three] - test[count]) / 3


def _reached(curve: Curve) -> float:
    """Return after how many labels a curve first reaches the aim, between two rounds linearly."""
    for (before, low), (after, high) in pairwise(curve):
        if high >= AIM:
            return before + (after - before) * max((AIM - low) / (high - low), 0.0)
    return float("nan")


def _mean(curves: list[Curve]) -> Curve:
    """Return the mean of curves as far as all of them go."""
    shortest = min(len(curve) for curve in curves)
    return [
        (curves[0][n][0], float(np.mean([curve[n][1] for curve in curves])))
        for n in range(shortest)
    ]


def _vectors(split: str) -> tuple[Vectors, Numbers]:
    """Return a split's vectors and label numbers; they are kept for another time."""
    base = resolve("minilm-l6", relative_to=ROOT, cache=OUT / "downloads")
    kept = OUT / f"labels-{split}-{base.record.digest[:12]}.npz"
    if not kept.exists():
        from bessemer.pretrained.encoder import Encoder
        from bessemer.serve.residents import tokenizer
        from bessemer.train.embed import embed

        path = locate(f"public:banking77/{split}.csv", relative_to=ROOT, cache=OUT / "downloads")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        task = TextClassification(Labels())
        texts = [row["text"] for row in rows]
        features = task.encode(tokenizer(base.folder / TOKENISER), texts, 128).features
        encoder = Encoder(base.config, base.folder / WEIGHTS, pooled=True)
        found = np.stack(embed(encoder, features, lambda _: None, "encode"))
        _, numbers = np.unique([row["category"] for row in rows], return_inverse=True)
        OUT.mkdir(parents=True, exist_ok=True)
        np.savez(kept, vectors=found, numbers=numbers)
    with np.load(kept, allow_pickle=False) as file:
        return file["vectors"], file["numbers"]
