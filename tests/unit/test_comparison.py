"""Two models on the same examples: against published figures, and how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from bessemer.core.project import Labels
from bessemer.evaluate.comparison import compare, difference
from bessemer.measures.comparison import holm, mcnemar, paired_difference
from bessemer.measures.intervals import Sampling, wilson
from bessemer.tasks.base import said_by
from bessemer.tasks.text_classification import TextClassification

SAMPLING = Sampling(0.95, 300, 0)


def table(both: int, ours: int, theirs: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what each model has right, of a fourfold table."""
    counts = [both, ours, theirs, neither]
    return (
        np.repeat([True, True, False, False], counts),
        np.repeat([True, False, True, False], counts),
    )


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((20, 12, 2, 16), 0.0562, 0.3292)],
)
def test_a_paired_difference_is_newcombes(counts: tuple[int, ...], low: float, high: float) -> None:
    # Newcombe 1998, Statistics in Medicine 17:2635, table II, method 10.
    found = paired_difference("d", *table(*counts), SAMPLING)
    assert (found.value, found.count) == (pytest.approx(0.2), 50)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    turned = paired_difference("d", *table(*counts)[::-1], SAMPLING)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize("counts", [(0, 5, 0, 0), (0, 0, 5, 0), (3, 0, 0, 0), (0, 0, 0, 1)])
def test_a_paired_difference_stays_within_what_can_be(counts: tuple[int, ...]) -> None:
    found = paired_difference("d", *table(*counts), SAMPLING)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize("split", [(0, 0), (1, 0), (5, 5), (12, 2), (3, 40), (400, 350)])
def test_mcnemar_is_the_exact_binomial_test(split: tuple[int, int]) -> None:
    found = mcnemar(*table(90, *split, 7))
    assert (found.only_ours, found.only_theirs) == split
    wanted = binomtest(split[0], sum(split)).pvalue if sum(split) else 1.0
    assert found.p == pytest.approx(wanted)


def test_mcnemar_of_clusters_of_one_is_the_uncorrected_one() -> None:
    # (30 - 12)² / 42 = 7.714, of which chi-square with one degree of freedom is 0.00548.
    found = mcnemar(*table(100, 30, 12, 8), np.arange(150))
    assert found.p == pytest.approx(0.00548, abs=1e-5)


@pytest.mark.parametrize("split", [(5, 0), (9, 2), (1, 0), (0, 0)])
def test_mcnemar_of_few_clusters_is_exact(split: tuple[int, int]) -> None:
    ours, theirs = table(90, *split, 7)
    found = mcnemar(ours, theirs, np.arange(len(ours)))
    wanted = binomtest(split[0], sum(split)).pvalue if sum(split) else 1.0
    assert found.p == pytest.approx(wanted)


def test_clusters_do_not_make_equal_answers_certain() -> None:
    ours = np.arange(200) % 2 == 0
    alone = paired_difference("d", ours, ours, SAMPLING)
    for units in (1, 2, 3, 30, 200):
        clusters = np.arange(200) // (200 // units) % units
        found = paired_difference("d", ours, ours, Sampling(0.95, 1, 0, clusters))
        assert found.low < alone.low * 0.99
        assert found.high > alone.high * 0.99


def test_two_clusters_do_not_tell_which_model_is_better() -> None:
    draws, clusters, wrong = np.random.default_rng(0), np.repeat([0, 1], 20), 0
    for _ in range(300):
        sides = [draws.random(40) < 0.5 for _ in range(2)]
        found = paired_difference("d", *sides, Sampling(0.95, 1, 0, clusters))
        wrong += not found.low <= 0 <= found.high
    assert wrong <= 15


def test_a_copied_example_is_no_more_evidence() -> None:
    ours, theirs = table(100, 30, 12, 8)
    once = mcnemar(ours, theirs, np.arange(150))
    copies = [np.repeat(side, 5) for side in (ours, theirs)]
    clusters = np.repeat(np.arange(150), 5)
    assert mcnemar(*copies, clusters).p == pytest.approx(once.p)
    assert mcnemar(*copies).p < 1e-6
    assert mcnemar(ours, ours, np.arange(150)).p == 1.0
    one = paired_difference("d", ours, theirs, Sampling(0.95, 1, 0, np.arange(150)))
    five = paired_difference("d", *copies, Sampling(0.95, 1, 0, clusters))
    assert (five.low, five.high) == pytest.approx((one.low, one.high), abs=0.001)
    assert five.count == 750


