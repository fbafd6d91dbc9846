"""Answering only where it is sure: what is gained in precision, and lost in coverage."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Point
from bessemer.measures.calibration import Floats

#: Points of a curve.
MOST_POINTS = 50
#: Mistakes that the strictest threshold looked at may show: with none, one unlucky mistake among
#: the surest answers would end the search. But no more than a part of those that all answers may
#: have, or too few of the surest could be looked at by themselves.
FORGIVEN, PART = 3, 0.25
#: Precisions that are tried when the wanted one cannot be promised lie this far apart.
STEP = 0.005


def curve(score: Floats, right: NDArray[np.bool_]) -> tuple[Point, ...]:
    """Return what thresholds of rising strictness answer, and how much of it wrongly.

    (El-Yaniv & Wiener 2010.) The first point answers everything.

    Args:
        score: How sure each answer is, shape [n]; n at least 1.
        right: Whether it is right, shape [n].

    Returns:
        `MOST_POINTS` points at most, about evenly over the coverage.
    """
    ranked, hits, ends = _ranked(score, right)
    wanted = np.linspace(len(ranked), 1, MOST_POINTS)
    chosen = ends[np.searchsorted(ends, wanted)]
    points = {int(answered): None for answered in chosen}
    return tuple(
        Point(
            threshold=float(ranked[answered - 1]),
            coverage=answered / len(ranked),
            risk=1 - float(hits[answered - 1]) / answered,
        )
        for answered in points
    )


def threshold(
    score: Floats, right: NDArray[np.bool_], precision: float, confidence: float = 0.95
) -> float | None:
    """Return the lowest score from which answers are right often enough, or None.

    With probability `confidence` at least, answers as sure as that are right with probability
    `precision` among texts drawn as these, if surer answers are right more often. Thresholds are
    held against an exact binomial test from the strictest on, and the first that fails ends it:
    each is looked at only if all before it passed, so that the many looks cost no confidence
    (selection with guaranteed risk, Geifman & El-Yaniv 2017; fixed sequence testing as in
    Angelopoulos et al. 2021).

    Args:
        score: How sure each answer is, shape [n], of examples that nothing was learnt from.
        right: Whether it is right, shape [n].
        precision: Share of right answers that is wanted.
        confidence: Probability with which it is reached.
    """
    from scipy.stats import binom

    count, wrong, doubt = len(score), 1 - precision, 1 - confidence
    most = _bearable(count, precision, confidence)
    if most < 0:
        return None
    ranked, hits, ends = _ranked(score, right)
    looked = ends[binom.cdf(min(FORGIVEN, int(PART * most)), ends, wrong) <= doubt]
    failed = np.flatnonzero(binom.cdf(looked - hits[looked - 1], looked, wrong) > doubt)
    passed = looked[: failed[0]] if len(failed) else looked
    return float(ranked[passed[-1] - 1]) if len(passed) else None


def reachable(
    score: Floats, right: NDArray[np.bool_], precision: float, confidence: float = 0.95
) -> float | None:
    """Return the highest precision below a wanted one that `threshold` can promise, or None."""
    for steps in range(math.ceil(precision / STEP) - 1, 0, -1):
        tried = round(steps * STEP, 6)
        if threshold(score, right, tried, confidence) is not None:
            return tried
    return None


def _ranked(
    score: Floats, right: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return scores from the surest on, right answers up to each, and where thresholds may lie.

    Equal scores are answered together or not at all.
    """
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(right[order]).astype(np.int64)
    last = np.append(ranked[:-1] > ranked[1:], True)
    return ranked, hits, np.flatnonzero(last) + 1


def _bearable(count: int, precision: float, confidence: float) -> int:
    """Return how many of `count` answers may be wrong; -1 where not even none may.

    So few that with a lower precision they would be seen with probability 1 - confidence at most:
    the lower end of Clopper and Pearson's one-sided interval is then at least `precision`.
    """
    from scipy.stats import binom

    wrong, doubt = 1 - precision, 1 - confidence
    most = int(binom.ppf(doubt, count, wrong)) if count else 0
    return most if binom.cdf(most, count, wrong) <= doubt else most - 1
