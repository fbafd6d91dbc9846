"""Labels that are probably wrong: out-of-fold predictions and confident learning."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from bessemer.core.project import Labels
from bessemer.prepare import label_errors
from bessemer.tasks.text_classification import TextClassification
from bessemer.train.folds import groups, out_of_fold

NAMES = ("a", "b", "c", "d")


def clouds(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors around four directions, and which each belongs to."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(4, 16))
    truth = np.arange(count) % 4
    vectors = centres[truth] + 0.8 * draw.normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth


def quiet(_: object) -> None:
    pass


def table(given: list[str]) -> pa.Table:
    count = len(given)
    texts = [f"text {n}" for n in range(count)]
    rows, splits = list(range(1, count + 1)), ["train"] * count
    return pa.table({"row": rows, "split": splits, "text": texts, "label": given})


def test_flipped_labels_come_first() -> None:
    vectors, truth = clouds(600)
    draw = np.random.default_rng(1)
    flipped = draw.choice(600, 30, replace=False)
    given = truth.copy()
    given[flipped] = (truth[flipped] + draw.integers(1, 4, 30)) % 4
    chances, judged = out_of_fold(vectors, given, 4, np.arange(600), 0, quiet)
    assert judged.all()
    again, _ = out_of_fold(vectors, given, 4, np.arange(600), 0, quiet)
    assert np.array_equal(chances, again)
    ranked = label_errors.rank(
        TextClassification(Labels(), NAMES), table([NAMES[n] for n in given]), chances, given
    )
    first = np.array(ranked["row"][:60]) - 1
    assert np.isin(flipped, first).mean() >= 0.9
    taken = ranked.filter(ranked["error"])
    assert np.isin(np.array(taken["row"]) - 1, flipped).mean() >= 0.8
    right = [NAMES[truth[row - 1]] for row in taken["row"].to_pylist()]
    assert (
        np.mean([a == b for a, b in zip(taken["suggested"].to_pylist(), right, strict=True)]) >= 0.8
    )
    told = label_errors.finding(ranked, 2)
    assert (told.rule, told.action, told.count) == ("label probably wrong", "kept", len(taken))
    assert told.rows == tuple(taken["row"].to_pylist()[:10])
    assert told.detail.endswith("of 600 judged; 2 not judged: their label is too rare")


def test_a_copy_does_not_vouch_for_itself() -> None:
    """A wrong label that stands on three copies of a text is found if they are in one fold."""
    vectors, truth = clouds(400)
    vectors = np.concatenate([vectors, np.repeat(vectors[:1], 30, axis=0)])
    given = np.concatenate([truth, np.full(30, 1)])
    given[0] = 1
    copies = np.r_[0, np.arange(400, 430)]
    alone = np.arange(430)
    together = alone.copy()
    together[copies] = 0
    apart, _ = out_of_fold(vectors, given, 4, alone, 0, quiet)
    kept, _ = out_of_fold(vectors, given, 4, together, 0, quiet)
    assert apart[copies, 1].min() > 0.5 > kept[copies, 1].max()
    assert (kept[copies] == kept[0]).all()


def test_who_shares_a_value_is_in_one_group() -> None:
    texts = ["x", "y", "x", "z", "w"]
    customers = ["1", "2", None, "2", None]
    found = groups(texts, customers)
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert len(set(found.tolist())) == 3


def test_a_label_that_no_other_row_has_is_not_judged() -> None:
    vectors, truth = clouds(100)
    given = np.where(np.arange(100) == 7, 4, truth)
    _, judged = out_of_fold(vectors, given, 5, np.arange(100), 0, quiet)
    assert np.flatnonzero(~judged).tolist() == [7]


def test_several_labels_a_text() -> None:
    vectors, truth = clouds(400)
    given = np.zeros((400, 4), dtype=np.float32)
    given[np.arange(400), truth] = 1
    wrong = np.array([3, 50, 111])
    given[wrong] = 1 - given[wrong]
    chances, judged = out_of_fold(vectors, given, 4, np.arange(400), 0, quiet)
    task = TextClassification(Labels(separator="|"), NAMES)
    cells = [task.write(frozenset(np.array(NAMES)[row > 0].tolist())) for row in given]
    ranked = label_errors.rank(task, table(cells), chances, given)
    assert judged.all()
    assert set((np.array(ranked["row"][:3]) - 1).tolist()) == set(wrong.tolist())
    assert ranked["suggested"][0].as_py() in {f'["{NAMES[truth[row]]}"]' for row in wrong}
