"""Gaps between groups: against fairlearn, with too few rows, of every kind of task."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from sklearn.metrics import accuracy_score

from bessemer.core.errors import ProjectError, UnknownNameError
from bessemer.core.project import Labels
from bessemer.core.report import Fairness, Gap
from bessemer.evaluate.examined import Examined
from bessemer.evaluate.fairness import NOT_GIVEN, fairness
from bessemer.measures.fairness import Groups, max_gap, of_measurements, simultaneous
from bessemer.measures.intervals import Sampling, difference, wilson
from bessemer.tasks.base import Encoded, Task
from bessemer.tasks.text_classification import TextClassification
from bessemer.tasks.token_classification import TokenClassification

#: Names of the three criteria.
CRITERIA = ("demographic_parity", "equal_opportunity", "equalised_odds")


def examined(
    actual: list[str], answered: list[str], columns: dict[str, list[Any]], clusters: Any = None
) -> Examined:
    """Return a split of which each text has one label."""
    labels = sorted({*actual, *answered})
    logits = np.full((len(actual), len(labels)), -3.0, dtype=np.float32)
    logits[np.arange(len(actual)), [labels.index(label) for label in answered]] = 3.0
    task = TextClassification(Labels(), labels)
    return split(task, [frozenset([label]) for label in actual], list(logits), columns, clusters)


def split(
    task: Task, actual: list[Any], logits: list[Any], columns: dict[str, Any], clusters: Any = None
) -> Examined:
    count = len(actual)
    sampling = Sampling(0.95, 200, 0, clusters)
    encoded = Encoded(["a text"] * count, [])
    calibration = {"temperature": 1.0, "threshold": 0.5} if task.link == "sigmoid" else {}
    return Examined(
        task, actual, encoded, logits, calibration or {"temperature": 1.0}, sampling,
        list(range(count)), columns,
    )  # fmt: skip


def drawn(seed: int, groups: int, labels: tuple[str, ...], size: int = 600) -> dict[str, list[str]]:
    draw = np.random.default_rng(seed)
    group = draw.integers(0, groups, size)
    actual = draw.integers(0, len(labels), size)
    wrong = draw.random(size) < np.linspace(0.1, 0.4, groups)[group]
    answered = np.where(wrong, draw.integers(0, len(labels), size), actual)
    return {
        "group": [f"g{number}" for number in group],
        "actual": [labels[number] for number in actual],
        "answered": [labels[number] for number in answered],
    }


def gaps(found: Fairness) -> dict[str, Gap]:
    return {gap.name: gap for gap in found.gaps}


@pytest.mark.parametrize(("seed", "groups"), [(0, 2), (2, 6)])
def test_gaps_are_fairlearns(seed: int, groups: int) -> None:
    rows = drawn(seed, groups, ("granted", "refused", "asked"))
    split = examined(rows["actual"], rows["answered"], {"group": rows["group"]})
    [found] = fairness(split, ["group"], ["granted", "asked"], 5)
    yes = [np.isin(rows[side], ["granted", "asked"]) for side in ("actual", "answered")]
    table = {"y_true": yes[0], "y_pred": yes[1], "sensitive_features": rows["group"]}
    right = MetricFrame(
        metrics=accuracy_score, y_true=rows["actual"], y_pred=rows["answered"],
        sensitive_features=rows["group"],
    )  # fmt: skip
    wanted = {
        "accuracy": right.difference(),
        "demographic_parity": demographic_parity_difference(**table),
        "equal_opportunity": equal_opportunity_difference(**table),
        "equalised_odds": equalized_odds_difference(**table, agg="worst_case"),
    }
    values = {name: gap.measurement.value for name, gap in gaps(found).items() if gap.measurement}
    assert values == pytest.approx(wanted, abs=1e-9)
    for group in found.groups:
        assert group.metrics["accuracy"].value == right.by_group[group.where["group"]]


def test_one_label_after_another_is_the_worst_of_fairlearns() -> None:
    labels = ("a", "b", "c", "d")
    rows = drawn(3, 3, labels)
    [found] = fairness(
        examined(rows["actual"], rows["answered"], {"group": rows["group"]}), ["group"], [], 5
    )
    theirs = {
        label: demographic_parity_difference(
            np.equal(rows["actual"], label), np.equal(rows["answered"], label),
            sensitive_features=rows["group"],
        )
        for label in labels
    }  # fmt: skip
    gap = gaps(found)["demographic_parity"]
    assert gap.measurement is not None
    assert gap.measurement.value == pytest.approx(max(theirs.values()), abs=1e-9)
    assert gap.label == max(theirs, key=lambda label: theirs[label])
    assert gap.because == ""


def test_a_small_group_is_told_and_not_measured() -> None:
    columns = {"group": ["f"] * 40 + ["m"] * 60 + ["x"] * 9 + [None] * 20 + [""] * 20}
    actual = ["yes", "no"] * 74 + ["yes"]
    answered = ["yes"] * 30 + actual[30:]
    [found] = fairness(examined(actual, answered, columns), ["group"], ["yes"], 30)
    told = {group.where["group"]: group for group in found.groups}
    assert [(name, group.count) for name, group in told.items()] == [
        ("f", 40), ("m", 60), ("x", 9), (NOT_GIVEN, 40),
    ]  # fmt: skip
    assert told["x"].metrics == {}
    assert set(told[NOT_GIVEN].metrics) == {"accuracy", "selection_rate"}
    parity, opportunity = (gaps(found)[name] for name in CRITERIA[:2])
    assert parity.between == ("m", "f")
    assert parity.because == "groups of fewer than 30 examples left out: 1"
    # 20 of f's rows and 30 of m's are positive.
    assert opportunity.measurement is None
    assert opportunity.because == "fewer than two groups have 30 rows that it is a share of"


def test_a_group_that_only_other_splits_have_is_one_without_rows() -> None:
    actual = ["yes", "no"] * 40
    found = examined(actual, actual, {"group": ["f", "f", "m", "m"] * 20})
    found = replace(found, elsewhere={"group": ["x", "f", None]})
    [told] = fairness(found, ["group"], ["yes"], 10)
    assert [(g.where["group"], g.count, bool(g.metrics)) for g in told.groups] == [
        ("f", 40, True), ("m", 40, True), ("x", 0, False), (NOT_GIVEN, 0, False),
    ]  # fmt: skip
    assert gaps(told)["demographic_parity"].because == (
        "groups of fewer than 10 examples left out: 1"
    )


def test_groups_whose_names_look_alike_are_two() -> None:
    task = TextClassification(Labels(separator="|"), ("a", "b"))
    right, wrong = np.array([3.0, -3.0]), np.array([-3.0, 3.0])
    columns = {"one": ["x, y"] * 40 + ["x"] * 40, "other": ["z"] * 40 + ["y, z"] * 40}
    found = split(task, [frozenset("a")] * 80, [right] * 40 + [wrong] * 40, columns)
    both = fairness(found, ["one", "other"], [], 10)[-1]
    gap = both.gaps[0].measurement
    assert gap is not None
    assert gap.value == 1
    with pytest.raises(ProjectError, match=r"holds '\(not given\)', which is what"):
        fairness(replace(found, columns={"one": [NOT_GIVEN] * 80}), ["one"], [], 10)


def test_labels_that_cannot_be_measured_are_counted() -> None:
    labels = ["a", "b"] * 80 + ["rare"] * 4
    columns = {"group": ["f", "f", "m", "m"] * 40 + ["f", "m"] * 2}
    [found] = fairness(examined(labels, labels[::-1], columns), ["group"], [], 10)
    assert gaps(found)["demographic_parity"].because == ""
    assert gaps(found)["equalised_odds"].because == (
        "labels that fewer than two groups have 10 examples of, left out: 1"
    )


def test_columns_are_looked_at_together_as_well() -> None:
    rows = drawn(4, 2, ("a", "b"))
    ages = [n % 3 for n in range(600)]
    columns = {"group": rows["group"], "age": [*ages[:-1], None]}
    found = fairness(
        examined(rows["actual"], rows["answered"], columns), ["group", "age"], ["a"], 20
    )
    assert [part.across for part in found] == [("group",), ("age",), ("group", "age")]
    both = found[2]
    assert len(both.groups) == 7  # and one of the row without an age
    assert both.groups[0].where == {"group": "g0", "age": "0"}
    assert both.groups[-1].where["age"] == NOT_GIVEN
    rates = {
        ", ".join(group.where.values()): group.metrics["selection_rate"].value
        for group in both.groups[:-1]
    }
    gap = gaps(both)["demographic_parity"]
    assert gap.between == (min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__))


def test_what_is_no_group_or_no_label_is_refused() -> None:
    actual = ["a", "b"] * 30
    split = examined(actual, actual, {"customer": list(range(60)), "group": [True, False] * 30})
    with pytest.raises(ProjectError, match=r"'customer' has 60 different values .* is no group"):
        fairness(split, ["customer"], [], 5)
    with pytest.raises(UnknownNameError, match=r"evaluate.favourable: there is no label 'A'"):
        fairness(split, ["group"], ["A"], 5)
    [found] = fairness(split, ["group"], ["a"], 5)
    assert [group.where for group in found.groups] == [{"group": "false"}, {"group": "true"}]


def shares(hits: list[int], counts: list[int], least: int = 1) -> Gap:
    """Return the gap of groups of which so many examples are hits."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    rows = [np.arange(count) < some for some, count in zip(hits, counts, strict=True)]
    who = Groups(tuple("abcdefgh"[: len(counts)]), numbers, least)
    part = who.compare(np.concatenate(rows), np.ones(len(numbers), dtype=bool))
    return max_gap("gap", [[part]], 0.95, least)


