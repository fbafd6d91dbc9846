"""What mitigations do to rows and weights, and that a training with them resumes bit for bit."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bessemer.core.errors import DataError, ProjectError
from bessemer.core.progress import Step, Watcher
from bessemer.core.project import Labels, Project
from bessemer.measures.calibration import log_loss
from bessemer.pretrained.resolve import TOKENISER, WEIGHTS, resolve
from bessemer.serve.residents import tokenizer
from bessemer.service.mitigating import determines
from bessemer.service.pipeline import Pipeline
from bessemer.service.platform import Platform
from bessemer.service.project_file import parse
from bessemer.service.recipe import plan
from bessemer.tasks.base import IGNORED, Encoded, Span, Task
from bessemer.tasks.text_classification import TextClassification
from bessemer.tasks.token_classification import TokenClassification
from bessemer.train import mitigation
from bessemer.train.curriculum import Supervised
from bessemer.train.methods.base import Batch, Learnt, Lesson
from bessemer.train.methods.full import Full, FullOptions
from bessemer.train.methods.probe import TOLERANCE, ProbeOptions, choose, fit
from bessemer.train.mitigation import CHOOSE_BY, LEAST, RATE, augment, balance, reweigh, robust

TASK = TextClassification(Labels(), ("no", "yes"))
SEVERAL = TextClassification(Labels(separator="|"), ("a", "b", "c"))


def silent(step: Step) -> None:
    """Hear of a step."""


def encode(texts: Sequence[str]) -> Encoded:
    return Encoded(list(texts), [np.arange(len(text)) for text in texts])


def batch(task: Task, texts: Sequence[str], cells: Sequence[str]) -> Batch:
    encoded = encode(texts)
    answers = [task.parse(text, cell) for text, cell in zip(texts, cells, strict=True)]
    return Batch(encoded, answers, task.targets(encoded, answers))


def lesson_of(cells: Sequence[str], task: Task = TASK, held_out: Sequence[str] = ()) -> Lesson:
    """Return a lesson whose training texts are their own numbers."""
    train = batch(task, [str(number) for number in range(len(cells))], cells)
    validation = batch(task, list(map(str, range(len(held_out)))), held_out)
    return Lesson(task, train, validation, {}, Path(), 0, Path(), Path(), silent)


def test_reweighing_makes_group_and_label_independent() -> None:
    cells = ["yes"] * 6 + ["no"] * 2 + ["yes"] * 1 + ["no"] * 3
    groups = ["m"] * 8 + ["f"] * 3 + [None]
    found = reweigh(lesson_of(cells, held_out=["yes", "no"]), groups, [None, "f"])
    weights = found.train.weights
    assert weights is not None
    # P(m) P(yes) / P(m, yes) = 8/11 · 7/11 · 11/6, and so on; the last row has no group.
    expected = [8 * 7 / (11 * 6)] * 6 + [8 * 4 / (11 * 2)] * 2 + [3 * 7 / 11] + [3 * 4 / 22] * 2
    assert weights == pytest.approx([*expected, 1.0])
    assert weights[:11].mean() == pytest.approx(1)
    assert found.notes["largest_weight"] == pytest.approx(21 / 11)
    assert found.train.targets == lesson_of(cells).train.targets
    yes = np.array(cells[:11]) == "yes"
    his = np.array(groups[:11]) == "m"
    assert np.average(yes[his], weights=weights[:11][his]) == pytest.approx(7 / 11)


def test_sets_of_labels_that_no_other_row_has_count_as_one() -> None:
    cells = ["a|b", "a|b", "b|a", "a", "b", "c"]
    groups = ["x", "x", "y", "x", "y", "y"]
    weights = reweigh(lesson_of(cells, SEVERAL), groups, []).train.weights
    # {a, b} thrice, of which x has two; of the three others x has one.
    assert weights == pytest.approx([0.75, 0.75, 1.5, 1.5, 0.75, 0.75])


def test_one_group_is_nothing_to_make_alike() -> None:
    for change in (reweigh, balance, robust):
        with pytest.raises(DataError, match="do not show two groups"):
            change(lesson_of(["yes", "no", "no"]), ["m", "m", None], [])


def test_balancing_makes_cells_alike_and_loses_no_row() -> None:
    cells = ["yes"] * 7 + ["no"] * 5 + ["yes"] * 3 + ["no"] * 4 + ["yes"]
    groups = ["m"] * 12 + ["f"] * 7 + [None]
    lesson = lesson_of(cells, held_out=["yes"] * 3 + ["no"])
    found = balance(lesson, groups, ["m", "m", "f", "f"])
    rows = [int(text) for text in found.train.encoded.texts]
    assert set(rows) == set(range(20))
    counts = Counter((cells[row], groups[row]) for row in rows)
    assert counts == {
        **{("yes", "m"): 7, ("yes", "f"): 7, ("no", "m"): 5, ("no", "f"): 5},
        ("yes", None): 1,
    }
    often = Counter(rows)
    assert {often[row] for row in range(12)} == {1}
    assert sorted(often[row] for row in range(12, 15)) == [2, 2, 3]
    for row, answers, target, features in zip(
        rows, found.train.answers, found.train.targets, found.train.encoded.features, strict=True
    ):
        assert answers == {cells[row]}
        assert target == ("no", "yes").index(cells[row])
        assert len(features) == len(str(row))
    again = balance(lesson, groups, ["m", "m", "f", "f"])
    assert again.train.encoded.texts == found.train.encoded.texts
    other = [balance(replace(lesson, seed=seed), groups, [None] * 4) for seed in range(1, 9)]
    assert any(o.train.encoded.texts != found.train.encoded.texts for o in other)
    assert found.train.weights is None
    # Of four rows half are his, three say yes: P(m) P(yes) / P(m, yes) is 2/4 · 3/4 · 4/2.
    assert found.validation.weights == pytest.approx([0.75, 0.75, 1.5, 0.5])


def test_augmenting_adds_a_copy_of_each_text_that_has_a_term() -> None:
    train = batch(SEVERAL, ["he pays", "it rains", "he ran"], ["a|b", "c", ""])
    lesson = replace(lesson_of(["a"], SEVERAL, held_out=["a"]), train=train)
    found = augment(lesson, lambda text: text.replace("he", "she"), encode)
    assert found.train.encoded.texts == ["he pays", "it rains", "he ran", "she pays", "she ran"]
    assert [len(row) for row in found.train.encoded.features] == [7, 8, 6, 8, 7]
    assert found.train.answers[3:] == [frozenset({"a", "b"}), frozenset()]
    assert np.array_equal(found.train.targets[3], [1, 1, 0])
    assert found.notes == {"swapped_rows": 2}
    assert found.validation is lesson.validation
    with pytest.raises(DataError, match="holds a term"):
        augment(lesson, str, encode)


def test_groups_are_told_apart_by_label_where_there_are_enough_rows() -> None:
    few, many = LEAST - 1, LEAST + 2
    cells = ["yes"] * many + ["no"] * many + ["yes"] * few + ["no"] * many + ["yes", "no"]
    groups = ["m"] * (2 * many) + ["f"] * (few + many) + ["x", None]
    found = robust(lesson_of(cells, held_out=cells), groups, groups)
    assert found.notes["groups"] == ["m: yes", "m: no", "f: no"]
    expected = [0] * many + [1] * many + [-1] * few + [2] * many + [-1, -1]
    assert found.train.groups is not None
    assert found.train.groups.tolist() == expected
    # Two labels that are rare by themselves are enough together.
    cells = ["yes"] * few + ["no"] * few + ["yes"] * many
    groups = ["m"] * (2 * few) + ["f"] * many
    found = robust(lesson_of(cells, held_out=cells), groups, groups)
    assert found.notes["groups"] == ["m", "f: yes"]
    with pytest.raises(DataError, match="two groups have 10"):
        robust(lesson_of(cells, held_out=["yes"] * few), groups, ["f"] * few)


def test_a_label_that_is_not_learnt_is_in_no_group() -> None:
    task = TextClassification(Labels(out_of_scope="other"), ("no", "yes"))
    cells = ["yes"] * 10 + ["no"] * 10 + ["other"] * 10
    groups = ["m"] * 10 + ["f"] * 20
    found = robust(lesson_of(cells, task, cells), groups, groups)
    assert found.notes["groups"] == ["m: yes", "f: no"]
    assert found.train.groups is not None
    assert set(found.train.groups[20:]) == {-1}


def test_group_weights_grow_with_the_exponential_of_what_was_lost() -> None:
    groups = np.array([0, 0, 0, 1, 2, 2, -1])
    losses = [[0.1, 0.9, 0.3], [0.2, 0.5, 0.4]]
    found = mitigation.group_weights(groups, losses)
    shares = np.exp(RATE * np.array([0.3, 1.4, 0.7]))
    shares /= shares.sum()
    each = 6 * shares / [3, 1, 2]
    assert found == pytest.approx([*each[[0, 0, 0, 1, 2, 2]], 1.0])
    assert found[:6].mean() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "spans"])
def test_a_row_that_counts_thrice_is_a_row_that_stands_there_thrice(kind: str) -> None:
    draws = torch.Generator().manual_seed(0)
    task: Task
    if kind == "spans":
        task = TokenClassification(Labels(), ("town",))
        shape: tuple[int, ...] = (2, 4, len(task.outputs))
        targets = [np.array([0, 1, IGNORED]), np.array([1, 0, 0, 1])]
    else:
        task = TASK if kind == "softmax" else SEVERAL
        shape = (2, len(task.outputs))
        targets = [np.array(0), np.array(1)]
        if kind == "sigmoid":
            targets = [np.array([1, 0, 1], dtype="f4"), np.array([0, 0, 1], dtype="f4")]
    logits = torch.randn(shape, generator=draws)
    lost, weight = task.loss(logits, targets, 0.1, None, torch.tensor([1.0, 3.0]))
    rows = [0, 1, 1, 1]
    wanted, count = task.loss(logits[rows], [targets[row] for row in rows], 0.1, None)
    assert float(lost) == pytest.approx(float(wanted))
    assert weight == pytest.approx(count)
    plain, ones = task.loss(logits, targets, 0.1, None), torch.ones(2)
    assert task.loss(logits, targets, 0.1, None, ones) == plain


def test_values_of_rows_are_spread_over_what_is_learnt_from() -> None:
    task = TokenClassification(Labels(), ("town",))
    targets = [np.array([IGNORED, 0, 1]), np.array([IGNORED]), np.array([1])]
    values = np.array([5.0, 6.0, 7.0])
    flat = task.flat([np.zeros((t.size, 2)) for t in targets], targets)[1]
    assert mitigation.flat(task, targets, values).tolist() == [5, 5, 7]
    assert len(flat) == 3
    assert mitigation.flat(SEVERAL, [np.zeros(3), np.ones(3)], np.array([1, 2])).tolist() == [1, 2]


def unfair(rows: int, seed: int) -> tuple[list[np.ndarray], list[str], list[str | None]]:
    """Return vectors, cells and groups: nine of ten of a label are of one group, which is easier to
    see than the label.
    """
    draws = np.random.default_rng(seed)
    label = draws.integers(0, 2, rows)
    group = np.where(draws.random(rows) < 0.9, label, 1 - label)
    vectors = draws.normal(size=(rows, 8)) * 0.6
    vectors[:, 0] += 2 * label - 1
    vectors[:, 1] += 3 * (2 * group - 1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cells = ["yes" if one else "no" for one in label]
    return list(vectors.astype("f4")), cells, ["m" if one else "f" for one in group]


def gap(learnt: Learnt) -> float:
    """Return by how much the share of right answers of usual and unusual rows differs."""
    vectors, cells, groups = unfair(2000, 9)
    head = learnt.head["weight"].numpy(), learnt.head["bias"].numpy()
    label = np.array([cell == "yes" for cell in cells])
    right = ((np.array(vectors) @ head[0].T + head[1]).argmax(axis=1) == 1) == label
    usual = np.array([group == "m" for group in groups]) == label
    return float(right[usual].mean() - right[~usual].mean())


def test_the_probe_is_fairer_with_each_way_and_the_worst_group_loses_less() -> None:
    vectors, cells, groups = unfair(400, 0)
    held_out, held_cells, held_groups = unfair(200, 1)
    lesson = lesson_of(cells, held_out=held_cells)
    plain = fit(lesson, vectors, held_out, ProbeOptions())
    for change in (reweigh, balance, robust):
        taught = change(lesson, groups, held_groups)
        some = [vectors[int(text)] for text in taught.train.encoded.texts]
        learnt = fit(taught, some, held_out, ProbeOptions())
        assert gap(learnt) < 0.5 * gap(plain), change.__name__
        assert learnt.log_loss > plain.log_loss, "on rows as unfair as those learnt from"
    worst = learnt.notes["rounds"]
    assert learnt.notes[CHOOSE_BY] == min(worst) == worst[learnt.notes["round"]]
    assert min(worst) < 0.6 * worst[0]
    again = fit(taught, some, held_out, ProbeOptions())
    assert all(again.head[name].equal(learnt.head[name]) for name in learnt.head)


def test_what_is_chosen_by_is_the_mean_of_weighed_rows() -> None:
    draws = np.random.default_rng(0)
    logits, targets = draws.normal(size=(5, 2)), np.array([0, 1, 1, 0, 1])
    weights = np.array([0.5, 2.0, 0.5, 1.0, 2.0])
    split = replace(batch(TASK, list("abcde"), ["no", "yes", "yes", "no", "yes"]), weights=weights)
    lesson = replace(lesson_of(["no"]), validation=split)
    each = [log_loss(logits[n : n + 1], targets[n : n + 1], 2.0) for n in range(5)]
    found = mitigation.judged(lesson, logits, targets, 2.0)
    assert found == {CHOOSE_BY: pytest.approx(np.average(each, weights=weights))}


def test_without_a_mitigation_a_fit_has_the_bits_of_scikit_learn() -> None:
    vectors, cells, _ = unfair(200, 0)
    lesson = lesson_of(cells, held_out=cells)
    learnt = fit(lesson, vectors, vectors, ProbeOptions(strengths=(5.0,)))
    known, numbers = np.array(vectors), np.array([cell == "yes" for cell in cells], dtype=np.int64)
    ours, _ = choose((known, numbers), (known, numbers), 2, (5.0,), balanced=False, progress=silent)
    theirs = LogisticRegression(C=5.0, tol=TOLERANCE, max_iter=2000).fit(known, numbers)
    assert np.array_equal(ours[0][1], theirs.coef_[0] / 2)
    assert torch.equal(learnt.head["weight"][1], torch.tensor(ours[0][1], dtype=torch.float32))
    assert set(learnt.notes) == {"strength", "validation", "log_loss"}


class Answering:
    """Stands for a network: answers each row with logits of its own."""

    def __init__(self, logits: torch.Tensor) -> None:
        self._logits = logits

    def batch(self, features: object, rows: list[int]) -> tuple[list[int]]:
        return (rows,)

    def __call__(self, rows: list[int]) -> torch.Tensor:
        return self._logits[rows]


def test_steps_weigh_groups_by_all_that_was_lost_on_them_so_far() -> None:
    cells = ["yes", "no"] * LEAST
    groups = ["m", "f"] * LEAST
    lesson = robust(lesson_of(cells, held_out=cells), groups, groups)
    logits = torch.randn((2 * LEAST, 2), generator=torch.Generator().manual_seed(0))
    network: Any = Answering(logits)
    rows = [3, 4, 9]

    def lost(history: list[dict[str, float]]) -> tuple[float, float]:
        curriculum = Supervised(lesson, FullOptions(label_smoothing=0.0))
        curriculum.begin(history)
        found, weight = curriculum.loss(network, rows)
        return float(found), weight

    history = [
        {CHOOSE_BY: 0.9, "log_loss_of_group_0": 0.1, "log_loss_of_group_1": 0.9},
        {CHOOSE_BY: 0.5, "log_loss_of_group_0": 0.5, "log_loss_of_group_1": 0.2},
    ]
    each = [log_loss(logits[[n]].numpy(), np.array([1 - n % 2])) for n in rows]
    for known, sums in ((history[:1], [0.1, 0.9]), (history, [0.6, 1.1])):
        shares = np.exp(sums) / np.exp(sums).sum()
        weights = [2 * shares[n % 2] for n in rows]
        assert lost(known) == (pytest.approx(np.dot(weights, each)), pytest.approx(sum(weights)))


class Interrupted(Exception):
    """Stands for whatever ends a process in the middle of a step."""


def stopping_at(step: int):
    def progress(told: Step) -> None:
        if told.what == "train" and told.total and told.done == step:
            raise Interrupted

    return progress


#: Of each row of `on_tiny`.
OF_TINY = ["He"] * 30 + ["She"] * 12 + ["He"] * 12 + ["She"] * 30


def on_tiny(tiny: Path, place: Path) -> Lesson:
    """Return a lesson of rows in four cells on the base of two layers."""
    base = resolve(str(tiny), relative_to=place)
    tokens = tokenizer(base.folder / TOKENISER)
    cells = ["yes"] * 42 + ["no"] * 42
    # Texts tell groups apart, and labels only in part, so that there is something to lose.
    texts = [f"{who} {'pays' if n % 3 else cells[n]} {n % 7}" for n, who in enumerate(OF_TINY)]
    encoded = TASK.encode(tokens, texts, 24)
    answers = [frozenset({cell}) for cell in cells]
    split = Batch(encoded, answers, TASK.targets(encoded, answers))
    weights, events = base.folder / WEIGHTS, place / "events"
    return Lesson(TASK, split, split, base.config, weights, 0, place / "work", events, silent)


def test_a_training_for_the_worst_group_resumes_bit_for_bit(tiny: Path, tmp_path: Path) -> None:
    method, lesson = Full(), robust(on_tiny(tiny, tmp_path), OF_TINY, OF_TINY)
    options = FullOptions(epochs=2, batch_size=16, checkpoint_every=2, train_layers=1)
    whole = method.learn(replace(lesson, work=tmp_path / "whole"), options)
    stopped = replace(lesson, work=tmp_path / "stopped", progress=stopping_at(8))
    with pytest.raises(Interrupted):
        method.learn(stopped, options)
    resumed = method.learn(replace(lesson, work=tmp_path / "stopped"), options)
    assert resumed.notes["validation"] == whole.notes["validation"]
    assert resumed.encoder is not None
    assert whole.encoder is not None
    assert all(resumed.encoder[name].equal(whole.encoder[name]) for name in whole.encoder)
    assert all(resumed.head[name].equal(whole.head[name]) for name in whole.head)
    history = whole.notes["validation"]
    assert all(entry[CHOOSE_BY] == max(mitigation.losses_of_groups(entry)) for entry in history)
    best = [entry[CHOOSE_BY] for entry in history]
    assert whole.notes["best_epoch"] == best.index(min(best))


def project(train: dict[str, str], evaluate: dict[str, object]) -> Project:
    blocks = {"data": {"source": "x.csv"}, "train": train, "evaluate": evaluate}
    return Project.model_validate({"name": "small", **blocks})


def test_what_cannot_be_done_is_refused_with_what_to_do_instead() -> None:
    gender = {"protected": ["gender"]}
    for name in ("reweigh", "balanced-sampling", "group-robust"):
        with pytest.raises(ProjectError, match=rf"{name}, which needs evaluate\.protected"):
            mitigation.check(project({"mitigation": name}, {}), TASK)
        mitigation.check(project({"mitigation": name}, gender), TASK)
    augmentation = {"mitigation": "counterfactual-augmentation"}
    with pytest.raises(ProjectError, match=r"line 7: mitigation .* needs evaluate\.counterf"):
        mitigation.check(project(augmentation, gender), TASK, "line 7: ")
    mitigation.check(project(augmentation, {"counterfactual": ["gender"]}), TASK)
    spans = TokenClassification(Labels(), ("town",))
    with pytest.raises(ProjectError, match="marks places in the text"):
        mitigation.check(project(augmentation, {"counterfactual": ["gender"]}), spans)
    for name in ("reweigh", "group-robust"):
        with pytest.raises(ProjectError, match="few-shot knows none") as caught:
            mitigation.check(project({"method": "few-shot", "mitigation": name}, gender), TASK)
        assert "full or lora or probe" in str(caught.value.remedy)
    mitigation.check(
        project({"method": "few-shot", "mitigation": "balanced-sampling"}, gender), TASK
    )


def test_the_service_hands_over_groups_and_terms(tiny: Path, tmp_path: Path) -> None:
    who = [("he", "m", "x"), ("she", "f", "x"), ("he", "m", ""), ("she", "f", "y")]
    rows = [
        (f"{'no' if n % 3 else 'yes'}, {who[n % 4][0]} has {n} of row {n}", n % 3 == 0, *who[n % 4])
        for n in range(240)
    ]
    with (tmp_path / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "who", "gender", "region"), *rows])
    home = Platform.open(tmp_path / "home").home
    split = "{test: 0.2, validation: 0.4}"
    begin = f"name: small\nbase: {tiny}\ndata: {{source: table.csv, split: {split}}}\n"
    evaluate = "evaluate: {protected: [gender, region], counterfactual: [gender]}\n"
    found: dict[str, Lesson] = {}
    identities = set()
    for name in (None, "reweigh", "counterfactual-augmentation", "group-robust"):
        text = begin + evaluate + (f"train: {{mitigation: {name}}}\n" if name else "")
        made = plan(parse(text, tmp_path, "small"), home.root)
        pipeline = Pipeline(home, made, Watcher())
        pipeline.prepare()
        lesson = found[name or "none"] = pipeline.lesson()
        identities.add(str(lesson.identity))
        table = pipeline.rows("train")
    home.database.close()
    assert len(identities) == 4
    plain = found["none"]
    assert (plain.train.weights, plain.validation.weights, plain.train.groups) == (None,) * 3
    nobody = [region == "" for region in table["region"].to_pylist()]
    assert any(nobody)
    weights = found["reweigh"].train.weights
    assert weights is not None
    assert set(weights[nobody]) == {1.0}
    assert len(set(weights)) > 2
    groups = found["group-robust"].notes["groups"]
    assert {told.partition(":")[0] for told in groups} == {"m · x", "f · x", "f · y"}
    texts = found["counterfactual-augmentation"].train.encoded.texts
    count = len(plain.train)
    swapped = [t.replace(" he ", " she ") if " he " in t else t.replace(" she ", " he ")
               for t in plain.train.encoded.texts]  # fmt: skip
    assert texts == plain.train.encoded.texts + swapped
    assert len(found["counterfactual-augmentation"].train.targets) == 2 * count


def test_only_what_a_mitigation_reads_determines_a_training() -> None:
    evaluate: dict[str, object] = {"protected": ["gender"], "counterfactual": ["age"]}
    assert determines(project({}, evaluate)) == {}
    assert determines(project({"mitigation": "group-thresholds"}, evaluate)) == {}
    found = determines(project({"mitigation": "reweigh"}, evaluate))
    assert found == {"mitigation": "reweigh", "protected": ("gender",)}
    own = {**evaluate, "terms": {"age": [["young", "old"]], "other": [["a", "b"]]}}
    found = determines(project({"mitigation": "counterfactual-augmentation"}, own))
    assert found["terms"] == {"age": (("young", "old"),)}


def test_spans_count_by_their_labels() -> None:
    answers = [frozenset({Span(0, 4, "town")}), frozenset({Span(2, 5, "town")}), frozenset()]
    train = replace(lesson_of(["no"] * 3).train, answers=answers)
    found = reweigh(replace(lesson_of(["no"] * 3), train=train), ["m", "f", "f"], [])
    # {town} twice, once of each group; the text without a span is the only one of its kind.
    assert found.train.weights == pytest.approx([2 / 3, 4 / 3, 2 / 3])
