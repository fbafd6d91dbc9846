"""The gate: the end of the interval decides, and what was not measured never passes."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from bessemer.core.errors import ProjectError
from bessemer.core.evaluation import Evaluate
from bessemer.core.project import Labels
from bessemer.core.report import (
    NOT_GIVEN,
    Behaviour,
    ClassReport,
    Fairness,
    Gap,
    Group,
    Measurement,
    Perturbed,
    Report,
    Slice,
    cell_name,
)
from bessemer.core.verdict import Verdict
from bessemer.evaluate.comparison import difference
from bessemer.measures.intervals import Sampling, exact
from bessemer.release import gates
from bessemer.release.conditions import asked, needs_memory, parse
from bessemer.release.gates import Rival
from bessemer.tasks.text_classification import TextClassification

METRICS = ["accuracy", "calibration_error", "macro_f1"]


def measured(value: float, low: float, high: float, name: str = "accuracy") -> Measurement:
    return Measurement(name=name, value=value, low=low, high=high, count=100, interval="wilson")


def judge(condition: dict, found: Report, rival: Rival | None) -> Verdict:
    return gates.judge([parse(condition, METRICS, "gate: ")], found, rival)


GOOD, POOR = measured(0.9, 0.8, 0.95), measured(0.6, 0.5, 0.7)
DROP = measured(-0.1, -0.2, -0.05)


def report(low: float, value: float, high: float, **parts: Any) -> Report:
    metrics = {name: measured(value, low, high, name) for name in METRICS[:2]}
    return Report(
        split="test", confidence=0.95, engine="onnx-int8", headline="accuracy", metrics=metrics,
        classes=(), confusions=(), **parts,
    )  # fmt: skip


def whole() -> Report:
    """Return a report with a part of every kind."""
    typos = Perturbed(
        name="typos", keeps=True, texts=90, metric=GOOD, difference=DROP, changed=POOR
    )
    swapped = typos.model_copy(update={"name": "gender", "changed": measured(0.02, 0.01, 0.04)})
    groups = (
        Group(where={"gender": "f"}, count=50, metrics={"accuracy": GOOD}),
        Group(where={"gender": "m"}, count=50, metrics={"accuracy": POOR}),
        Group(where={"gender": NOT_GIVEN}, count=3, metrics={}),
    )
    gap = Gap(name="accuracy", measurement=measured(0.3, 0.1, 0.45), between=("m", "f"))
    some = (Group(where={"age": "old"}, count=4, metrics={}), *groups)
    some_rows = POOR.model_copy(update={"count": 40})
    web = Slice(
        name="channel = web", kind="column", column="channel", value="web", metric=some_rows,
        difference=None, p=0.01, weak=True,
    )  # fmt: skip
    vip = web.model_copy(update={"column": "vip", "value": cell_name(True), "weak": False})
    floor = web.model_copy(update={"column": "floor", "value": cell_name(1.0), "weak": False})
    cells = {"rate": "1.0", "flag": "True", "day": "2026-01-02"}
    spelt = (floor.model_copy(update={"column": c, "value": v}) for c, v in cells.items())
    return report(
        0.8, 0.9, 0.95,
        slices=(web, vip, floor, *spelt),
        robustness=(typos,),
        counterfactual=(swapped,),
        behaviour=(
            Behaviour(name="polite", must="keep", passed=exact("passed", 1.0, 4)),
            Behaviour(name="lost", must="change", passed=exact("passed", 0.5, 4)),
        ),
        fairness=(
            Fairness(across=("gender",), groups=groups, gaps=(gap,)),
            Fairness(across=("gender", "age"), groups=some, gaps=(gap,)),
        ),
        costs={"size_mb": exact("size_mb", 90.5), "latency_ms": measured(8.0, 7.0, 9.0)},
    ).model_copy(
        update={"classes": (ClassReport(label="a", support=9, precision=None, recall=GOOD),)}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "states"),
    [
        ({"recall": {"at_least": 0.7, "label": "a"}}, ["passed"]),
        ({"precision": {"at_least": 0.7, "label": "a"}}, ["not measured"]),
        ({"recall": {"at_least": 0.7, "label": "z"}}, ["not measured"]),
        ({"accuracy": {"at_least": 0.5, "within": {"channel": "web"}}}, ["passed"]),
        ({"accuracy": {"at_least": 0.5, "within": {"vip": True}}}, ["passed"]),
        ({"accuracy": {"at_least": 0.5, "within": {"floor": 1}}}, ["passed"]),
        # A CSV file holds what somebody wrote there.
        ({"accuracy": {"at_least": 0.5, "within": {"rate": 1}}}, ["passed"]),
        ({"accuracy": {"at_least": 0.5, "within": {"rate": "1"}}}, ["not measured"]),
        ({"accuracy": {"at_least": 0.5, "within": {"flag": True}}}, ["passed"]),
        ({"accuracy": {"at_least": 0.5, "within": {"day": date(2026, 1, 2)}}}, ["passed"]),
        ({"accuracy": {"at_least": 0.6, "within": {"channel": "web"}}}, ["failed"]),
        ({"accuracy": {"at_least": 0.1, "within": {"channel": "app"}}}, ["not measured"]),
        ({"accuracy": {"at_least": 0.6, "across": "gender"}}, ["passed", "failed"]),
        ({"accuracy": {"gap_at_most": 0.5, "across": "gender"}}, ["passed"]),
        ({"accuracy": {"gap_at_most": 0.4, "across": ["gender"]}}, ["failed"]),
        # Whoever has too few rows is not told to be treated alike.
        ({"accuracy": {"gap_at_most": 0.5, "across": ["age", "gender"]}}, ["not measured"]),
        ({"equalised_odds": {"gap_at_most": 0.5, "across": "gender"}}, ["not measured"]),
        ({"accuracy": {"gap_at_most": 0.5, "across": "age"}}, ["not measured"]),
        ({"accuracy": {"drop_at_most": 0.2, "under": "typos"}}, ["passed"]),
        ({"accuracy": {"drop_at_most": 0.15, "under": "typos"}}, ["failed"]),
        ({"accuracy": {"at_least": 0.8, "under": "typos"}}, ["passed"]),
        ({"accuracy": {"at_least": 0.1, "under": "case"}}, ["not measured"]),
        ({"counterfactual": {"at_most": 0.04, "under": "gender"}}, ["passed"]),
        ({"counterfactual": {"at_most": 0.03, "under": "gender"}}, ["failed"]),
        ({"counterfactual": {"at_most": 1, "under": "age"}}, ["not measured"]),
        ({"behaviour": {"at_least": 1}}, ["passed", "failed"]),
        ({"behaviour": {"at_least": 1, "under": "polite"}}, ["passed"]),
        ({"behaviour": {"at_least": 0, "under": "rude"}}, ["not measured"]),
        ({"weak_slices": {"at_most": 0}}, ["failed"]),
        ({"weak_slices": {"at_most": 1}}, ["passed"]),
        ({"size_mb": {"at_most": 100}}, ["passed"]),
        ({"latency_ms": {"at_most": 8.5}}, ["failed"]),
        ({"memory_mb": {"at_most": 1e6}}, ["not measured"]),
        ({"macro_f1": {"at_least": 0}}, ["not measured"]),
    ],
)
def test_every_kind_of_condition(condition: dict, states: list[str]) -> None:
    verdict = judge(condition, whole(), None)
    assert [outcome.state for outcome in verdict.outcomes] == states
    assert verdict.passed is (set(states) == {"passed"})
    assert judge(condition, whole(), None) == verdict


def test_what_nobody_looked_at_does_not_pass() -> None:
    bare = report(0.8, 0.9, 0.95)
    every = whole().slices[0].model_copy(update={"metric": POOR, "weak": False})
    alone = bare.model_copy(update={"slices": (every,)})
    unsliced = whole().model_copy(update={"unsliced": ("region",)})
    for found in (alone, unsliced):
        verdict = judge({"weak_slices": {"at_most": 9}}, found, None)
        assert verdict.outcomes[0].state == "not measured"
    assert judge({"weak_slices": {"at_most": 0}}, bare, None).outcomes[0].state == "not measured"
    nobody = Fairness(
        across=("gender",),
        groups=(Group(where={"gender": NOT_GIVEN}, count=90, metrics={}),),
        gaps=(Gap(name="accuracy", measurement=None, because="no two groups"),),
    )
    nameless = bare.model_copy(update={"fairness": (nobody,)})
    for bound in ({"at_least": 0.1}, {"gap_at_most": 1.0}):
        verdict = judge({"accuracy": {**bound, "across": "gender"}}, nameless, None)
        assert [outcome.state for outcome in verdict.outcomes] == ["not measured"]
    none = Behaviour(name="cities", must="keep", passed=exact("passed", 0.0, 0))
    cases = bare.model_copy(update={"behaviour": (none,)})
    assert judge({"behaviour": {"at_least": 0}}, cases, None).outcomes[0].state == "not measured"
    [fair] = [one for one in whole().fairness if one.across == ("gender",)]
    gap = fair.gaps[0].model_copy(update={"name": "equal_opportunity", "because": "left out: 1"})
    third = bare.model_copy(update={"fairness": (fair.model_copy(update={"gaps": (gap,)}),)})
    condition = {"equal_opportunity": {"gap_at_most": 1.0, "across": "gender"}}
    assert not judge(condition, third, None).passed
    # Nor do labels that were left out, where every label counts.
    gap = gap.model_copy(update={"label": "a", "because": "labels left out: 149"})
    fourth = bare.model_copy(update={"fairness": (fair.model_copy(update={"gaps": (gap,)}),)})
    [outcome] = judge(condition, fourth, None).outcomes
    assert outcome.state == "not measured"
    assert "149: name those that matter in evaluate.favourable" in outcome.because


def test_better_than_live_wants_the_whole_interval() -> None:
    for low, passed in ((0.001, True), (0.0, False), (-0.001, False)):
        rival = Rival("small@1", measured(0.02, low, 0.04, "accuracy_difference"))
        assert judge({"better_than": "live"}, whole(), rival).passed is passed
    much = {"better_than": {"than": "live", "margin": 0.01}}
    assert not judge(much, whole(), Rival("small@1", measured(0.02, 0.01, 0.04))).passed
    assert judge(much, whole(), None).outcomes[0].because == "nothing is live yet"


def test_the_gate_has_measured_what_it_asks_for() -> None:
    gate = [
        {"accuracy": {"at_least": 0.5, "within": {"channel": "web"}}},
        {"accuracy": {"gap_at_most": 0.5, "across": ["gender", "age"]}},
        {"accuracy": {"drop_at_most": 0.5, "under": "typos"}},
        {"accuracy": {"drop_at_most": 0.5, "under": "names"}},
        {"counterfactual": {"at_most": 0.5, "under": "gender"}},
        {"behaviour": {"at_least": 1, "under": "polite"}},
        {"memory_mb": {"at_most": 900}},
    ]
    conditions = [parse(one, METRICS, "") for one in gate]
    found = asked(Evaluate(slices=("region",)), conditions, ("gender", "names"))
    assert found.slices == ("region", "channel")
    assert found.protected == ("gender", "age")
    assert found.robustness == ("typos",)
    assert found.counterfactual == ("names", "gender")
    assert needs_memory(conditions)
    assert not needs_memory(conditions[:-1])
    assert asked(Evaluate(robustness="all"), conditions, ()).robustness[0] == "all"


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
    assert judge(condition, report(0.8, 0.9, 0.95), None).passed is passed


def test_it_is_told_how_many_rows_would_do() -> None:
    for condition, told in (
        ({"accuracy": {"at_least": 0.85}}, "100 test rows are too few to be sure; about 400 would"),
        ({"calibration_error": {"at_most": 0.92}}, "; about 620 would do"),
        ({"accuracy": {"at_least": 0.95}}, None),
        ({"not_worse_than": {"than": "live", "margin": 0.05}}, "; about 1,600 would do"),
    ):
        rival = Rival("small@1", measured(0.0, -0.2, 0.2, "accuracy_difference"))
        [outcome] = judge(condition, report(0.8, 0.9, 0.95), rival).outcomes
        assert outcome.state == "failed"
        assert ("too few" in outcome.because) is (told is not None)
        assert (told or "") in outcome.because


def test_nothing_live_passes_and_says_so() -> None:
    verdict = judge({"not_worse_than": "live"}, report(0.8, 0.9, 0.95), None)
    assert verdict.passed
    assert verdict.outcomes[0].because == "nothing is live yet"


def test_a_rival_that_cannot_be_measured_never_passes() -> None:
    rival = Rival("small@1", None, "its bundle is gone")
    verdict = judge({"not_worse_than": "live"}, report(0.8, 0.9, 0.95), rival)
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
    found = difference(task, actual, *sides, Sampling(0.95, 200, 0))
    assert found.name == "accuracy_difference"
    assert found.value == pytest.approx(gain)
    condition = {"not_worse_than": {"than": "live", "margin": 0.05}}
    verdict = judge(condition, report(0.8, 0.9, 0.95), Rival("small@1", found))
    assert verdict.passed is passed


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"acuracy": {"at_least": 0.9}}, "Did you mean 'accuracy'"),
        ({"accuracy": {}}, "needs at_least or at_most"),
        ({"accuracy": {"at_lest": 0.9}}, "'at_lest' is not known.*Did you mean 'at_least'"),
        ({"accuracy": 0.9}, "accuracy is 0.9, which is no bound"),
        ({"better_than": {"margn": 0.1}}, "Did you mean 'margin'"),
        ({"accuracy": {"at_least": "high"}}, "at_least is 'high'"),
        ({"accuracy": {"at_least": 1}, "macro_f1": {"at_least": 1}}, "no condition"),
        ({"accuracy": {"at_least": 90}}, "less than or equal to 1"),
        ({"not_worse_than": "yesterday"}, "yesterday"),
        ({"accuracy": {"gap_at_most": 0.1}}, "needs across"),
        ({"accuracy": {"drop_at_most": 0.1}}, "needs under"),
        ({"accuracy": {"at_least": 0.5, "gap_at_most": 0.1, "across": "g"}}, "exclude each other"),
        ({"accuracy": {"at_least": 0.5, "under": "typos", "across": "g"}}, "exclude each other"),
        ({"calibration_error": {"at_most": 0.5, "across": "g"}}, "takes no across"),
        ({"counterfactual": {"at_most": 0.5}}, "needs under"),
        ({"recall": {"at_least": 0.5}}, "needs label"),
        # `no` and `yes` of YAML are no bounds of 0 and 1.
        ({"accuracy": {"at_least": False}}, "at_least is False"),
        ({"calibration_error": {"at_most": True}}, "at_most is True"),
        ({"accuracy": {"at_least": 0.9, "at_most": 0.5}}, "nothing is at_least that"),
        ({"accuracy": {"at_least": 0.9, "across": []}}, "across is"),
        ({"accuracy": {"at_least": 0.9, "under": ""}}, "under is ''"),
        ({"not_worse_than": {"than": "live", "margin": True}}, "margin is True"),
        ({"demographic_parity": {"at_most": 0.5, "across": "g"}}, "takes no at_most"),
        ({"size_mb": {"at_least": 5}}, "takes no at_least"),
        ({"accuracy": {"at_least": 0.5, "within": {"a": "b", "c": "d"}}}, "one column"),
    ],
)
def test_what_is_no_condition_is_refused(condition: dict, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        parse(condition, METRICS, "gate: ")