def test_of_two_groups_it_is_newcombes_interval() -> None:
    # Newcombe 1998, table II, example (a): 56/70 less 48/80, method 10: 0.0524 to 0.3339.
    both = {"a": (56, 70), "b": (48, 80)}
    values = {
        name: lambda confidence, pair=pair: wilson("share", *pair, confidence)
        for name, pair in both.items()
    }
    found = max_gap("gap", [[of_measurements(list(values.items()), 0, 150)]], 0.95, 1).measurement
    ours, theirs = (of(0.95) for of in values.values())
    plain = difference("gap", ours, theirs)
    assert found is not None
    assert (round(plain.low, 4), round(plain.high, 4)) == (0.0524, 0.3339)
    assert (found.low, found.value, found.high) == pytest.approx(
        (plain.low, plain.value, plain.high), abs=1e-9
    )


def test_a_small_group_does_not_differ_from_itself() -> None:
    pairs = {"a": (15, 30), "b": (5000, 10_000)}
    found = shares(*map(list, zip(*pairs.values(), strict=True))).measurement
    ours, theirs = (wilson("share", *pair, 0.95) for pair in pairs.values())
    assert found is not None
    assert found.high == pytest.approx(difference("gap", ours, theirs).high, abs=0.01)


def test_more_groups_make_the_lower_end_lower() -> None:
    two, six = shares([90, 60], [100] * 2), shares([90, 60, 75, 75, 75, 75], [100] * 6)
    assert two.measurement is not None
    assert six.measurement is not None
    assert two.between == six.between == ("b", "a")
    assert two.measurement.value == six.measurement.value == pytest.approx(0.3)
    assert 0 < six.measurement.low < two.measurement.low < 0.3
    assert two.measurement.high == pytest.approx(six.measurement.high)
    assert six.measurement.interval == "simultaneous"


