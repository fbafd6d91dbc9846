"""How long an answer takes: of one text alone, on the engine that will serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Measurement
from bessemer.tasks.base import Features

#: Texts that are asked one by one, and those before that warm the caches up.
ASKED, WARM = 300, 20
#: Times that are taken at least, so that the quantile's interval has an upper end: few texts are
#: asked several times.
LEAST = 100
#: The quantile that callers wait for.
QUANTILE = 0.95


def latency(
    run: Callable[[Sequence[Features]], Any], features: Sequence[Features], confidence: float
) -> Measurement:
    """Return the milliseconds within which 95 of 100 texts are computed, each asked alone.

    Args:
        run: The engine's.
        features: Of the split; evenly taken ones are asked.
        confidence: Coverage of the interval.
    """
    step = max(1, len(features) // ASKED)
    asked = features[::step][:ASKED]
    for row in asked[:WARM]:
        run([row])
    taken = []
    for row in list(asked) * ceil(LEAST / len(asked)):
        began = time.perf_counter()
        run([row])
        taken.append(1000 * (time.perf_counter() - began))
    return quantile("latency_ms", np.array(taken), QUANTILE, confidence)


def quantile(
    name: str, values: NDArray[np.float64], share: float, confidence: float
) -> Measurement:
    """Return a quantile with the interval of its order statistics (Conover 1999, ch. 3.2).

    Args:
        name: What the measurement is called.
        values: Shape [n], one at least.
        share: Which quantile, as 0.95.
        confidence: Coverage of the interval; of few values the largest is its upper end.
    """
    from scipy.stats import binom

    ordered, count = np.sort(values), len(values)
    tail = (1 - confidence) / 2
    low, high = binom.ppf([tail, 1 - tail], count, share)
    last = count - 1
    value = float(np.quantile(ordered, share))
    return Measurement(
        name=name,
        value=value,
        low=min(value, float(ordered[min(last, max(0, int(low) - 1))])),
        high=max(value, float(ordered[min(last, int(high))])),
        count=count,
        interval="order statistic",
    )
