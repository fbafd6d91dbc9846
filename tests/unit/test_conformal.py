"""What is promised of answers and of sets of labels is kept, as often as it was promised."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import beta

from bessemer.core.errors import ProjectError
from bessemer.core.project import Labels, Serve
from bessemer.evaluate.calibration import calibration_report
from bessemer.evaluate.examined import Examined
from bessemer.measures import conformal, selective
from bessemer.measures.calibration import Floats, probabilities, sigmoid
from bessemer.measures.intervals import Sampling
from bessemer.tasks.base import SET, Answers, Calibration, Encoded, Logits, coverages
from bessemer.tasks.text_classification import TextClassification

Classified = tuple[Floats, NDArray[np.int64]]


def classified(draws: np.random.Generator, count: int, sharper: float = 1.0) -> Classified:
    """Return chances of 5 classes that are true for `sharper` 1, else too sure or too shy."""
    logits = draws.normal(size=(count, 5)) * 2
    chances = probabilities(logits)
    actual = (draws.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return probabilities(logits, 1 / sharper), np.minimum(actual, 4)


# Sets of labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sharper", [1.0, 3.0], ids=["true chances", "too sure"])
@pytest.mark.parametrize("coverage", conformal.COVERAGES)
def test_sets_hold_the_right_label_as_often_as_promised(coverage: float, sharper: float) -> None:
    draws, count = np.random.default_rng(0), 120
    texts = np.arange(400)
    held = []
    for _ in range(200):
        found = conformal.threshold(*classified(draws, count, sharper), coverage)
        assert found is not None
        chances, actual = classified(draws, len(texts), sharper)
        held.append(conformal.members(chances, found)[texts, actual].mean())
    # Over calibrations and texts it is from the promise to 1 / (n + 1) above; ± 4 standard errors.
    spread = 4 * float(np.std(held)) / len(held) ** 0.5
    assert coverage - spread <= np.mean(held) <= coverage + 1 / (count + 1) + spread


def test_the_threshold_is_the_published_quantile() -> None:
    right = np.arange(1, 20) / 20  # 19 examples: the ⌈20 × 0.9⌉ = 18th highest of the right ones
    chances = np.stack([right, 1 - right], axis=1)
    assert conformal.threshold(chances, np.zeros(19, dtype=int), 0.9) == right[1]
    assert conformal.threshold(chances, np.zeros(19, dtype=int), 0.95) == right[0]


@pytest.mark.parametrize(("coverage", "least"), [(0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_a_level_needs_examples_enough(coverage: float, least: int) -> None:
    chances, actual = classified(np.random.default_rng(1), least)
    assert conformal.threshold(chances, actual, coverage) is not None
    assert conformal.threshold(chances[1:], actual[1:], coverage) is None
    assert conformal.threshold(chances[:0], actual[:0], coverage) is None


def test_sets_may_be_empty_and_grow_with_what_is_promised() -> None:
    draws = np.random.default_rng(2)
    found = [conformal.threshold(*classified(draws, 300), level) for level in conformal.COVERAGES]
    assert found == sorted(found, reverse=True)
    inside = conformal.members(np.array([[0.3, 0.3, 0.2, 0.2]]), 0.3)
    assert inside.tolist() == [[True, True, False, False]]
    assert not conformal.members(np.array([[0.3, 0.3, 0.2, 0.2]]), 0.31).any()


# Answering only where it is sure -----------------------------------------------------------------


def judged(draws: np.random.Generator, count: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return scores from 0 to 1, and answers that are right with a chance of 0.7 to 1."""
    score = draws.random(count)
    return score, draws.random(count) < 0.7 + 0.3 * score


@pytest.mark.parametrize("precision", [0.75, 0.8, 0.9])
def test_a_precision_is_reached_as_often_as_promised(precision: float) -> None:
    draws, missed, told = np.random.default_rng(3), 0, []
    for _ in range(200):
        found = selective.threshold(*judged(draws, 1000), precision, 0.9)
        if found is not None:
            told.append(found)
            missed += 0.7 + 0.3 * (1 + found) / 2 < precision  # what is true above the threshold
    # It may be missed once in ten; ± 3 standard errors.
    assert missed / 200 <= 0.1 + 3 * (0.1 * 0.9 / 200) ** 0.5
    # Nor does it refuse all: the threshold of that precision would be at 2 (p - 0.7) / 0.3 - 1.
    assert len(told) > 0.8 * 200
    assert np.mean(told) < max(0.0, 2 * (precision - 0.7) / 0.3 - 1) + 0.3


