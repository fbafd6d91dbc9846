"""Numbers against published or independently computed ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score

from bessemer.measures.answers import by_label, confusions, macro_f1, tally
from bessemer.measures.calibration import (
    calibration_error,
    fit_temperature,
    log_loss,
    probabilities,
)
from bessemer.measures.intervals import bootstrap, wilson


def test_wilson_matches_the_textbook() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 → 0.2553 to 0.3662.
    found = wilson("share", 81, 263, 0.95)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_point_and_stays_in_0_1(pair: tuple[int, int]) -> None:
    found = wilson("share", *pair, 0.95)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not measured"):
        wilson("share", 0, 0, 0.95)


def test_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(3)
    hits = 0
    for trial in range(200):
        values = draws.normal(size=60)
        found = bootstrap(
            "mean", lambda rows, v=values: float(v[rows].mean()), 60, bounds=(-9, 9),
            confidence=0.9, resamples=200, seed=trial,
        )  # fmt: skip
        hits += found.low <= 0 <= found.high
    # 90 % nominal; percentile intervals at n = 60 lose about 1.5 points; ± 3 standard errors.
    assert 0.82 <= hits / 200 <= 0.96


def test_macro_f1_and_precision_are_scikit_learns() -> None:
    draws = np.random.default_rng(0)
    actual, predicted = draws.integers(0, 5, 300), draws.integers(0, 5, 300)
    labels = [f"label {n}" for n in range(6)]
    counts = tally(
        *([frozenset([labels[n]]) for n in part] for part in (actual, predicted)), labels
    )
    assert macro_f1(counts.sum(axis=0)) == pytest.approx(
        f1_score(actual, predicted, average="macro")
    )
    reports = by_label(counts, labels, 0.95)
    wanted = precision_score(actual, predicted, average=None)
    assert [r.precision.value for r in reports[:5]] == pytest.approx(list(wanted))
    assert reports[5].precision is None
    assert reports[5].recall is None


def test_confusions_are_sorted_and_leave_out_the_right_answers() -> None:
    found = confusions([frozenset(a) for a in "aaabbc"], [frozenset(b) for b in "bbacbc"], 0.95)
    assert [(c.actual, c.predicted) for c in found] == [("a", "b"), ("b", "c")]
    assert found[0].share.value == pytest.approx(2 / 3)


def test_the_temperature_that_was_put_in_is_found() -> None:
    draws = np.random.default_rng(1)
    true = draws.normal(size=(4000, 5)) * 2
    chances = probabilities(true)
    actual = np.array([draws.choice(5, p=row) for row in chances])
    found = fit_temperature(true * 3, actual)
    assert found == pytest.approx(3, rel=0.1)
    assert log_loss(true * 3, actual, found) < log_loss(true * 3, actual)


def test_calibration_error_of_a_boaster() -> None:
    confidence, correct = np.full(1000, 0.9), np.arange(1000) % 2 == 0
    assert calibration_error(confidence, correct) == pytest.approx(0.4)


def test_probabilities_of_huge_logits_are_finite() -> None:
    found = probabilities(np.array([[1e4, 0.0], [-1e4, 0.0]]))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1)


def test_a_statistic_that_grows_with_noise_keeps_its_point_inside() -> None:
    draws = np.random.default_rng(5)
    confidence = draws.uniform(0.5, 1, 150)
    correct = draws.uniform(size=150) < confidence
    found = bootstrap(
        "calibration_error", lambda rows: calibration_error(confidence[rows], correct[rows]), 150,
        confidence=0.95, resamples=300, seed=0, bounds=(0.0, 1.0),
    )  # fmt: skip
    assert 0 <= found.low < found.value < found.high <= 1


@pytest.mark.parametrize(("gap", "least"), [(0.1, 0.9), (0.0, 0.5)])
def test_the_interval_of_calibration_error_holds_the_truth(gap: float, least: float) -> None:
    """A model that boasts by `gap`; where nothing is wrong, 0 lies at the edge of all values."""
    held = 0
    for trial in range(60):
        draws = np.random.default_rng(trial)
        confidence = draws.uniform(0.6, 1, 340)
        correct = draws.uniform(size=340) < confidence - gap

        def statistic(rows, confidence=confidence, correct=correct) -> float:
            return calibration_error(confidence[rows], correct[rows])

        found = bootstrap(
            "calibration_error", statistic, 340,
            confidence=0.95, resamples=200, seed=trial, bounds=(0.0, 1.0),
        )  # fmt: skip
        held += found.low <= gap + 0.005 and found.high >= gap - 0.005
    assert held >= least * 60
