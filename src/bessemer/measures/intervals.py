"""Confidence intervals for shares and for statistics of resampled examples."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Measurement


def wilson(name: str, hits: int, count: int, confidence: float) -> Measurement:
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
        count=count,
        interval="wilson",
    )


def bootstrap(
    name: str,
    statistic: Callable[[NDArray[np.int64]], float],
    count: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> Measurement:
    """Return a statistic with its bootstrap interval (Efron 1979).

    The percentiles of the draws are shifted by twice the draws' bias, that is their mean less
    the value (Efron & Tibshirani 1993, ch. 10): a statistic that grows with noise, as
    calibration error does, has grown once in the value and once more in the draws.

    Args:
        name: What the measurement is called.
        statistic: Takes row numbers, shape [count], and returns a finite value.
        count: How many examples there are, at least 1.
        confidence: Coverage of the interval.
        resamples: How often the rows are drawn again with replacement.
        seed: Of the draws, so that a report can be made again.
        bounds: Smallest and largest value that the statistic can take.
    """
    draws = np.random.default_rng(seed)
    values = [statistic(draws.integers(0, count, count)) for _ in range(resamples)]
    tail = (1 - confidence) / 2
    value = statistic(np.arange(count))
    bias = float(np.mean(values)) - value
    low, high = np.quantile(values, [tail, 1 - tail]) - 2 * bias
    return Measurement(
        name=name,
        value=value,
        low=min(value, max(bounds[0], float(low))),
        high=max(value, min(bounds[1], float(high))),
        count=count,
        interval="bootstrap",
    )
