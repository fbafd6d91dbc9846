"""Numbers against published or independently computed ones."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score

from bessemer.measures.answers import by_label, confusions, macro_f1, micro_f1, tally
from bessemer.measures.calibration import (
    binned,
    calibration_error,
    fit_temperature,
    log_loss,
    measured_error,
    probabilities,
)
from bessemer.measures.intervals import (
    Sampling,
    Statistic,
    bootstrap,
    difference,
    share,
    wilson,
)


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
    for trial in range(300):
        values = draws.normal(size=60)
        found = bootstrap("mean", _mean_of(values), 60, Sampling(0.9, 200, trial), (-9, 9))
        hits += found.low <= 0 <= found.high
    # 90 % nominal; percentile intervals at n = 60 lose about 1.5 points; ± 3 standard errors.
    assert 0.83 <= hits / 300 <= 0.95


def _mean_of(values: np.ndarray) -> Statistic:
    return lambda weights: weights @ values / weights.sum(axis=1)


def test_a_bootstrap_is_made_again_by_its_seed_and_keeps_to_its_bounds() -> None:
    values = np.random.default_rng(0).normal(size=40)
    one, again, other = (
        bootstrap("mean", _mean_of(values), 40, Sampling(0.95, 200, seed), (-9, 9))
        for seed in (1, 1, 2)
    )
    assert one == again
    assert (one.low, one.high) != (other.low, other.high)
    assert one.value == pytest.approx(values.mean())
    tight = bootstrap("mean", _mean_of(values), 40, Sampling(0.95, 200, 1), (-0.05, 0.05))
    assert (tight.low, tight.high) == (min(one.value, -0.05), max(one.value, 0.05))


def _clustered(draws: np.random.Generator, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Return clusters of about 10 whose members are alike, and hits that are 0.7 on average."""
    clusters = np.repeat(np.arange(units), draws.poisson(9, units) + 1)
    return draws.random(len(clusters)) < draws.beta(2.8, 1.2, units)[clusters], clusters


def test_an_interval_of_clusters_covers_and_one_that_forgets_them_does_not() -> None:
    draws = np.random.default_rng(7)
    held = np.zeros(3)
    for trial in range(300):
        hits, clusters = _clustered(draws, 60)
        sampling = Sampling(0.95, 200, trial, clusters)
        kept, drawn = share("s", hits, sampling), bootstrap(
            "s", _mean_of(hits.astype(float)), len(hits), sampling
        )  # fmt: skip
        alone = share("s", hits, Sampling(0.95, 200, trial))
        held += [one.low <= 0.7 <= one.high for one in (kept, drawn, alone)]
    held /= 300
    assert held[0] >= 0.92
    assert held[1] >= 0.90  # 60 clusters are few for a bootstrap
    assert held[2] <= 0.80


def test_copies_of_an_example_count_once() -> None:
    hits = np.arange(200) % 5 > 0
    once = wilson("s", 160, 200, 0.95)
    copied = share("s", np.repeat(hits, 3), Sampling(0.95, 1, 0, np.repeat(np.arange(200), 3)))
    assert copied.count == 600
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=0.001)
    every = share("s", np.ones(600, bool), Sampling(0.95, 1, 0, np.repeat(np.arange(200), 3)))
    assert every.low == pytest.approx(wilson("s", 200, 200, 0.95).low, abs=0.001)


def test_a_sampling_of_some_rows_numbers_their_clusters_anew() -> None:
    sampling = Sampling(0.95, 3, 0, np.array([4, 1, 4, 0, 2]))
    kept = sampling.of(np.array([True, False, True, False, True]))
    assert kept.clusters.tolist() == [1, 1, 0]
    [weights] = list(kept.draws(3))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert Sampling(0.95, 3, 0).of(np.array([True, False])).clusters is None
    assert Sampling(0.95, 3, 0).over([5, 5, 7]).clusters.tolist() == [0, 0, 1]


def test_a_difference_of_two_shares_is_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 and 48/80.
    found = difference("d", wilson("s", 56, 70, 0.95), wilson("s", 48, 80, 0.95))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(("count", "wrong"), [(2, 0), (3, 0), (30, 0), (30, 1), (100, 3)])
def test_few_misses_do_not_show_that_there_are_none(count: int, wrong: int) -> None:
    right = np.arange(count) >= wrong
    found = bootstrap("f", _mean_of(right.astype(float)), count, Sampling(0.95, 200, 0))
    wanted = wilson("f", count - wrong, count, 0.95)
    assert found.low <= wanted.low
    assert found.high >= wanted.high


