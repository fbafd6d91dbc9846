"""Whether more labels pay: what the next ones will add, from the learning curve so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bessemer.core.labelling import Forecast
from bessemer.core.report import Measurement

Floats = NDArray[np.float64]

#: Points of a curve at least: the law has three numbers of its own.
LEAST_POINTS = 4
#: Examples at least by which it is told to stop: of few that are all right, every draw is alike.
LEAST_EXAMPLES = 100
#: Exponents of the law that are tried.
EXPONENTS = np.geomspace(0.05, 3.0, 40)
RESAMPLES, CONFIDENCE = 1000, 0.95


def forecast(
    labels: Sequence[int],
    right: NDArray[np.bool_],
    measured: Literal["validation", "out of fold"],
    *,
    more: int,
    least: float,
    seed: int,
) -> Forecast | None:
    """Return what the next labels are likely to add to the accuracy; None of too short a curve.

    The curve's points are fitted by an inverse power law, accuracy = a - b * labels ** -c, later
    points weighing more (Figueroa et al. 2012). How sure that is: the examples are drawn anew
    (bootstrap, the same ones for all points), and so is what each point is off the law.

    Args:
        labels: How many labels each point was learnt from, ascending, shape [points].
        right: Whether each example was answered rightly, shape [points, examples].
        measured: Whether the examples are of the validation split, or the labelled ones.
        more: How many labels would be given next.
        least: What they must add to be worth it. It says stop where even the upper end of the
            interval is below, of `LEAST_EXAMPLES` examples or more.
        seed: Of the draws.
    """
    if len(labels) < LEAST_POINTS or not right.shape[1]:
        return None
    sizes = np.asarray(labels, dtype=np.float64)
    examples = right.shape[1]
    draw = np.random.default_rng(seed)
    counts = draw.multinomial(examples, np.full(examples, 1 / examples), RESAMPLES)
    drawn = counts @ right.T / examples
    law = _Law(sizes)
    off = drawn - law.at(sizes, *law.fit(drawn))
    # The fit has taken three of the points' freedoms from what they are off.
    off *= np.sqrt(len(labels) / (len(labels) - 3))
    moved = np.take_along_axis(off, draw.integers(0, len(labels), off.shape), axis=1)
    found = law.fit(drawn + moved)
    value = law.gain(more, *law.fit(right.mean(axis=1)[None]))[0]
    gain = _measured("gain", float(value), law.gain(more, *found), examples)
    last = float(right[-1].mean())
    return Forecast(
        labels=labels[-1],
        accuracy=_measured("accuracy", last, drawn[:, -1], examples),
        measured=measured,
        more=more,
        gain=gain,
        least=least,
        stop=gain.high < least and examples >= LEAST_EXAMPLES,
    )


class _Law:
    """Fits of many curves at once by weighted least squares; `b` is not negative.

    Args:
        sizes: Labels of each point, shape [points].
    """

    def __init__(self, sizes: Floats) -> None:
        self._last = sizes[-1]
        # Relative to the last point, so that no power is tiny.
        self._powers = (sizes / self._last) ** -EXPONENTS[:, None]
        weights = np.arange(1, len(sizes) + 1, dtype=np.float64)
        self._weights = weights / weights.sum()

    def fit(self, curves: Floats) -> tuple[Floats, Floats, Floats]:
        """Return a, b and c of each curve, shape [n] each, of accuracies [n, points]."""
        weights, powers = self._weights, self._powers
        level, mean = curves @ weights, powers @ weights
        spread = powers - mean[:, None]
        slope = (curves * weights) @ spread.T / ((spread**2) @ weights)
        b = np.maximum(-slope, 0)
        a = level[:, None] + b * mean
        # Nobody is right more often than always: of a law that says so the limit is 1.
        over = a > 1
        held = ((1 - curves) * weights) @ powers.T / ((powers**2) @ weights)
        a, b = np.where(over, 1.0, a), np.where(over, np.maximum(held, 0), b)
        lost = np.stack(
            [
                ((curves - (a[:, [n]] - b[:, [n]] * powers[n])) ** 2) @ weights
                for n in range(len(powers))
            ],
            axis=1,
        )
        rows, best = np.arange(len(curves)), lost.argmin(axis=1)
        return a[rows, best], b[rows, best], EXPONENTS[best]

    def at(self, sizes: Floats, a: Floats, b: Floats, c: Floats) -> Floats:
        """Return the accuracies after `sizes` labels, shape [n, sizes]."""
        return np.asarray(a[:, None] - b[:, None] * (sizes / self._last) ** -c[:, None])

    def gain(self, more: int, a: Floats, b: Floats, c: Floats) -> Floats:
        """Return what `more` labels than the last point's add, shape [n]."""
        return np.asarray(b * (1 - ((self._last + more) / self._last) ** -c))


def _measured(name: str, value: float, draws: Floats, count: int) -> Measurement:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Measurement(
        name=name,
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        count=count,
        interval="bootstrap",
    )
