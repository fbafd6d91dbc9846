"""Whether intervals hold what they promise: how many of 2,000 simulated test sets' intervals hold
the truth that the sets were drawn from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.base import Row, at_least, at_most
from bessemer.core.report import Measurement
from bessemer.measures.answers import macro_f1
from bessemer.measures.calibration import measured_error
from bessemer.measures.comparison import paired_difference
from bessemer.measures.intervals import Sampling, bootstrap, of_sums, share

Raw = dict[str, Any]
Simulate = Callable[[np.random.Generator, int], Measurement]
#: Draws how many texts each cluster has.
Layout = Callable[[np.random.Generator], NDArray[np.int64]]
SIMULATIONS = 2000
#: Fewer than a report's, which takes 1,000: it leaves the ends a little less sure.
DRAWS = 300
CONFIDENCE = 0.95
LABELS = 77
#: Share of right answers, and texts in the test set.
PROPORTIONS = ((0.5, 100), (0.8, 340), (0.93, 340), (0.93, 3080), (0.98, 1000))
#: Shares of texts that only the one, only the other, and both models answer rightly; texts.
PAIRS = (
    (0.04, 0.04, 0.89, 340),
    (0.10, 0.05, 0.60, 340),
    (0.02, 0.02, 0.91, 3080),
    (0.03, 0.01, 0.90, 3080),
)
#: What the share of right answers is, of answers that are as sure as a Beta(8, 1) says.
CURVES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "calibrated": lambda sure: sure,
    "2 points too sure": lambda sure: np.maximum(sure - 0.02, 0),
    "right as sure ** 1.5": lambda sure: sure**1.5,
}


LAYOUTS: dict[str, Layout] = {
    "300 clusters of about 10": lambda draw: draw.poisson(9, 300) + 1,
    "5 clusters of about 20": lambda draw: draw.poisson(19, 5) + 1,
    "a cluster of 100 among 100 of 1": lambda draw: np.array([100, *[1] * 100]),
}


def measure() -> tuple[list[Row], Raw]:
    """Return the rows of all parts, and what they were computed from."""
    parts = {
        "proportions": proportions,
        "macro-F1": macro,
        "paired": paired,
        "calibration": calibration,
        "clusters": clustered,
        "few": few,
        "equal models": equal_models,
    }
    found = {name: part() for name, part in parts.items()}
    rows = [row for some, _ in found.values() for row in some]
    return rows, {name: raw for name, (_, raw) in found.items()}


def proportions() -> tuple[list[Row], Raw]:
    """Return how often the interval of a share holds it."""

    def simulate(right: float, count: int) -> Simulate:
        return lambda draw, seed: share(
            "share", draw.random(count) < right, Sampling(CONFIDENCE, DRAWS, seed)
        )

    return _rows(
        {
            f"share {right:g} of {count:,}": (right, simulate(right, count))
            for right, count in PROPORTIONS
        },
        _within,
    )


def macro() -> tuple[list[Row], Raw]:
    """Return how often the interval of macro-F1 holds that of the population."""
    population = _population()
    truth = float(
        macro_f1(np.stack([population.diagonal(), population.sum(0), population.sum(1)], axis=1))
    )

    def simulate(count: int) -> Simulate:
        def once(draw: np.random.Generator, seed: int) -> Measurement:
            cells = draw.choice(LABELS**2, count, p=population.ravel())
            actual, answered = np.divmod(cells, LABELS)
            counts = np.zeros((count, LABELS, 3), dtype=np.int64)
            rows = np.arange(count)
            counts[rows, actual, 0] = actual == answered
            counts[rows, answered, 1] = 1
            counts[rows, actual, 2] = 1
            sampling = Sampling(CONFIDENCE, DRAWS, seed)
            return bootstrap("macro_f1", of_sums(counts, macro_f1), count, sampling)

        return once

    return _rows(
        {
            f"macro-F1 of {LABELS} labels, {count:,} texts": (truth, simulate(count))
            for count in (1000, 3080)
        },
        _within,
    )


def _population() -> NDArray[np.float64]:
    """Return how often each label is answered to each, shape [labels, labels], summing to 1.

    As often as BANKING77's best models a label is right about 93 times in 100, some labels less
    often; what is wrong is mostly the label's nearest neighbours.
    """
    draw = np.random.default_rng(0)
    right = draw.beta(13, 1, LABELS)
    matrix = np.diag(right)
    for label in range(LABELS):
        near = (label + np.array([1, 2, 5])) % LABELS
        matrix[label, near] += (1 - right[label]) * np.array([0.6, 0.2, 0.1])
        matrix[label] += (1 - right[label]) * 0.1 / LABELS
    return np.asarray(matrix / matrix.sum())


def paired() -> tuple[list[Row], Raw]:
    """Return how often the interval of a paired difference of accuracies holds it."""

    def simulate(chances: tuple[float, ...], count: int) -> Simulate:
        def once(draw: np.random.Generator, seed: int) -> Measurement:
            ours, theirs = _two(draw, chances, count)
            return paired_difference("d", ours, theirs, Sampling(CONFIDENCE, DRAWS, seed))

        return once

    return _rows(
        {
            f"paired difference, {100 * one:g} % and {100 * other:g} % of {count:,}": (
                one - other,
                simulate((one, other, both), count),
            )
            for one, other, both, count in PAIRS
        },
        _within,
    )


def _two(
    draw: np.random.Generator, chances: tuple[float, ...], count: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what two models have right; `chances` are of only one, only the other, and both."""
    which = np.searchsorted(np.cumsum(chances), draw.random(count), side="right")
    return (which == 0) | (which == 2), (which == 1) | (which == 2)