@pytest.mark.parametrize("units", [1, 2, 3, 5])
def test_an_interval_of_few_clusters_is_wide_enough(units: int) -> None:
    draws = np.random.default_rng(units)
    held = 0
    for trial in range(200):
        hits, clusters = _clustered(draws, units)
        drawn = bootstrap(
            "s", _mean_of(hits * 1.0), len(hits), Sampling(0.95, 100, trial, clusters)
        )
        held += drawn.low <= 0.7 <= drawn.high
    assert held >= 180  # of 190 promised
    if units == 1:
        assert (drawn.low, drawn.high) == (0, 1)


def test_a_cluster_that_most_examples_are_of_counts_once() -> None:
    draws = np.random.default_rng(8)
    clusters = np.concatenate([np.zeros(900, dtype=np.int64), np.arange(1, 101)])
    held = 0
    for trial in range(300):
        chance = draws.beta(1.8, 0.2, 101)  # 0.9 on average
        hits = draws.random(1000) < chance[clusters]
        found = share("s", hits, Sampling(0.95, 1, trial, clusters))
        held += found.low <= 0.9 <= found.high
    assert held >= 276  # 0.92


def test_ends_of_few_draws_are_a_normal_s() -> None:
    values = np.random.default_rng(0).normal(size=400)
    many = bootstrap("m", _mean_of(values), 400, Sampling(0.9999, 100_000, 0), (-9, 9))
    few = bootstrap("m", _mean_of(values), 400, Sampling(0.9999, 2_000, 0), (-9, 9))
    assert few.low == pytest.approx(many.low, abs=0.02)
    assert few.high == pytest.approx(many.high, abs=0.02)


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
    reports = by_label(counts, labels, Sampling(0.95, 1, 0))
    wanted = precision_score(actual, predicted, average=None)
    assert [r.precision.value for r in reports[:5]] == pytest.approx(list(wanted))
    assert reports[5].precision is None
    assert reports[5].recall is None


def test_confusions_are_sorted_and_leave_out_the_right_answers() -> None:
    sides = ([frozenset(one) for one in side] for side in ("aaabbc", "bbacbc"))
    found = confusions(*sides, Sampling(0.95, 1, 0))
    assert [(c.actual, c.predicted) for c in found] == [("a", "b"), ("b", "c")]
    assert found[0].share == wilson("share", 2, 3, 0.95)


def test_of_labels_in_clusters_less_is_known() -> None:
    sides = [[frozenset([one]) for one in side * 20] for side in ("aaab", "aabb")]
    alone, clusters = Sampling(0.95, 1, 0), Sampling(0.95, 1, 0, np.repeat(np.arange(8), 10))
    counts = tally(*sides, ("a", "b"))
    for one, other in zip(
        by_label(counts, "ab", alone), by_label(counts, "ab", clusters), strict=True
    ):
        assert one.support == other.support
    wide = by_label(counts[np.argsort(np.arange(80) % 4)], "ab", clusters)[0].recall
    narrow = by_label(counts, "ab", alone)[0].recall
    assert wide.value == narrow.value == pytest.approx(2 / 3)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    [confused] = confusions(*sides, alone)
    assert confused.share == wilson("share", 20, 60, 0.95)
    rows = np.argsort(np.arange(80) % 4)
    apart = ([side[row] for row in rows] for side in sides)
    [together] = confusions(*apart, clusters)
    assert together.share.value == confused.share.value
    assert together.share.high > confused.share.high + 0.05


def test_several_answers_of_a_text_are_no_independent_ones() -> None:
    counts = np.array([[[3, 3, 3]], [[0, 3, 3]]] * 10)
    [found] = by_label(counts, ["x"], Sampling(0.95, 1, 0))
    assert (found.support, found.precision.count) == (60, 60)
    # By hand: the design effect is 60 / 19, and Student's t is 2.0010 of 59 and 2.0930 of 19.
    worth = 19 * (2.0010 / 2.0930) ** 2
    wanted = wilson("precision", worth / 2, worth, 0.95)
    assert (found.precision.low, found.precision.high) == pytest.approx(
        (wanted.low, wanted.high), abs=1e-4
    )


def test_f1s_of_many_draws_are_those_of_each() -> None:
    counts = np.random.default_rng(2).integers(0, 4, (6, 5, 3))
    counts[..., 1:] += counts[..., :1]
    counts[0, 2] = 0
    assert macro_f1(counts) == pytest.approx([float(macro_f1(one)) for one in counts])
    assert micro_f1(counts).shape == (6, 5)
    assert micro_f1(counts[0])[2] == 1.0
    assert macro_f1(counts * 0).tolist() == [1.0] * 6


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


