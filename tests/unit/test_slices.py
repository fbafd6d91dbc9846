"""Slices: what is weak beyond chance, and what only looks so; thresholds by group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import hypergeom

from bessemer.core.evaluation import Evaluate
from bessemer.core.project import Labels
from bessemer.evaluate.examined import Examined
from bessemer.evaluate.latency import LEAST, latency, quantile
from bessemer.evaluate.slices import _by_fisher, slices, typical_words
from bessemer.measures.group_thresholds import needed, offsets, shifted
from bessemer.measures.intervals import Sampling
from bessemer.tasks.base import Encoded
from bessemer.tasks.text_classification import TextClassification

COUNT = 600


def examined(right: NDArray[np.bool_], clusters: NDArray[np.int64] | None = None, **columns: Any):
    """Return a split of which so many rows are answered rightly, all with the same confidence."""
    logits = [np.array([2.0, 0.0] if hit else [0.0, 2.0], dtype=np.float32) for hit in right]
    count = len(right)
    lengths = [np.zeros(5 + row % 20, dtype=np.int64) for row in range(count)]
    return Examined(
        task=TextClassification(Labels(), ("a", "b")),
        actual=[frozenset("a")] * count,
        encoded=Encoded([f"text {row}" for row in range(count)], lengths),
        logits=logits,
        calibration={"temperature": 1.0},
        sampling=Sampling(0.95, 200, 0, clusters),
        rows=range(1, count + 1),
        columns={name: list(values) for name, values in columns.items()},
    )


def settings(*columns: str, find: bool = False) -> Evaluate:
    return Evaluate(slices=columns, find_slices=find)


def test_a_weak_slice_is_named_with_its_mistakes() -> None:
    web = np.arange(COUNT) % 5 == 0
    right = np.where(web, np.arange(COUNT) % 3 != 0, np.arange(COUNT) % 20 != 1)
    channel = np.where(web, "web", "app")
    found, shown = slices(examined(right, channel=channel), settings("channel"), None)
    assert [(one.name, one.weak) for one in found] == [
        ("channel = web", True),
        ("channel = app", False),
    ]
    assert found[0].metric.value == pytest.approx(right[web].mean())
    assert found[0].difference is not None
    assert found[0].difference.high < 0
    assert {example.answered for example in shown["channel = web"]} == {"b"}


def test_of_many_slices_alike_none_is_weak_more_often_than_promised() -> None:
    draws = np.random.default_rng(0)
    false = 0
    for _ in range(30):
        columns = {f"c{n}": draws.integers(0, 5, COUNT).astype(str) for n in range(4)}
        found, _ = slices(examined(draws.random(COUNT) < 0.9, **columns), settings(*columns), None)
        assert len(found) == 20
        false += any(one.weak for one in found)
    assert false <= 7  # 2.4 are expected; more than 7 of 30 come up once in 300


def test_mistakes_of_one_cluster_are_one_mistake() -> None:
    clusters = np.arange(COUNT) // 60
    right = clusters != 3
    value = np.where(clusters == 3, "yes", "no")
    alone, _ = slices(examined(right, value=value), settings("value"), None)
    together, _ = slices(examined(right, clusters, value=value), settings("value"), None)
    assert alone[0].weak
    assert together[0].metric.low < alone[0].metric.low or not together[0].weak


def test_small_slices_are_left_out_and_whole_ones_have_no_rest() -> None:
    rare = np.where(np.arange(COUNT) < 10, "rare", "common")
    found, _ = slices(
        examined(np.ones(COUNT, dtype=bool), rare=rare, one=["x"] * COUNT),
        settings("rare", "one"),
        None,
    )
    assert [one.name for one in found] == ["one = x", "rare = common"]
    assert found[0].difference is None
    assert (found[0].p, found[0].weak) == (1, False)


def test_a_slice_of_all_rows_of_several_answers_is_like_itself() -> None:
    draws = np.random.default_rng(0)
    task = TextClassification(Labels(separator="|"), ("a", "b"))
    split = examined(draws.random(3000) < 0.8, one=["x"] * 3000)
    split = replace(split, task=task, calibration={"temperature": 1.0, "threshold": 0.5})
    for clusters in (None, np.arange(3000) // 3):
        sampling = Sampling(0.95, 100, 0, clusters)
        [found], _ = slices(replace(split, sampling=sampling), settings("one"), None)
        assert (found.p, found.weak) == (1, False)


def test_the_chance_of_a_slice_is_fishers() -> None:
    draws = np.random.default_rng(3)
    right, masks = (draws.random(400) < 0.9) * 1.0, draws.random((5, 400)) < 0.3
    masks[4] = True
    sums = (masks @ right)[:, None]
    found = _by_fisher(right, masks)(sums)[:, 0]
    wanted = hypergeom.cdf(sums[:, 0], 400, right.sum(), masks.sum(axis=1))
    assert found == pytest.approx(wanted, abs=1e-12)


def test_numbers_are_divided_into_quarters_and_empty_cells_are_a_value() -> None:
    ages = np.arange(COUNT) % 400
    found, _ = slices(examined(np.arange(COUNT) % 9 != 0, age=ages), settings("age"), None)
    assert len(found) == 4
    assert {one.column for one in found} == {"age"}
    some = [None if row % 2 else "x" for row in range(COUNT)]
    named, _ = slices(examined(np.arange(COUNT) % 9 != 0, some=some), settings("some"), None)
    assert {one.value for one in named} == {"", "x"}


def test_unsure_answers_are_no_weakness_and_overconfidence_is() -> None:
    draws = np.random.default_rng(1)
    score = draws.uniform(0.55, 0.99, COUNT)
    for wrong, weak in ((0.0, False), (0.25, True)):
        right = draws.random(COUNT) < score - wrong
        split = examined(right)
        odds = np.log(score / (1 - score))
        logits = [
            np.array([odd, 0.0] if hit else [0.0, odd], dtype=np.float32)
            for odd, hit in zip(odds, right, strict=True)
        ]
        changed = Examined(**{**vars(split), "logits": logits})
        found, _ = slices(changed, settings(find=True), None)
        by_score = [one for one in found if one.kind == "confidence"]
        assert len(by_score) == 4
        assert any(one.weak for one in by_score) is weak


def test_clusters_of_like_texts_are_named_by_their_words() -> None:
    texts = ["I lost my card today"] * 40 + ["退款 什么时候 到账"] * 40
    places = np.repeat([0, 1], 40)
    names = typical_words(texts, places, 2)
    assert "card" in names[0]
    assert "到账" in names[1]
    draws = np.random.default_rng(0)
    vectors = draws.normal(0, 0.05, (COUNT, 8)).astype(np.float32)
    vectors[COUNT // 2 :, 0] += 1
    right = np.arange(COUNT) < COUNT * 0.6
    found, _ = slices(examined(right), settings(find=True), vectors)
    assert any(one.kind == "cluster" and one.weak for one in found)


def test_the_latency_that_95_of_100_texts_keep() -> None:
    values = np.arange(1.0, 301.0)
    found = quantile("latency_ms", values, 0.95, 0.95)
    assert found.value == pytest.approx(285.05)
    assert found.low < 285 < found.high <= 300
    inside = 0
    for seed in range(300):
        drawn = np.random.default_rng(seed).exponential(1.0, 300)
        one = quantile("latency_ms", drawn, 0.95, 0.95)
        inside += one.low <= -np.log(0.05) <= one.high
    assert inside >= 273


def test_thresholds_of_groups_give_each_the_same_chance() -> None:
    draws = np.random.default_rng(0)
    count, favoured = 2000, np.array([False, True])
    groups = np.where(draws.random(count) < 0.5, "f", "m").tolist()
    deserved = draws.random(count) < 0.5
    handicap = np.where(np.array(groups) == "f", -1.0, 0.5)
    margin = draws.normal(np.where(deserved, 1.0, -1.0) + handicap, 1.0)
    logits = [np.array([0.0, m], dtype=np.float32) for m in margin]

    def rates(rows: list[NDArray[np.float32]]) -> dict[str, float]:
        good = np.array([row[1] > row[0] for row in rows])
        return {g: float(good[deserved & (np.array(groups) == g)].mean()) for g in ("f", "m")}

    found = offsets(needed(np.stack(logits), favoured), deserved, groups, 30)
    before, after = rates(logits), rates(shifted(logits, groups, found, favoured))
    assert before["m"] - before["f"] > 0.3
    assert abs(after["m"] - after["f"]) < 0.01
    assert found["f"] > 0 > found["m"]
    # Too few of a group, or no group at all: nothing is changed.
    assert offsets(needed(np.stack(logits), favoured), deserved, groups, 10_000) == {"f": 0, "m": 0}
    same = shifted(logits, [None] * count, found, favoured)
    assert all(a is not None and np.array_equal(a, b) for a, b in zip(same, logits, strict=True))


def test_of_calibrated_clusters_none_is_overconfident() -> None:
    draws = np.random.default_rng(0)
    clusters, false = np.arange(COUNT) // 10, 0
    for _ in range(40):
        score = np.repeat(draws.uniform(0.6, 0.95, COUNT // 10), 10)
        right = np.repeat(draws.random(COUNT // 10), 10) < score
        odds = np.log(score / (1 - score))
        logits = [
            np.array([odd, 0.0] if hit else [0.0, odd], dtype=np.float32)
            for odd, hit in zip(odds, right, strict=True)
        ]
        split = Examined(**{**vars(examined(right, clusters)), "logits": logits})
        found, _ = slices(split, settings(find=True), None)
        false += any(one.weak for one in found if one.kind == "confidence")
    assert false <= 4  # 0.8 are expected; plain binomial tails find one in most of the 40


def test_few_texts_are_asked_until_their_times_have_an_end() -> None:
    asked: list[int] = []

    def run(rows: list[int]) -> None:
        asked.extend(rows)

    found = latency(run, [1, 2, 3], 0.95)
    assert found.count >= LEAST
    assert found.value <= found.high < np.inf
    assert {asked.count(row) for row in (1, 2, 3)} == {1 + found.count // 3}
