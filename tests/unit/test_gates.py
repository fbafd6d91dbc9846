"""The gate: the end of the interval decides, and what was not measured never passes."""

from __future__ import annotations

import numpy as np
import pytest

from bessemer.core.errors import ProjectError
from bessemer.core.project import Evaluate, Labels
from bessemer.core.report import Measurement, Report
from bessemer.evaluate.report import difference
from bessemer.release.gates import Rival, judge, parse
from bessemer.tasks.text_classification import TextClassification

METRICS = ["accuracy", "calibration_error"]


def report(low: float, value: float, high: float) -> Report:
    measured = {
        name: Measurement(name=name, value=value, low=low, high=high, count=100, interval="wilson")
        for name in METRICS
    }
    return Report(
        split="test", confidence=0.95, engine="onnx-int8", headline="accuracy", metrics=measured,
        classes=(), confusions=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "passed"),
    [
        ({"accuracy": {"at_least": 0.8}}, True),
        ({"accuracy": {"at_least": 0.85}}, False),
        ({"calibration_error": {"at_most": 0.95}}, True),
        ({"calibration_error": {"at_most": 0.92}}, False),
        ({"accuracy": {"at_least": 0.5, "at_most": 0.91}}, False),
    ],
)
def test_the_unlucky_end_decides(condition: dict, passed: bool) -> None:
    assert judge([condition], report(0.8, 0.9, 0.95), None).passed is passed


def test_nothing_live_passes_and_says_so() -> None:
    verdict = judge([{"not_worse_than": "live"}], report(0.8, 0.9, 0.95), None)
    assert verdict.passed
    assert verdict.outcomes[0].because == "nothing is live yet"


def test_a_rival_that_cannot_be_measured_never_passes() -> None:
    rival = Rival("small@1", None, "its bundle is gone")
    verdict = judge([{"not_worse_than": "live"}], report(0.8, 0.9, 0.95), rival)
    assert not verdict.passed
    assert verdict.outcomes[0].state == "not measured"


@pytest.mark.parametrize(("gain", "passed"), [(0.0, True), (-0.1, False)])
def test_against_a_rival(gain: float, passed: bool) -> None:
    rows = np.arange(1000)
    ours, theirs = rows % 10 != 0, rows % 10 != 1
    if gain:
        ours = ours & (rows % 10 != 2)
    sides = [[frozenset(["a" if right else "b"]) for right in side] for side in (ours, theirs)]
    actual = [frozenset(["a"])] * 1000
    task = TextClassification(Labels(), ("a", "b"))
    measured = difference(task, actual, *sides, Evaluate(resamples=200), 0)
    assert measured.name == "accuracy_difference"
    assert measured.value == pytest.approx(gain)
    condition = {"not_worse_than": {"than": "live", "margin": 0.05}}
    verdict = judge([condition], report(0.8, 0.9, 0.95), Rival("small@1", measured))
    assert verdict.passed is passed


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"acuracy": {"at_least": 0.9}}, "Did you mean 'accuracy'"),
        ({"accuracy": {}}, "needs at_least or at_most"),
        ({"accuracy": {"at_lest": 0.9}}, "at_lest"),
        ({"accuracy": {"at_least": "high"}}, "high"),
        ({"accuracy": {"at_least": 1}, "macro_f1": {"at_least": 1}}, "no condition"),
        ({"accuracy": {"at_least": 90}}, "less than or equal to 1"),
        ({"not_worse_than": "yesterday"}, "yesterday"),
    ],
)
def test_what_is_no_condition_is_refused(condition: dict, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        parse(condition, METRICS)
