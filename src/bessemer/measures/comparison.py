"""Whether two models differ on the same examples, and what to make of many such questions."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Measurement
from bessemer.measures.intervals import Floats, Sampling, share

Hits = NDArray[np.bool_]


class Uneven(NamedTuple):
    """How two models split the examples that only one of them answers rightly."""

    only_ours: int
    only_theirs: int
    #: Probability of so uneven a split of two models that are equally good.
    p: float


def mcnemar(ours: Hits, theirs: Hits, clusters: NDArray[np.int64] | None = None) -> Uneven:
    """Return which of two models is right where the other is not, and how likely that is by chance.

    The p-value is two-sided and exact (McNemar 1947). Of clusters of like examples it is that of
    the modified Obuchowski test (Yang, Sun & Hardin 2010), with one degree of freedom.

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
    variance = float((each**2).sum())
    p = math.erfc(abs(first - second) / math.sqrt(2 * variance)) if variance else 1.0
    return Uneven(first, second, p)


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
    related = _correlation(ours, theirs, sampling.clusters)
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


def _correlation(ours: Hits, theirs: Hits, clusters: NDArray[np.int64] | None) -> float:
    """Return how both models' shares are correlated, 0 where one of them is 0 or 1."""
    count = len(ours)
    if clusters is not None:
        one = np.bincount(clusters, weights=ours - ours.mean())
        other = np.bincount(clusters, weights=theirs - theirs.mean())
        squares = float(one @ one) * float(other @ other)
        return float(one @ other) / math.sqrt(squares) if squares else 0.0
    first, second, both = int(ours.sum()), int(theirs.sum()), int((ours & theirs).sum())
    product = both * (count - first - second + both) - (first - both) * (second - both)
    squares = float(first * (count - first) * second * (count - second))
    # Newcombe's continuity correction: a positive correlation narrows the interval.
    corrected = max(product - count / 2, 0.0) if product > 0 else product
    return corrected / math.sqrt(squares) if squares else 0.0


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