def test_equal_groups_have_no_gap_and_all_or_none_the_largest() -> None:
    equal, largest = shares([50, 50, 50], [100] * 3), shares([0, 100], [100] * 2)
    assert equal.measurement is not None
    assert largest.measurement is not None
    assert (equal.measurement.low, equal.measurement.value) == (0.0, 0.0)
    assert equal.between == ()
    assert 0.1 < equal.measurement.high < 0.2
    assert (largest.measurement.value, largest.measurement.high) == (1.0, pytest.approx(1.0))
    assert largest.measurement.low > 0.9


def test_the_studentised_range_is_the_tables() -> None:
    # Upper 5 % points of the range, infinite degrees of freedom (Pearson & Hartley 1966).
    from scipy.special import erfinv

    points = {2: 2.77, 3: 3.31, 6: 4.03, 10: 4.47}
    for groups, point in points.items():
        assert 2 * erfinv(simultaneous(groups, 0.95)) == pytest.approx(point, abs=0.006)


@pytest.mark.parametrize("rates", [(0.9, 0.9, 0.9, 0.9), (0.95, 0.85, 0.9, 0.9)])
def test_the_interval_holds_the_true_gap(rates: tuple[float, ...]) -> None:
    draw, sizes = np.random.default_rng(5), [400, 150, 60, 30]
    held = 0
    for _ in range(200):
        found = shares([int(draw.binomial(n, p)) for n, p in zip(sizes, rates, strict=True)], sizes)
        assert found.measurement is not None
        held += found.measurement.low <= max(rates) - min(rates) <= found.measurement.high
    # 95 % is promised; three standard errors of 200 trials are 4.6 points.
    assert held / 200 >= 0.904