def calibration() -> tuple[list[Row], Raw]:
    """Return how often the interval of calibration error holds that of endless texts."""
    many = np.random.default_rng(0).beta(8, 1, 2_000_000)

    def simulate(curve: Callable[..., NDArray[np.float64]], count: int) -> Simulate:
        def once(draw: np.random.Generator, seed: int) -> Measurement:
            sure = draw.beta(8, 1, count)
            right = draw.random(count) < curve(sure)
            told = [[pair] for pair in zip(sure.tolist(), right.tolist(), strict=True)]
            return measured_error(told, Sampling(CONFIDENCE, DRAWS, seed))

        return once

    return _rows(
        {
            f"calibration error, {name}, {count:,} texts": (
                float(np.abs(many - curve(many)).mean()),
                simulate(curve, count),
            )
            for count in (500, 3000)
            for name, curve in CURVES.items()
        },
        _at_least,
    )


def clustered() -> tuple[list[Row], Raw]:
    """Return how often intervals hold the truth where texts of one customer are alike."""
    right = 0.9

    def texts(
        draw: np.random.Generator, layout: Layout
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        sizes = layout(draw)
        chances = draw.beta(9 * right, 9 * (1 - right), len(sizes))
        return np.repeat(np.arange(len(sizes)), sizes), np.repeat(chances, sizes)

    def shares(layout: Layout) -> Simulate:
        def once(draw: np.random.Generator, seed: int) -> Measurement:
            clusters, chances = texts(draw, layout)
            hits = draw.random(len(chances)) < chances
            return share("share", hits, Sampling(CONFIDENCE, DRAWS, seed, clusters))

        return once

    def pairs(layout: Layout) -> Simulate:
        def once(draw: np.random.Generator, seed: int) -> Measurement:
            clusters, chances = texts(draw, layout)
            same = draw.random(len(chances)) < 0.5
            ours = draw.random(len(chances)) < chances
            theirs = np.where(same, ours, draw.random(len(chances)) < chances)
            return paired_difference("d", ours, theirs, Sampling(CONFIDENCE, DRAWS, seed, clusters))

        return once

    def means(layout: Layout) -> Simulate:
        def once(draw: np.random.Generator, seed: int) -> Measurement:
            clusters, chances = texts(draw, layout)
            return _mean(draw.random(len(chances)) < chances, seed, clusters)

        return once

    return _rows(
        {
            f"{what}, {name}": (truth, simulate(layout))
            for name, layout in LAYOUTS.items()
            for what, truth, simulate in (
                ("share", right, shares),
                ("paired difference", 0.0, pairs),
                ("bootstrap", right, means),
            )
        },
        _at_least,
    )


def few() -> tuple[list[Row], Raw]:
    """Return how often the bootstrap's interval holds the truth where few texts are wrong."""

    def simulate(right: float, count: int) -> Simulate:
        return lambda draw, seed: _mean(draw.random(count) < right, seed, None)

    return _rows(
        {
            f"bootstrap, {right:g} of {count:,}": (right, simulate(right, count))
            for right, count in ((0.98, 30), (0.995, 100), (0.98, 300))
        },
        _at_least,
    )


def _mean(hits: NDArray[np.bool_], seed: int, clusters: NDArray[np.int64] | None) -> Measurement:
    counts = np.stack([hits, np.ones_like(hits)], axis=1).astype(np.int64)
    drawn = of_sums(counts, lambda totals: totals[:, 0] / totals[:, 1])
    return bootstrap("mean", drawn, len(hits), Sampling(CONFIDENCE, DRAWS, seed, clusters))


def equal_models() -> tuple[list[Row], Raw]:
    """Return how often a gate takes the one of two equal models for the better."""
    wrong = {}
    for count, apart in ((340, 0.04), (3080, 0.02)):
        better = 0
        for seed in range(1000):
            ours, theirs = _two(np.random.default_rng(seed), (apart, apart, 0.93 - apart), count)
            found = paired_difference("d", ours, theirs, Sampling(CONFIDENCE, DRAWS, seed))
            better += found.low > 0
        wrong[f"equal models, {count:,} texts: taken for better"] = better / 10
    return [at_most(name, value, "%", 6) for name, value in wrong.items()], wrong


def _rows(
    cases: dict[str, tuple[float, Simulate]], reach: Callable[[str, float], Row]
) -> tuple[list[Row], Raw]:
    rows, raw = [], {}
    for number, (name, (truth, simulate)) in enumerate(cases.items()):
        draw = np.random.default_rng(number)
        found = [simulate(draw, seed) for seed in range(SIMULATIONS)]
        held = 100 * float(np.mean([one.low <= truth <= one.high for one in found]))
        rows.append(reach(name, held))
        raw[name] = {
            "truth": truth,
            "held": held,
            "above": 100 * float(np.mean([one.low > truth for one in found])),
            "value": float(np.mean([one.value for one in found])),
            "low": float(np.mean([one.low for one in found])),
            "high": float(np.mean([one.high for one in found])),
        }
    return rows, raw


def _within(name: str, held: float) -> Row:
    return Row(name, held, "%", "93 to 97", 93 <= held <= 97)


def _at_least(name: str, held: float) -> Row:
    return at_least(name, held, "%", 93)
