"""One model against another on the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bessemer.core.report import Measurement
from bessemer.evaluate.examined import headline, right
from bessemer.measures.comparison import Uneven, mcnemar, paired_difference
from bessemer.measures.intervals import SEEN, Floats, Sampling, bootstrap, of_sums, share
from bessemer.tasks.base import Answers, Task


@dataclass(frozen=True)
class Compared:
    """What a `Comparison` says of two models."""

    #: The headline metric of each, and the first less the second, paired.
    ours: Measurement
    theirs: Measurement
    difference: Measurement
    #: Texts that only one of them answers rightly, and McNemar's p.
    uneven: Uneven


def compare(
    task: Task,
    actual: Sequence[Answers],
    ours: Sequence[Answers],
    theirs: Sequence[Answers],
    sampling: Sampling,
) -> Compared:
    """Return how two models do on the same texts.

    Args:
        task: Which says what the headline metric is.
        actual: What is right for each text, one text at least.
        ours: What the one model answers.
        theirs: What the other one does.
        sampling: Coverage, draws, and the clusters of these texts.
    """
    hits = [right(actual, side) for side in (ours, theirs)]
    values = [
        headline(task, some, task.tallies(actual, side), sampling)
        for some, side in zip(hits, (ours, theirs), strict=True)
    ]
    return Compared(
        ours=values[0],
        theirs=values[1],
        difference=difference(task, actual, ours, theirs, sampling),
        uneven=mcnemar(hits[0], hits[1], sampling.clusters),
    )


def difference(
    task: Task,
    actual: Sequence[Answers],
    ours: Sequence[Answers],
    theirs: Sequence[Answers],
    sampling: Sampling,
) -> Measurement:
    """Return the headline metric of one model less another's on the same texts, paired.

    Where each text has one answer the interval is Newcombe's, else the bootstrap's. Where the two
    answer fewer than `SEEN` texts differently, draws know too little of how they differ: then it
    holds as well what Wilson's interval says of how many these may be. For the arguments see
    `compare`.
    """
    name = f"{task.metric_names[0]}_difference"
    if task.answers_once:
        return paired_difference(name, right(actual, ours), right(actual, theirs), sampling)
    counts = np.stack([task.tallies(actual, ours), task.tallies(actual, theirs)], axis=1)

    def gain(totals: Floats) -> Floats:
        scores = task.score(totals)
        return np.asarray(scores[:, 0] - scores[:, 1])

    found = bootstrap(name, of_sums(counts, gain), len(counts), sampling, (-1.0, 1.0))
    differ = np.array([a != b for a, b in zip(ours, theirs, strict=True)], dtype=bool)
    if differ.sum() >= SEEN:
        return found
    most = share(name, differ, sampling).high
    return found.model_copy(update={"low": min(found.low, -most), "high": max(found.high, most)})