def test_rare_labels_do_not_find_gaps_that_are_not_there() -> None:
    # Of Wilson's intervals alone, four in ten such test sets find one.
    draw, found = np.random.default_rng(6), 0
    who = Groups(("a", "b"), np.repeat([0, 1], [1000, 30]), 30)
    everyone = np.ones(1030, dtype=bool)
    for _ in range(25):
        hits = draw.random((77, 1030)) < 0.01
        parts = [[who.compare(row, everyone, str(number))] for number, row in enumerate(hits)]
        gap = max_gap("demographic_parity", parts, 0.95, 30).measurement
        assert gap is not None
        found += gap.low > 0
    assert found <= 4


def test_texts_with_several_labels() -> None:
    task = TextClassification(Labels(separator="|"), ("a", "b"))
    draw = np.random.default_rng(8)
    logits = draw.choice([-3.0, 3.0], (200, 2)).astype(np.float32)
    logits[:100, 0] = 3.0
    sets = [frozenset(name for name, x in zip("ab", row, strict=True) if x > 0) for row in logits]
    group = ["f"] * 100 + ["m"] * 100
    [found] = fairness(split(task, sets, list(logits), {"group": group}), ["group"], [], 30)
    told = gaps(found)
    assert list(told) == ["micro_f1", *CRITERIA]
    assert told["micro_f1"].measurement is not None
    assert told["micro_f1"].measurement.value == 0.0
    parity = told["demographic_parity"]
    share = float((logits[100:, 0] > 0).mean())
    assert parity.measurement is not None
    assert (parity.label, parity.between) == ("a", ("m", "f"))
    assert parity.measurement.value == pytest.approx(1 - share)
    # All of f's texts have the label, so that a false-positive rate is m's alone.
    assert told["equalised_odds"].label == "b"
    assert told["equalised_odds"].because.endswith("left out: 1")


def test_tasks_that_point_into_the_text_have_the_headline_gap_alone() -> None:
    class Fixed(TokenClassification):
        def answers(self, encoded: Any, logits: Any, calibration: Any) -> list[Any]:
            return list(logits)

    task = Fixed(Labels(), ("name",))
    actual = [frozenset([(0, 4, "name")])] * 120
    wrong = frozenset([(0, 3, "name")])
    answered = [wrong if n % 2 and n < 60 else one for n, one in enumerate(actual)]
    columns = {"group": ["f"] * 60 + ["m"] * 60}
    [found] = fairness(split(task, actual, answered, columns), ["group"], [], 30)
    [gap] = found.gaps
    assert gap.name == task.metric_names[0]
    assert gap.measurement is not None
    assert gap.measurement.value == pytest.approx(0.5)
    assert gap.between == ("f", "m")
    assert 0.3 < gap.measurement.low < 0.5 < gap.measurement.high < 0.7
    assert gap.measurement.count == 120
    assert set(found.groups[0].metrics) == {gap.name}


def test_examples_of_one_cluster_count_for_less() -> None:
    actual = ["yes", "no"] * 200
    answered = [actual[n] if n % 40 < 30 or n >= 200 else "yes" for n in range(400)]
    group = ["f"] * 200 + ["m"] * 200
    clusters = np.repeat(np.arange(40), 10)
    alone, together = (
        fairness(examined(actual, answered, {"group": group}, of), ["group"], ["yes"], 30)[0]
        for of in (None, clusters)
    )
    for name in ("accuracy", "demographic_parity"):
        one, other = gaps(alone)[name].measurement, gaps(together)[name].measurement
        assert one is not None
        assert other is not None
        assert one.value == other.value
        assert other.high - other.low > 1.1 * (one.high - one.low)


def test_77_labels_and_six_groups_take_less_than_a_second() -> None:
    rows = drawn(9, 6, tuple(f"label {n}" for n in range(77)), 3000)
    split = examined(rows["actual"], rows["answered"], {"group": rows["group"]})
    assert len(split.answered) == len(split.right)
    start = time.process_time()
    [found] = fairness(split, ["group"], [], 5)
    assert time.process_time() - start < 1
    assert all(gap.measurement for gap in found.gaps)
