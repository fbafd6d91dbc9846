"""Sets of labels that hold the right one as often as promised: split conformal prediction."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bessemer.measures.calibration import Floats

#: Shares of the texts whose set holds the right label that can be asked for.
COVERAGES = (0.8, 0.9, 0.95, 0.99)


def threshold(chances: Floats, actual: NDArray[np.integer], coverage: float) -> float | None:
    """Return the probability from which a label is in a text's set.

    Of n examples that nothing was learnt from, the ⌈(n + 1) · coverage⌉-th highest probability of
    the right label: the least ambiguous sets of that coverage (Sadinle, Lei & Wasserman 2019). A
    text that is drawn as these were then has its right label in its set with at least that
    probability, however wrong the probabilities are (Vovk et al. 2005).

    Args:
        chances: Probability of each class, shape [n, classes].
        actual: True class numbers, shape [n].
        coverage: What is promised, between 0 and 1.

    Returns:
        None where n is too small to promise it: below coverage / (1 - coverage).
    """
    count = len(actual)
    # Rounded, since 0.95 * 20 must not be more than 19.
    rank = math.ceil(round((count + 1) * coverage, 9))
    if rank > count:
        return None
    right = chances[np.arange(count), actual]
    return float(np.partition(right, count - rank)[count - rank])


def thresholds(chances: Floats, actual: NDArray[np.integer]) -> dict[float, float]:
    """Return the threshold of each of `COVERAGES` that there are examples enough for."""
    found = {coverage: threshold(chances, actual, coverage) for coverage in COVERAGES}
    return {coverage: least for coverage, least in found.items() if least is not None}


def members(chances: Floats, threshold: float) -> NDArray[np.bool_]:
    """Return which classes are in each set, shape [n, classes]; a set may be empty.

    Args:
        chances: Probability of each class, same shape.
        threshold: From `threshold`.
    """
    return chances >= threshold
