"""Annotators: agreement as others compute it, and consensus that knows who errs how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from tests.conftest import write_csv
from tests.mending import mend

from bessemer.core.errors import DataError
from bessemer.core.project import Columns, Labels
from bessemer.measures import crowd
from bessemer.measures.crowd import Votes
from bessemer.prepare.desk import ANNOTATOR
from bessemer.tasks.text_classification import TextClassification

#: The example of Krippendorff's alpha in the literature: three coders, fifteen units.
CODERS = (
    "*****3412113 3*3".replace(" ", ""),
    "1*213343*******",
    "**21344*211 33*4".replace(" ", ""),
)


def votes(*coders: str) -> Votes:
    return Votes.of(
        [
            (f"{unit:02}", str(coder), value)
            for coder, row in enumerate(coders)
            for unit, value in enumerate(row)
            if value != "*"
        ]
    )[0]


def test_alpha_of_the_known_example() -> None:
    assert crowd.alpha(votes(*CODERS)) == pytest.approx(0.691, abs=5e-4)


def test_alpha_where_it_is_plain() -> None:
    assert crowd.alpha(votes("1212", "1212")) == 1
    assert crowd.alpha(votes("11", "11")) is None, "one label says nothing"
    assert crowd.alpha(votes("12**", "**12")) is None, "no item has two votes"
    assert crowd.alpha(votes("1212", "2121")) < 0


@given(st.lists(st.tuples(*2 * [st.sampled_from("123*")]), max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    found = votes(*(["".join(row) for row in zip(*pairs, strict=True)] or ["", ""]))
    both = [pair for pair in pairs if "*" not in pair]
    if len({*(one for one, _ in both)} | {*(other for _, other in both)}) < 2:
        return
    count, kappa = crowd.kappa(found, 0, 1)
    assert count == len(both)
    expected = cohen_kappa_score(*zip(*both, strict=True))
    assert kappa == pytest.approx(expected, abs=1e-12)


def test_kappa_where_it_is_plain() -> None:
    assert crowd.kappa(votes("1212", "1212"), 0, 1) == (4, 1.0)
    assert crowd.kappa(votes("11", "11"), 0, 1) == (2, None), "one label says nothing"
    assert crowd.kappa(votes("12**", "**12"), 0, 1) == (0, None), "no item has two votes"


def test_majority_and_ties() -> None:
    found = votes("1122", "1212", "2211")
    assert crowd.majority(votes("112", "112", "221")).tolist() == [0, 0, 1]
    assert found.counts().tolist() == [[2, 1], [1, 2], [2, 1], [1, 2]]
    assert crowd.majority(votes("112", "22*")).tolist() == [1, 1, 1], "2 is more frequent"


def test_the_last_vote_of_one_annotator_counts() -> None:
    found, items, annotators, labels = Votes.of([("a", "x", "p"), ("a", "x", "q"), ("b", "x", "p")])
    assert (items, annotators, labels) == (["a", "b"], ["x"], ["p", "q"])
    assert found.labels.tolist() == [1, 0]


def simulated(items: int, labels: int, seed: int) -> tuple[np.ndarray, Votes, np.ndarray]:
    """Five annotators: two careful ones, two who mistake a label for the next, one who guesses."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, labels, items)
    confusions = np.zeros((5, labels, labels))
    for number, (right, following) in enumerate(
        [(0.8, 0.05), (0.75, 0.05), (0.45, 0.5), (0.4, 0.55), (0.3, 0.0)]
    ):
        rest = (1 - right - following) / labels
        confusions[number] = rest + right * np.eye(labels)
        confusions[number] += following * np.roll(np.eye(labels), 1, axis=1)
    rows = [
        (f"{item}", f"{who}", f"{draw.choice(labels, p=confusions[who, truth[item]]):03}")
        for item in range(items)
        for who in range(5)
    ]
    found, names, _, values = Votes.of(rows)
    assert names == [f"{item}" for item in range(items)]
    assert values == [f"{label:03}" for label in range(labels)]
    return truth, found, confusions


def test_dawid_skene_learns_who_errs_how() -> None:
    truth, found, confusions = simulated(3000, 6, seed=0)
    consensus = crowd.dawid_skene(found)
    right = (consensus.labels == truth).mean()
    assert right > (crowd.majority(found) == truth).mean() + 0.02
    assert np.abs(consensus.confusions - confusions).mean() < 0.02
    assert consensus.accuracy.tolist() == pytest.approx([0.81, 0.76, 0.46, 0.41, 0.42], abs=0.05)
    assert np.allclose(consensus.chances.sum(axis=1), 1)


def test_dawid_skene_of_little() -> None:
    one = crowd.dawid_skene(votes("1"))
    assert one.labels.tolist() == [0]
    assert crowd.dawid_skene(votes("12", "12", "21")).labels.tolist() == [0, 1]


LONG = [
    ("7", "where is it", "ann", "late"),
    ("7", "where is it", "bob", "late"),
    ("7", "where is it", "cy", "refund"),
    ("8", "money back", "ann", "refund"),
    ("8", "money back", "bob", "refund"),
    ("9", "hello", "cy", "late"),
]


def mended(tmp_path: Path, rows=LONG, rules=None, *, named: bool = True, task=None):
    write_csv(tmp_path / "table.csv", rows, ("n", "text", "who", "label"))
    columns = Columns(id="n" if named else None, annotator="who")
    return mend(tmp_path / "table.csv", rules or {}, columns, task)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("votes", ["majority", "dawid-skene"])
def test_long_rows_become_one_row_a_text(tmp_path: Path, votes: str, named: bool) -> None:
    table, [finding] = mended(tmp_path, rules={"votes": votes}, named=named)
    assert table["text"].to_pylist() == ["where is it", "money back", "hello"]
    assert table["label"].to_pylist() == ["late", "refund", "late"]
    assert table["row"].to_pylist() == [1, 4, 6]
    assert not {"who", ANNOTATOR} & set(table.column_names)
    assert (finding.rule, finding.action, finding.count, finding.rows) == (
        "annotators differ", "joined", 1, (1,),
    )  # fmt: skip
    assert finding.detail.startswith("3 texts, 3 annotators, Krippendorff's alpha 0.333")
    assert ("cy" in finding.detail) is (votes == "dawid-skene")


def test_long_rows_that_cannot_be_joined(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows 1 and 2 have the id '7' and different texts"):
        mended(tmp_path, [LONG[0], ("7", "other", "bob", "late")])
    with pytest.raises(DataError, match="row 2: there is no annotator"):
        mended(tmp_path, [LONG[0], ("7", "where is it", " ", "late")])
    with pytest.raises(DataError, match="exactly one"):
        mended(tmp_path, task=TextClassification(Labels(separator=";")))
