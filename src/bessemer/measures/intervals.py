"""Confidence intervals for shares, for differences, and for statistics of resampled examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Measurement

Floats = NDArray[np.float64]
#: Of weights of examples, shape [draws, n]: how often each is drawn. Returns shape [draws], finite.
Statistic = Callable[[Floats], Floats]
#: Weights that are in memory at once.
MOST_WEIGHTS = 2_000_000
#: Draws that lie beyond an end of an interval, so that it is no accident; and examples that miss a
#: value, so that draws of them know how many may.
BEYOND, SEEN = 2.5, 10


@dataclass(frozen=True)
class Sampling:
    """How intervals are made."""

    #: Coverage of the intervals, as 0.95.
    confidence: float
    #: Draws of the bootstrap, and their seed, so that a report can be made again.
    resamples: int
    seed: int
    #: The number of each example's cluster, shape [n], from 0: examples of one cluster are alike,
    #: as messages of one customer are, so that clusters are drawn and not examples. None where
    #: examples are independent.
    clusters: NDArray[np.int64] | None = None

    def of(self, rows: NDArray[np.bool_]) -> Sampling:
        """Return how intervals of some of the examples are made, by a mask of shape [n]."""
        return self if self.clusters is None else self.over(np.flatnonzero(rows))

    def over(self, rows: Sequence[int] | NDArray[np.int64]) -> Sampling:
        """Return how intervals of what lies in examples are made, by their numbers, shape [m].

        An example that holds several things, as a text does spans, is a cluster itself.
        """
        if self.clusters is None and len(np.unique(rows)) == len(rows):
            return self
        clusters = np.asarray(rows) if self.clusters is None else self.clusters[rows]
        kept = np.unique(clusters, return_inverse=True)[1]
        return replace(self, clusters=kept.astype(np.int64))

    def at(self, confidence: float) -> Sampling:
        """Return the same with another coverage."""
        return replace(self, confidence=confidence)

    def draws(self, count: int) -> Iterator[Floats]:
        """Yield weights of `count` examples, shape [draws, count], some draws at a time."""
        generator = np.random.default_rng(self.seed)
        clusters = np.arange(count) if self.clusters is None else self.clusters
        units = int(clusters.max()) + 1 if len(clusters) else 0
        at_once = max(1, MOST_WEIGHTS // max(1, count))
        for start in range(0, self.resamples, at_once):
            some = min(at_once, self.resamples - start)
            drawn = generator.integers(0, units, (some, units))
            drawn += np.arange(some)[:, None] * units
            weights = np.bincount(drawn.ravel(), minlength=some * units).reshape(some, units)
            yield weights[:, clusters].astype(np.float64)


def wilson(name: str, hits: float, count: float, confidence: float) -> Measurement:
    """Return the share `hits / count` with Wilson's score interval (Wilson 1927).

    Args:
        name: What the measurement is called.
        hits: How many of `count` have the property, 0 ≤ hits ≤ count.
        count: How many there are, at least 1.
        confidence: Coverage of the interval, for example 0.95.

    Raises:
        ValueError: `count` is 0: a share of nothing is not measured.
    """
    if count < 1:
        raise ValueError(f"{name}: a share of {count} examples is not measured.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5 / (1 + z * z / count)
    return Measurement(
        name=name,
        value=share,
        low=min(share, max(0.0, centre - half)),
        high=max(share, min(1.0, centre + half)),
        count=int(count),
        interval="wilson",
    )


def share(name: str, hits: NDArray[np.bool_], sampling: Sampling) -> Measurement:
    """Return the share of examples that have a property, with Wilson's interval.

    Examples of one cluster count for less than as many independent ones: for as many as would
    give the variance that the clusters show (Kish's design effect), fewer where there are few
    clusters to show it (Korn & Graubard 1998).

    Args:
        name: What the measurement is called.
        hits: Which of the examples have it, shape [n], n at least 1.
        sampling: Coverage, and the clusters of these n examples.
    """
    count, total = len(hits), float(hits.sum())
    if sampling.clusters is None or not count:
        return wilson(name, total, count, sampling.confidence)
    effective = effective_count(hits, sampling.clusters, sampling.confidence)
    found = wilson(name, total / count * effective, effective, sampling.confidence)
    return found.model_copy(update={"value": total / count, "count": count})


def effective_count(
    hits: NDArray[np.bool_], clusters: NDArray[np.int64], confidence: float
) -> float:
    """Return how many independent examples the clusters of examples are worth, 1 to n.

    The variance is the jackknife's, which leaves one cluster out at a time: a cluster that most
    examples are of pulls the share to its own, and seems to be no different.
    """
    count, mean = len(hits), float(hits.mean())
    sizes = np.bincount(clusters)
    units, worth = len(sizes), equal_clusters(clusters)
    if units < 2:
        return 1.0
    if mean in (0.0, 1.0):  # nothing varies, within a cluster or between them
        effective = worth
    else:
        away = np.bincount(clusters, weights=hits - mean, minlength=units) / (1 - sizes / count)
        variance = float((away**2).sum()) * (units - 1) / units / count**2
        effective = count / max(1.0, variance / (mean * (1 - mean) / count))
    from scipy.special import stdtrit

    tail, freedom = 0.5 + confidence / 2, min(max(worth - 1, 1.0), count - 1)
    few = float(stdtrit(count - 1, tail) / stdtrit(freedom, tail))
    return max(1.0, effective * few**2)


def equal_clusters(clusters: NDArray[np.int64]) -> float:
    """Return how many clusters these are worth, were all equally large (Kish 1965)."""
    sizes = np.bincount(clusters).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes @ sizes))


def stretch(units: float, confidence: float) -> float:
    """Return how much wider an interval of few independent units is than the normal one.

    Their spread is known from themselves alone, and seen too small: Student's t for the normal
    quantile, and the root of n / (n - 1).

    Args:
        units: How many examples or equally large clusters there are, more than 1.
        confidence: Coverage of the interval.
    """
    from scipy.special import ndtri, stdtrit

    tail, freedom = 0.5 + confidence / 2, max(1.0, units - 1)
    return float(stdtrit(freedom, tail) / ndtri(tail) * np.sqrt(units / freedom))


def bootstrap(
    name: str,
    statistic: Statistic,
    count: int,
    sampling: Sampling,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Measurement:
    """Return a statistic with its bootstrap interval (Efron 1979).

    The percentiles of the draws are shifted by twice the draws' bias, that is their mean less
    the value (Efron & Tibshirani 1993, ch. 10): a statistic that noise lowers, as macro-F1 of
    labels with few examples, is lowered once in the value and once more in the draws. They are
    stretched where there are few examples or clusters to draw from, and those of fewer than
    `BEYOND` draws are a normal's.

    Where a value is so close to 0 or 1 that fewer than `SEEN` examples miss it, draws of them know
    too little of those that miss, and nothing where none does: there no end is closer to the value
    than Wilson's of such a share.

    Args:
        name: What the measurement is called.
        statistic: Of the weights of the examples; see `Statistic`.
        count: How many examples there are, at least 1.
        sampling: Coverage, draws, and the clusters of these examples.
        bounds: Smallest and largest value that the statistic can take.
    """
    value = float(statistic(np.ones((1, count)))[0])
    units = float(count) if sampling.clusters is None else equal_clusters(sampling.clusters)
    low, high = bounds
    if units > 1:
        values = np.concatenate([statistic(weights) for weights in sampling.draws(count)])
        ends = _percentiles(values, (1 - sampling.confidence) / 2) - float(values.mean())
        bias = float(values.mean()) - value
        ends = ends * stretch(units, sampling.confidence) - bias
        low, high = value + float(ends[0]), value + float(ends[1])
    if bounds[0] >= 0 and min(value, 1 - value) * units < SEEN:
        seen = wilson(name, min(1.0, value) * units, units, sampling.confidence)
        low, high = min(low, seen.low), max(high, seen.high)
    return Measurement(
        name=name,
        value=value,
        low=min(value, max(bounds[0], low)),
        high=max(value, min(bounds[1], high)),
        count=count,
        interval="bootstrap",
    )


def _percentiles(values: Floats, tail: float) -> Floats:
    """Return the ends beyond which a share of the draws lies on either side."""
    if tail * len(values) >= BEYOND:
        return np.asarray(np.quantile(values, [tail, 1 - tail]))
    away = NormalDist().inv_cdf(1 - tail) * float(values.std())
    return float(values.mean()) + np.array([-away, away])


def of_sums(counts: NDArray[np.integer], score: Statistic) -> Statistic:
    """Return a statistic of the weights: `score` of the examples' weighted, summed counts.

    Args:
        counts: Of each example, shape [n, ...].
        score: Takes sums of shape [draws, ...] and returns shape [draws].
    """
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    return lambda weights: score((weights @ flat).reshape(-1, *counts.shape[1:]))


def difference(name: str, ours: Measurement, theirs: Measurement) -> Measurement:
    """Return one value less another of other examples, with an interval from theirs.

    Newcombe's hybrid score method (1998, method 10), which takes any two intervals (MOVER).
    """
    value = ours.value - theirs.value
    below = ((ours.value - ours.low) ** 2 + (theirs.high - theirs.value) ** 2) ** 0.5
    above = ((ours.high - ours.value) ** 2 + (theirs.value - theirs.low) ** 2) ** 0.5
    return Measurement(
        name=name,
        value=value,
        low=value - below,
        high=value + above,
        count=ours.count + theirs.count,
        interval="newcombe",
    )


def exact(name: str, value: float, count: int = 1) -> Measurement:
    """Return a value that is no sample's and has no uncertainty."""
    return Measurement(name=name, value=value, low=value, high=value, count=count, interval="exact")
