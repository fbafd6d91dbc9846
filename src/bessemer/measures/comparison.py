"""Whether two models differ on the same examples, and what to make of many such questions."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Measurement
from bessemer.measures.intervals import Floats, Sampling, effective_count, share

Hits = NDArray[np.bool_]
#: Clusters with which all exchanges are gone through, 2 to their power.
MOST_EXCHANGED = 16


class Uneven(NamedTuple):
    """How two models split the examples that only one of them answers rightly."""

    only_ours: int
    only_theirs: int
    #: Probability of so uneven a split of two models that are equally good.
    p: float


def mcnemar(ours: Hits, theirs: Hits, clusters: NDArray[np.int64] | None = None) -> Uneven:
    """Return which of two models is right where the other is not, and how likely that is by chance.

    The p-value is two-sided and exact (McNemar 1947). Of clusters of like examples it is the share
    of all ways to exchange the two models, a cluster at a time, that lead to so uneven a split:
    of as many clusters as can be gone through, else about normal, which is the modified Obuchowski
    test (Yang, Sun & Hardin 2010).

    Args:
        ours: Whether the one model is right, shape [n].
        theirs: Whether the other is, shape [n].
        clusters: The number of each example's cluster, shape [n], or None.
    """
    first, second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    if clusters is None:
        from scipy.special import bdtr

        fewer = bdtr(min(first, second), first + second, 0.5)
        return Uneven(first, second, min(1.0, 2 * float(fewer)))
    each = np.bincount(clusters, weights=ours.astype(np.float64) - theirs)
    return Uneven(first, second, _exchanged(each[each != 0]))


def _exchanged(sums: Floats) -> float:
    """Return the share of all choices of signs with so large a sum, either way."""
    if len(sums) > MOST_EXCHANGED:
        return math.erfc(abs(float(sums.sum())) / math.sqrt(2 * float((sums**2).sum())))
    reached = np.zeros(1)
    for one in sums:
        reached = np.concatenate([reached + one, reached - one])
    return float((np.abs(reached) >= abs(sums.sum()) - 0.5).mean())


def paired_difference(name: str, ours: Hits, theirs: Hits, sampling: Sampling) -> Measurement:
    """Return the share of one model's hits less another's on the same examples.

    The interval is Newcombe's hybrid score interval (1998, Statistics in Medicine 17:2635, method
    10). Of clusters of like examples, the intervals of both shares are those of clusters, and so
    is their correlation.

    Args:
        name: What the measurement is called.
        ours: Whether the one model is right, shape [n], n at least 1.
        theirs: Whether the other is, shape [n].
        sampling: Coverage, and the clusters of these n examples.
    """
    one, other = share(name, ours, sampling), share(name, theirs, sampling)
    related = _correlation(ours, theirs, sampling)
    value = one.value - other.value

    def combined(first: float, second: float) -> float:
        return math.sqrt(max(0.0, first**2 - 2 * related * first * second + second**2))

    return Measurement(
        name=name,
        value=value,
        low=max(-1.0, value - combined(one.value - one.low, other.high - other.value)),
        high=min(1.0, value + combined(one.high - one.value, other.value - other.low)),
        count=len(ours),
        interval="newcombe",
    )


def _correlation(ours: Hits, theirs: Hits, sampling: Sampling) -> float:
    """Return how both models' shares are correlated, 0 where one of them is 0 or 1.

    With Newcombe's continuity correction: a positive correlation narrows the interval, and one of
    few clusters may be an accident.
    """
    first, second = float(ours.mean()), float(theirs.mean())
    spread = math.sqrt(first * (1 - first) * second * (1 - second))
    if not spread:
        return 0.0
    clusters, worth = sampling.clusters, float(len(ours))
    if clusters is None:
        related = (float((ours & theirs).mean()) - first * second) / spread
    else:
        sides = [np.bincount(clusters, weights=side - side.mean()) for side in (ours, theirs)]
        squares = [float(side @ side) for side in sides]
        if len(sides[0]) < 2 or min(squares) < 1e-9:
            return 0.0
        related = float(sides[0] @ sides[1]) / math.sqrt(squares[0] * squares[1])
        worth = min(effective_count(side, clusters, sampling.confidence) for side in (ours, theirs))
    return max(0.0, related - 1 / (2 * worth * spread)) if related > 0 else related


def holm(chances: Floats) -> Floats:
    """Return p-values corrected for how many there are (Holm 1979), shape [n] to [n].

    Whoever takes those below α for real is wrong about any of them with probability α at most,
    however they depend on each other.
    """
    count = len(chances)
    order = np.argsort(chances, kind="stable")
    adjusted = np.maximum.accumulate(np.asarray(chances)[order] * (count - np.arange(count)))
    corrected = np.empty(count)
    corrected[order] = np.minimum(adjusted, 1.0)
    return corrected