def test_equal_models_are_seldom_taken_for_unequal() -> None:
    """By the interval as by McNemar's p, of independent texts and of customers' messages."""
    draws = np.random.default_rng(1)
    wrong = np.zeros(4)
    for trial in range(400):
        which = np.searchsorted([0.05, 0.1, 0.9], draws.random(400))
        ours, theirs = np.isin(which, [0, 2]), np.isin(which, [1, 2])
        found = paired_difference("d", ours, theirs, SAMPLING)
        wrong[0] += not found.low <= 0 <= found.high
        wrong[1] += mcnemar(ours, theirs).p < 0.05
        clusters = np.repeat(np.arange(80), 5)
        # Where a customer's messages are alike, both models are right or wrong about all of them.
        whole = np.searchsorted([0.15, 0.3, 0.9], draws.random(80))[clusters]
        ours, theirs = np.isin(whole, [0, 2]), np.isin(whole, [1, 2])
        found = paired_difference("d", ours, theirs, Sampling(0.95, 1, trial, clusters))
        wrong[2] += not found.low <= 0 <= found.high
        wrong[3] += mcnemar(ours, theirs, clusters).p < 0.05
    assert (wrong / 400 <= 0.08).all(), wrong / 400  # 5 % and three standard errors
    assert (wrong[[0, 2]] > 0).all()  # nor are the intervals so wide that they say nothing


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; none below the one before it.
    found = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def test_models_with_one_answer_a_text_are_compared() -> None:
    task = TextClassification(Labels(), ("a", "b"))
    actual = [frozenset("a")] * 60 + [frozenset("b")] * 40
    ours = [frozenset("a")] * 64 + [frozenset("b")] * 36
    theirs = [frozenset("a")] * 50 + [frozenset("b")] * 50
    found = compare(task, actual, ours, theirs, SAMPLING)
    assert found.ours == wilson("accuracy", 96, 100, 0.95)
    assert found.theirs == wilson("accuracy", 90, 100, 0.95)
    assert found.uneven[:2] == (10, 4)
    assert found.uneven.p == pytest.approx(binomtest(4, 14).pvalue)
    assert found.difference == difference(task, actual, ours, theirs, SAMPLING)
    assert (found.difference.name, found.difference.interval) == ("accuracy_difference", "newcombe")
    assert found.difference.value == pytest.approx(0.06)


def test_what_says_that_nothing_fits_is_read_in_the_words_of_the_other() -> None:
    plain = TextClassification(Labels(), ("a", "gift"))
    open_ended = TextClassification(Labels(out_of_scope="gift"), ("a", "b"))
    gift, a = frozenset(["gift"]), frozenset("a")
    # One model's word for nothing is the other one's label, as right as before.
    assert said_by(open_ended, plain, [gift, a]) == [gift, a]
    assert said_by(plain, open_ended, [gift, a]) == [gift, a]
    nothing = frozenset([plain.nothing])
    assert said_by(plain, open_ended, [nothing]) == [gift]
    assert said_by(open_ended, TextClassification(Labels(), ("a", "b")), [gift]) == [nothing]


def test_few_texts_answered_differently_do_not_tell_which_model_is_better() -> None:
    task = TextClassification(Labels(separator="|"), ("a", "b"))
    alike = [frozenset("a")] * 40
    other = [*alike[:-1], frozenset("b")]
    same = difference(task, alike, alike, alike, SAMPLING)
    assert same.low == -same.high == -wilson("s", 0, 40, 0.95).high
    found = difference(task, alike, alike, other, SAMPLING)
    assert found.low == -wilson("s", 1, 40, 0.95).high
    one = np.zeros(40, dtype=np.int64)
    certain = difference(task, alike, alike, other, Sampling(0.95, 100, 0, one))
    assert (certain.low, certain.high) == (-1, 1)


def test_models_with_several_answers_are_compared_by_f1() -> None:
    task = TextClassification(Labels(separator="|"), ("a", "b"))
    draws = np.random.default_rng(2)
    actual, ours, theirs = [], [], []
    for _ in range(200):
        actual.append(frozenset(label for label in "ab" if draws.random() < 0.6))
        ours.append(frozenset(label for label in actual[-1] if draws.random() < 0.95))
        theirs.append(frozenset(label for label in ours[-1] if draws.random() < 0.8))
    found = compare(task, actual, ours, theirs, SAMPLING)
    assert found.difference.interval == "bootstrap"
    assert found.difference.name == "micro_f1_difference"
    assert found.difference.value == pytest.approx(found.ours.value - found.theirs.value)
    assert 0 < found.difference.low < found.difference.high < 0.3
    # What is paired is surer than what is not.
    apart = found.ours.high - found.ours.low + found.theirs.high - found.theirs.low
    assert found.difference.high - found.difference.low < apart
    assert found == compare(task, actual, ours, theirs, SAMPLING)
    turned = difference(task, actual, theirs, ours, SAMPLING)
    assert turned.value == -found.difference.value
    assert turned.high < 0
