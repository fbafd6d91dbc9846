"""Several labels, none of the labels, and what is answered then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from sklearn.metrics import f1_score

from bessemer.core.project import Data, Labels
from bessemer.measures.answers import macro_f1, micro_f1, tally
from bessemer.measures.calibration import f1_threshold, fit_temperature, log_loss, sigmoid
from bessemer.measures.intervals import Sampling
from bessemer.prepare.sources.parquet import Parquet
from bessemer.tasks.base import IGNORED, Encoded
from bessemer.tasks.text_classification import TextClassification

SEVERAL = Labels(separator="|")
SCOPED = Labels(out_of_scope="none")
TEXT = Encoded(["x"], [np.array([1])])


def encoded(count: int) -> Encoded:
    return Encoded(["x"] * count, [np.array([1])] * count)


def test_cells_with_several_labels() -> None:
    task = TextClassification(SEVERAL, ("a", "b", "c"))
    assert task.parse("x", "a| b |") == {"a", "b"}
    assert task.parse("x", "") == frozenset()
    assert task.parse("x", '["b", "c"]') == {"b", "c"}
    for labels in ({"b", "a"}, {"a|b", "[x]"}, set()):
        assert task.parse("x", task.write(frozenset(labels))) == labels
    [target] = task.targets(TEXT, [frozenset({"a", "c"})])
    assert target.tolist() == [1, 0, 1]


def test_a_list_of_labels_asks_for_the_separator() -> None:
    with pytest.raises(ValueError, match=r"set data\.labels\.separator"):
        TextClassification(Labels()).parse("x", '["a", "b"]')
    assert TextClassification(Labels()).parse("x", "[a]") == {"[a]"}


def test_several_and_none_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        Labels(separator="|", out_of_scope="none")


def test_the_f1s_are_scikit_learns() -> None:
    draws = np.random.default_rng(0)
    wanted, found = draws.random((200, 4)) < 0.3, draws.random((200, 4)) < 0.3
    labels = ("a", "b", "c", "d")
    sets = [[frozenset(np.array(labels)[row]) for row in side] for side in (wanted, found)]
    counts = tally(*sets, labels)
    total = counts.sum(axis=(0, 1))
    assert micro_f1(total) == pytest.approx(f1_score(wanted, found, average="micro"))
    assert macro_f1(counts.sum(axis=0)) == pytest.approx(f1_score(wanted, found, average="macro"))


def test_the_threshold_is_the_best_of_all_there_are() -> None:
    draws = np.random.default_rng(1)
    actual = (draws.random((300, 3)) < 0.2).astype(np.float32)
    chances = np.clip(0.35 * actual + 0.6 * draws.random((300, 3)), 0, 1)
    best = f1_threshold(chances, actual)
    reached = f1_score(actual, chances >= best, average="micro")
    others = [f1_score(actual, chances >= t, average="micro") for t in np.linspace(0, 1, 101)]
    assert reached >= max(others) - 1e-9


def test_binary_log_loss_and_its_temperature() -> None:
    draws = np.random.default_rng(2)
    logits = draws.normal(size=(4000, 3)) * 2
    actual = (draws.random((4000, 3)) < sigmoid(logits)).astype(np.float64)
    chances = sigmoid(logits)
    by_hand = -np.mean(actual * np.log(chances) + (1 - actual) * np.log(1 - chances))
    assert log_loss(logits, actual) == pytest.approx(by_hand)
    assert fit_temperature(3 * logits, actual) == pytest.approx(3, rel=0.1)


def test_equal_probabilities_are_told_together_or_not_at_all() -> None:
    chances = np.array([[0.9, 0.5, 0.5, 0.5, 0.5, 0.5]])
    best = f1_threshold(chances, np.array([[1, 1, 0, 0, 0, 0.0]]))
    assert 0.5 < best <= 0.9
    assert f1_threshold(chances, np.zeros((1, 6))) == 1.0


def test_only_labels_above_the_threshold_are_told() -> None:
    task = TextClassification(SEVERAL, ("a", "b", "c"))
    logits = [np.array([2.0, -3.0, 0.5], dtype=np.float32)]
    calibration = {"temperature": 1.0, "threshold": 0.6}
    assert task.answers(TEXT, logits, calibration) == [{"a", "c"}]
    assert [one["label"] for one in task.decode(TEXT, logits, calibration, 0)[0]] == ["a", "c", "b"]
    assert json.loads(task.tensors(TEXT, logits, calibration)["labels"][0]) == ["a", "c"]
    assert task.answers(TEXT, [logits[0] - 9], calibration) == [frozenset()]
    assert task.brief([]) == ("[]", 1.0)


@pytest.mark.parametrize("learnt", [True, False], ids=["oos rows in training", "none"])
def test_a_doubtful_text_is_refused(learnt: bool) -> None:
    """The threshold is passed by all but the wanted share of the texts with a known label."""
    draws = np.random.default_rng(3)
    labels = ("a", "b", "none") if learnt else ("a", "b")
    task = TextClassification(SCOPED, labels)
    answers = [frozenset([("a", "b", "none")[n % 3]]) for n in range(600)]
    logits = []
    for (label,) in answers:
        row = draws.normal(size=len(labels))
        if label in labels:
            row[labels.index(label)] += 5
        logits.append(row.astype(np.float32))
    calibration = task.calibrate(encoded(600), logits, answers, 0.05)
    found = task.answers(encoded(600), logits, calibration)
    inside = [n for n, row in enumerate(answers) if "none" not in row]
    refused = np.mean(["none" in found[n] for n in inside])
    assert 0.04 <= refused <= (0.08 if learnt else 0.06)  # what is likelier 'none' is refused too
    metrics, _, _ = task.judge(answers, encoded(600), logits, calibration, Sampling(0.95, 50, 0))
    assert metrics["out_of_scope_recall"].count == 200
    assert metrics["out_of_scope_recall"].value > (0.9 if learnt else 0.5)
    assert metrics["in_scope_accuracy"].value > 0.9
    assert metrics["in_scope_accuracy"].count == 400
    stricter = task.calibrate(encoded(600), logits, answers, 0.2)
    assert stricter["threshold"] > calibration["threshold"]


def test_without_examples_of_it_nothing_known_can_be_answered() -> None:
    task = TextClassification(Labels(), ("a", "b"))
    rows = [np.array([3.0, 0], dtype=np.float32), np.array([0.1, 0], dtype=np.float32)]
    calibration = {"temperature": 1.0, "threshold": 1.0}  # nats
    told = task.decode(encoded(2), rows, calibration, None)
    assert [row[0]["label"] for row in told] == ["a", "out-of-scope"]
    assert told[1][0]["score"] == pytest.approx(1 - 1 / (1 + np.exp(-0.1)))
    names = [one["label"] for one in task.decode(encoded(2), rows, calibration, 0)[1]]
    assert names == ["out-of-scope", "a", "b"]


def test_a_row_of_no_known_label_teaches_nothing() -> None:
    task = TextClassification(SCOPED, ("a", "b"))
    targets = task.targets(encoded(2), [frozenset(["none"]), frozenset(["b"])])
    assert [int(target) for target in targets] == [IGNORED, 1]
    logits = [np.array([0.0, 0.0], dtype=np.float32)] * 2
    assert task.log_loss(logits, targets, 1.0) == pytest.approx(np.log(2))


def test_a_million_characters_are_cut(tmp_path: Path) -> None:
    from bessemer.pretrained.resolve import resolve
    from bessemer.serve.residents import tokenizer

    base = resolve("minilm-l6", relative_to=tmp_path)
    long = "where is my parcel? " * 50_000
    found = TextClassification(Labels()).encode(
        tokenizer(base.folder / "tokenizer.json"), [long], 64
    )
    assert len(found.features[0]) == 64


def test_a_parquet_column_may_hold_lists(tmp_path: Path) -> None:
    rows = {"text": ["x", "y"], "label": [["a", "b"], []], "spans": [[{"start": 0}], None]}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    table = pa.Table.from_batches(Parquet().read(tmp_path / "t.parquet", Data(source="t.parquet")))
    assert table["spans"].to_pylist() == ['[{"start": 0}]', None]
    task = TextClassification(SEVERAL)
    found = [task.parse("x", cell) for cell in table["label"].to_pylist()]
    assert found == [{"a", "b"}, frozenset()]