def test_the_order_of_equally_sure_answers_decides_nothing() -> None:
    score = np.repeat([0.9, 0.95, 0.97], 1000)
    right = np.random.default_rng(0).random(3000) < score
    ordered = np.concatenate([np.sort(part)[::-1] for part in np.split(right, 3)])
    assert calibration_error(score, ordered) == pytest.approx(calibration_error(score, right))
    told = [
        [[pair] for pair in zip(score.tolist(), r.tolist(), strict=True)] for r in (right, ordered)
    ]
    one, other = (measured_error(some, Sampling(0.95, 200, 0)) for some in told)
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
    # Without equal scores all bins are as large as can be.
    assert np.bincount(binned(np.random.default_rng(1).random(1003))).tolist() == [
        101, 100, 100, 101, 100, 100, 101, 100, 100, 100
    ]  # fmt: skip


def test_few_rows_without_a_mistake_ask_for_no_endless_confidence() -> None:
    logits = np.array([[2.0, 0.0, 0.0]] * 30)
    found = fit_temperature(logits, np.zeros(30, dtype=np.int64))
    assert 0.3 < found < 1
    assert fit_temperature(np.tile(logits, (100, 1)), np.zeros(3000, dtype=np.int64)) < found


def test_probabilities_of_huge_logits_are_finite() -> None:
    found = probabilities(np.array([[1e4, 0.0], [-1e4, 0.0]]))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1)


def _told(draws: np.random.Generator, count: int, curve: Any) -> list[list[tuple[float, bool]]]:
    confidence = draws.beta(8, 1, count)
    right = draws.random(count) < curve(confidence)
    return [[pair] for pair in zip(confidence.tolist(), right.tolist(), strict=True)]


@pytest.mark.parametrize(
    "curve",
    [lambda c: c, lambda c: c**1.5, lambda c: np.maximum(c - 0.1, 0)],
    ids=["calibrated", "c ** 1.5", "c - 0.1"],
)
def test_the_interval_of_calibration_error_holds_the_truth(curve: Any) -> None:
    many = np.random.default_rng(0).beta(8, 1, 200_000)
    truth = float(np.abs(many - curve(many)).mean())
    draws = np.random.default_rng(4)
    found = [
        measured_error(_told(draws, 400, curve), Sampling(0.95, 200, trial)) for trial in range(100)
    ]
    held = np.mean([one.low <= truth <= one.high for one in found])
    assert held >= 0.89  # nominal 0.95, less three standard errors
    above = np.mean([one.value > truth for one in found])
    assert above > 0.5  # what the interval has to make good
    assert np.mean([one.high - one.low for one in found]) < 0.09


def test_calibration_error_is_of_all_answers_and_of_clusters() -> None:
    draws = np.random.default_rng(5)
    told = _told(draws, 300, lambda c: c - 0.1)
    alone = measured_error(told, Sampling(0.95, 300, 0))
    pairs = [pair for [pair] in told]
    scores, right = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    assert alone.value == pytest.approx(calibration_error(scores, right))
    assert 0 <= alone.low < alone.value < alone.high <= 1
    assert alone == measured_error(told, Sampling(0.95, 300, 0))
    # Every answer four times: as a text's, as a cluster's, and as if each were another.
    texts = measured_error([one * 4 for one in told], Sampling(0.95, 300, 0))
    clusters = measured_error(
        [one for one in told for _ in range(4)],
        Sampling(0.95, 300, 0, np.repeat(np.arange(300), 4)),
    )
    apart = measured_error([one for one in told for _ in range(4)], Sampling(0.95, 300, 0))
    assert (texts.count, clusters.count) == (300, 1200)
    assert (texts.low, texts.high) == (clusters.low, clusters.high)
    assert texts.high - texts.low > 1.5 * (apart.high - apart.low)


def test_a_few_right_answers_do_not_show_that_scores_can_be_believed() -> None:
    found = measured_error([[(1.0, True)]] * 50, Sampling(0.95, 100, 0))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - wilson("s", 50, 50, 0.95).low)
    # Nor does one wrong answer among them that happens to be as sure as it should be.
    told = [[(0.998, True)]] * 20 + [[(0.6, False)], [(0.7, True)], [(0.85, True)]]
    told += [[(1 - 10.0**-place, True)] for place in np.linspace(3, 9, 200)]
    lucky = measured_error(told, Sampling(0.95, 1000, 0))
    assert lucky.value < 0.001
    assert lucky.high > 0.02
    one = measured_error([[(0.9, True)]], Sampling(0.95, 100, 0))
    assert (one.low, one.high) == (0, 1)


def test_ten_thousand_answers_are_judged_in_a_moment() -> None:
    told = _told(np.random.default_rng(6), 10_000, lambda c: c)
    start = time.process_time()
    measured_error(told, Sampling(0.95, 1000, 0))
    assert time.process_time() - start < 0.5
