"""Which texts to label next."""

from __future__ import annotations

import numpy as np
import pytest
from skactiveml.pool import CoreSet, uncertainty_scores
from skactiveml.utils import MISSING_LABEL

from bessemer.core.errors import RequestError, UnknownNameError
from bessemer.improve.selection import (
    COLD,
    DEFAULT,
    STRATEGIES,
    WITHOUT_MODEL,
    Pool,
    margins,
    select,
)


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def a_pool(count: int = 300, labels: int = 5, seed: int = 0) -> Pool:
    draw = np.random.default_rng(seed)
    chances = draw.dirichlet(np.full(labels, 0.5), count)
    vectors = unit(draw.normal(size=(count, 12)))
    return Pool(vectors, chances, labelled=unit(draw.normal(size=(9, 12))))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_picks_as_many_as_are_wanted_once_each(name: str) -> None:
    pool = a_pool()
    picked = select(name, pool, 40, 7)
    assert len(set(picked.tolist())) == len(picked) == 40
    assert np.array_equal(picked, select(name, pool, 40, 7))
    assert sorted(select(name, pool, 1000, 7).tolist()) == list(range(300))
    assert len(select(name, pool, 0, 7)) == 0
    copies = Pool(np.repeat(pool.vectors[:3], 8, axis=0), np.repeat(pool.chances[:3], 8, axis=0))
    assert len(set(select(name, copies, 10, 7).tolist())) == 10
    several = Pool(pool.vectors, np.random.default_rng(3).random((300, 5)), several=True)
    assert len(set(select(name, several, 20, 7).tolist())) == 20
    without = Pool(pool.vectors)
    if name in WITHOUT_MODEL:
        assert len(select(name, without, 20, 7)) == 20
    else:
        with pytest.raises(RequestError, match="needs a model"):
            select(name, without, 20, 7)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("least-confidence", "least_confident"),
        ("margin", "margin_sampling"),
        ("entropy", "entropy"),
    ],
)
def test_doubt_is_scikit_activemls(name: str, theirs: str) -> None:
    pool = a_pool()
    wanted = np.argsort(-uncertainty_scores(pool.chances, method=theirs), kind="stable")[:25]
    assert select(name, pool, 25, 0).tolist() == wanted.tolist()


def test_k_centre_is_scikit_activemls_core_set() -> None:
    pool = a_pool()
    every = np.concatenate([pool.labelled, pool.vectors])
    known = np.r_[np.zeros(9), np.full(300, MISSING_LABEL)]
    wanted = CoreSet(random_state=0).query(every, known, batch_size=30) - 9
    assert select("k-centre", pool, 30, 0).tolist() == wanted.tolist()


def test_badge_is_k_means_plus_plus_on_gradients() -> None:
    """The same draws on gradients that are laid out pick the same texts."""
    pool = a_pool(200)
    wrong = pool.chances.copy()
    wrong[np.arange(200), wrong.argmax(axis=1)] -= 1
    gradients = (wrong[:, :, None] * pool.vectors[:, None, :]).reshape(200, -1)
    draw = np.random.default_rng(4)
    picked = [int((gradients**2).sum(axis=1).argmax())]
    while len(picked) < 30:
        far = ((gradients[:, None] - gradients[picked]) ** 2).sum(axis=2).min(axis=1)
        far[picked] = 0
        picked.append(int(draw.choice(200, p=far / far.sum())))
    assert select("badge", pool, 30, 4).tolist() == picked


def test_diverse_margin_is_doubtful_and_spread() -> None:
    """Of twenty doubtful copies one is asked, not twenty as by margin alone."""
    draw = np.random.default_rng(5)
    vectors = unit(draw.normal(size=(400, 12)))
    vectors[:20] = vectors[0]
    first = np.r_[np.full(20, 0.5), draw.uniform(0.5, 1, 380)]
    pool = Pool(vectors, np.stack([first, 1 - first], axis=1))
    assert select("margin", pool, 20, 0).tolist() == list(range(20))
    picked = select(DEFAULT, pool, 20, 0)
    assert (picked < 20).sum() == 1
    wide = np.sort(margins(pool))[200]
    assert margins(pool)[picked].max() <= wide
    assert (np.diff(margins(pool)[picked]) >= 0).all()


def test_the_first_texts_are_typical_and_of_every_kind() -> None:
    draw = np.random.default_rng(6)
    centres = draw.normal(size=(8, 12))
    kinds = np.r_[np.arange(400) % 8, np.full(20, -1)]
    spread = np.where(kinds < 0, 5.0, 0.2)[:, None]
    vectors = unit(centres[kinds] * (kinds >= 0)[:, None] + spread * draw.normal(size=(420, 12)))
    picked = select(COLD, Pool(vectors), 12, 0)
    assert set(kinds[picked].tolist()) >= set(range(8))
    # What has labels already is not asked of again.
    later = select(COLD, Pool(vectors[4:400], labelled=vectors[:4]), 4, 0)
    assert set(kinds[4:400][later].tolist()) == {4, 5, 6, 7}


def test_an_unknown_strategy() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'margin'"):
        select("margins", a_pool(), 3, 0)
