"""Whether more labels pay."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.test_label_errors import clouds, quiet

from bessemer.core.labelling import Forecast
from bessemer.improve.stopping import forecast
from bessemer.train.folds import curve


def accuracy(labels: float) -> float:
    """A learning curve like BANKING77's from a hundred labels on."""
    return 0.95 - 12.0 * labels**-0.65


def told(last: int, seed: int, examples: int = 500) -> Forecast:
    """Return what is forecast of a curve that ends with `last` labels, a little off the law."""
    draw = np.random.default_rng(seed)
    sizes = np.geomspace(last / 8, last, 6).round().astype(int)
    hard = draw.random(examples)
    noise = 0.006 * draw.normal(size=len(sizes))
    right = np.stack([hard < accuracy(n) + e for n, e in zip(sizes, noise, strict=True)])
    found = forecast(sizes.tolist(), right, "validation", more=100, least=0.005, seed=0)
    assert found is not None
    return found


@pytest.mark.parametrize("last", [400, 800, 1500])
def test_the_interval_holds_what_comes(last: int) -> None:
    wanted = accuracy(last + 100) - accuracy(last)
    found = [told(last, seed) for seed in range(40)]
    assert np.mean([one.gain.low <= wanted <= one.gain.high for one in found]) >= 0.9
    assert np.median([one.gain.value for one in found]) == pytest.approx(wanted, rel=0.4)


def test_it_goes_on_while_the_curve_rises_and_stops_on_the_plateau() -> None:
    assert not any(told(last, seed).stop for last in (400, 600, 900) for seed in range(20))
    assert all(told(last, seed).stop for last in (3000, 6000) for seed in range(20))


def test_a_curve_without_a_rise() -> None:
    sizes = [100, 200, 400, 800]
    always = np.ones((4, 100), dtype=bool)
    found = forecast(sizes, always, "validation", more=100, least=0.005, seed=0)
    assert found is not None
    assert (found.gain.low, found.gain.value, found.gain.high) == (0.0, 0.0, 0.0)
    assert found.stop
    few = forecast(sizes, always[:, :99], "validation", more=100, least=0.005, seed=0)
    assert not few.stop  # it is as sure of the gain, and knows too little
    falling = np.arange(50) >= np.array([[5], [10], [15], [20]])
    assert forecast(sizes, falling, "validation", more=9, least=0.005, seed=0).gain.value == 0


def test_three_points_are_no_curve() -> None:
    right = np.ones((3, 50), dtype=bool)
    assert forecast([1, 2, 3], right, "validation", more=9, least=0.005, seed=0) is None


def test_the_curve_is_of_rows_that_were_not_learnt_from() -> None:
    every, kinds = clouds(440)
    (vectors, targets), asked = (every[:240], kinds[:240]), (every[240:], kinds[240:])
    sizes = [2, 12, 40, 240]
    found = curve((vectors, targets), asked, 4, sizes, 0, quiet)
    assert found.shape == (4, 200)
    assert found[0].mean() <= 0.5
    assert found[3].mean() > 0.95
    # Labels by chance can be learnt by heart, but not from other rows.
    lots = np.random.default_rng(0).integers(0, 4, 240)
    assert curve((vectors, lots), None, 4, sizes, 0, quiet)[3].mean() < 0.4