def test_scores_that_say_nothing_promise_nothing() -> None:
    """Where sure answers are as often right as others, many looks must not find a lucky one."""
    draws, found = np.random.default_rng(4), 0
    for _ in range(200):
        right = draws.random(500) < 0.9
        found += selective.threshold(draws.random(500), right, 0.9) is not None
    assert found / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_the_threshold_is_clopper_and_pearsons() -> None:
    score, right = np.arange(200.0)[::-1], np.arange(200) < 150
    found = selective.threshold(score, right, 0.9)
    answered = int((score >= found).sum())

    def low(hits: int, count: int) -> float:
        return float(beta.ppf(0.05, hits, count - hits + 1))

    assert low(150, answered) >= 0.9 > low(150, answered + 1)


def test_what_cannot_be_promised() -> None:
    right = np.ones(28, dtype=bool)
    score = np.linspace(0.5, 0.9, 28)
    assert selective.threshold(score, right, 0.9) is None  # 0.9 ** 28 is more than 0.05
    assert selective.threshold(np.append(score, 0.4), np.append(right, True), 0.9) == 0.4
    assert selective.threshold(score[:0], right[:0], 0.9) is None
    best = selective.reachable(score, right, 0.9)
    assert best == 0.895
    assert selective.threshold(score, right, best) is not None
    assert selective.reachable(score[:0], right[:0], 0.9) is None


def test_equal_scores_are_answered_together() -> None:
    score = np.array([0.9] * 100 + [0.5] * 60)
    right = np.array([True] * 140 + [False] * 20)
    assert selective.threshold(score, right, 0.9) == 0.9
    assert [point.coverage for point in selective.curve(score, right)] == [1.0, 0.625]


def test_a_curve_tells_what_each_threshold_costs() -> None:
    score, right = judged(np.random.default_rng(5), 1000)
    points = selective.curve(score, right)
    assert len(points) == selective.MOST_POINTS
    assert points[0].coverage == 1.0
    assert points[0].risk == pytest.approx(1 - right.mean())
    for point in points:
        answered = score >= point.threshold
        assert point.coverage == answered.mean()
        assert point.risk == pytest.approx(1 - right[answered].mean())
    assert [point.threshold for point in points] == sorted(point.threshold for point in points)
    assert len(selective.curve(score[:3], right[:3])) == 3


# What a task makes of it -------------------------------------------------------------------------

LABELS = ("a", "b", "c", "d", "e")


def split(seed: int, count: int, *, outside: int = 0) -> tuple[list[Logits], list[Answers]]:
    """Return logits and labels of texts, of which some fit no label and are answered shyly."""
    draws = np.random.default_rng(seed)
    logits = draws.normal(size=(count, 5)) * 4
    actual = (draws.random((count, 1)) > probabilities(logits).cumsum(axis=1)).sum(axis=1)
    answers = [frozenset([LABELS[min(n, 4)]]) for n in actual]
    answers += [frozenset(["none"])] * outside
    rows = np.concatenate([logits, draws.normal(size=(outside, 5)) * 0.3])
    return list(3 * rows.astype(np.float32)), answers


def encoded(count: int) -> Encoded:
    return Encoded(["x"] * count, [np.array([1])] * count)


def examined(
    task: TextClassification, calibration: Calibration, seed: int, **more: int
) -> Examined:
    logits, answers = split(seed, 1000, **more)
    count, sampling = len(answers), Sampling(0.95, 50, 0)
    return Examined(
        task, answers, encoded(count), logits, calibration, sampling, list(range(count)), {}
    )


def test_what_fits_no_label_changes_no_set() -> None:
    task = TextClassification(Labels(out_of_scope="none"), LABELS)
    logits, answers = split(6, 500)
    alone = task.calibrate(encoded(500), logits, answers, None)
    mixed = task.calibrate(encoded(700), *split(6, 500, outside=200), None)
    # The draws of the texts inside are the same ones.
    assert {name: mixed[name] for name in mixed if name.startswith(SET)} == {
        name: alone[name] for name in alone if name.startswith(SET)
    }
    assert coverages(alone) == list(conformal.COVERAGES)
    few = task.calibrate(encoded(12), logits[:12], answers[:12], None)
    assert coverages(few) == [0.8, 0.9]


def test_a_set_may_be_empty_and_is_told_surest_first() -> None:
    task = TextClassification(Labels(), LABELS)
    rows = np.log(np.array([[0.1, 0.2, 0.4, 0.25, 0.05], [0.2] * 5])).astype(np.float32)
    calibration = {"temperature": 1.0, "set_0.9": 0.21, "threshold": 5.0}
    told = task.decode(encoded(2), list(rows), calibration, None, 0.9)
    assert [[one["label"] for one in row] for row in told] == [["c", "d"], []]
    assert told[0][0]["score"] == pytest.approx(0.4)


def test_answers_are_right_as_often_as_the_project_wants() -> None:
    task = TextClassification(Labels(), LABELS)
    logits, answers = split(7, 600)
    calibration = task.calibrate(encoded(600), logits, answers, None, 0.9)
    found = examined(task, calibration, 8)
    given = np.array([task.nothing not in one for one in found.answered])
    assert found.right[given].mean() >= 0.9 > found.right.mean() + 0.05
    assert 0.4 < given.mean() < 0.9
    with pytest.raises(ProjectError, match=r"0\.999.*can be promised") as caught:
        task.calibrate(encoded(600), logits, answers, None, 0.999)
    best = float(str(caught.value).split("Write ")[1].split(",")[0])
    assert "threshold" in task.calibrate(encoded(600), logits, answers, None, best)
    with pytest.raises(ProjectError, match="larger validation split"):
        task.calibrate(encoded(2), logits[:2], answers[:2], None, 0.9)


@pytest.mark.parametrize("scope", [None, "none"])
def test_the_report_says_how_far_scores_can_be_believed(scope: str | None) -> None:
    """The logits are three times as large as is true, which the temperature finds out."""
    task = TextClassification(Labels(out_of_scope=scope), LABELS)
    calibration = task.calibrate(encoded(600), *split(9, 600), None)
    outside = 300 if scope else 0
    found = examined(task, calibration, 10, outside=outside)
    told = calibration_report(found, examined(task, calibration, 11))
    assert told is not None
    assert told.temperature == pytest.approx(3, rel=0.15)
    assert told.after.value < told.before.value * (0.8 if scope else 0.5)
    assert told.before.low > 0.1
    assert [one.confidence for one in told.bins] == sorted(one.confidence for one in told.bins)
    assert sum(one.right.count for one in told.bins) == len(found)
    given = np.array([task.nothing not in one for one in found.answered])
    assert told.curve[0].coverage == pytest.approx(given.mean())
    assert told.curve[0].risk == pytest.approx(1 - found.right[given].mean())
    for one in told.sets:
        assert one.coverage.count == 1000
        assert one.coverage.low - 0.03 <= one.wanted <= one.coverage.high + 0.03
    for chosen in told.selective:
        if chosen.threshold is not None:
            kept = given & (found.score >= chosen.threshold)
            assert chosen.coverage.value == kept.mean()
            assert chosen.reached.value == found.right[kept].mean()
    assert any(chosen.threshold is not None for chosen in told.selective)
    assert calibration_report(found, None).selective == ()


def test_of_several_labels_each_one_told_is_believed_or_not() -> None:
    task = TextClassification(Labels(separator="|"), LABELS)
    draws = np.random.default_rng(12)
    logits = draws.normal(size=(800, 5)) * 2
    actual = draws.random(logits.shape) < sigmoid(logits)
    answers = [frozenset(np.array(LABELS)[row].tolist()) for row in actual]
    rows = list((logits * 3).astype(np.float32))
    calibration = task.calibrate(encoded(800), rows, answers, None)
    assert coverages(calibration) == []
    found = Examined(
        task, answers, encoded(800), rows, calibration, Sampling(0.95, 50, 0), list(range(800)), {}
    )
    told = calibration_report(found, found)
    assert told is not None
    assert told.before.value > 2 * told.after.value
    assert sum(one.right.count for one in told.bins) >= len(found)
    assert told.curve[0].coverage == 1.0
    assert (told.selective, told.sets) == ((), ())
    silent = Examined(
        task, answers[:1], encoded(1), [rows[0] - 99], calibration, found.sampling, [0], {}
    )
    assert calibration_report(silent, None) is None


def test_a_project_wants_one_or_the_other() -> None:
    assert Serve(precision=0.95).precision == 0.95
    with pytest.raises(ValidationError, match="exclude each other"):
        Serve(precision=0.95, refuse=0.01)
    for odd in (0.4, 1.0):
        with pytest.raises(ValidationError):
            Serve(precision=odd)
