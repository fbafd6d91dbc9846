"""Which texts to label next: by a model's doubt, by how they lie to each other, or by both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bessemer.core.errors import RequestError, UnknownNameError, needs
from bessemer.improve import clusters

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Of how many times as many doubtful texts as are wanted `diverse-margin` takes different ones.
WIDER = 10
#: What is known before there is a model, and needs none.
COLD, DEFAULT = "typical", "diverse-margin"


@dataclass(frozen=True)
class Pool:
    """Texts that may be labelled, and what is known of them."""

    #: A frozen encoder's vectors of length 1, shape [n, width].
    vectors: NDArray[np.float32]
    #: Probability of each label as a model sees it, shape [n, labels]; None without a model.
    chances: Floats | None = None
    #: Whether a text may have several labels, each with a probability of its own.
    several: bool = False
    #: Vectors of the texts that have labels already, shape [m, width].
    labelled: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))


Strategy = Callable[[Pool, int, np.random.Generator], Rows]


def select(name: str, pool: Pool, count: int, seed: int) -> Rows:
    """Return the numbers of the texts to be labelled next, those to be asked first in front.

    The same pool, count and seed give the same texts.

    Args:
        name: A strategy of `STRATEGIES`.
        pool: The texts.
        count: How many are wanted; fewer are returned where there are fewer.
        seed: Of what is left to chance.

    Raises:
        UnknownNameError: There is no such strategy.
        RequestError: The strategy needs a model and there is none.
        MissingExtraError: scikit-learn is not installed.
    """
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    if pool.chances is None and name not in WITHOUT_MODEL:
        raise RequestError(
            f"The strategy {name!r} needs a model, and there is none yet.",
            remedy=f"Begin with {COLD!r}, or with {', '.join(sorted(WITHOUT_MODEL - {COLD}))}.",
        )
    count = min(count, len(pool.vectors))
    if not count:
        return np.zeros(0, dtype=np.int64)
    with needs("train"):
        from threadpoolctl import threadpool_limits
    # One core: with more, sums in another order could change who is picked.
    with threadpool_limits(1):
        return STRATEGIES[name](pool, count, np.random.default_rng(seed))


def random(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return texts as chance will have it: what every other strategy is held against."""
    return draw.permutation(len(pool.vectors))[:count].astype(np.int64)


def least_confidence(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return the texts whose best answer is least probable (Lewis & Gale 1994)."""
    chances = _chances(pool)
    if pool.several:
        return _lowest(np.log(np.maximum(chances, 1 - chances)).sum(axis=1), count)
    return _lowest(chances.max(axis=1), count)


def margin(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return the texts whose two best labels are most alike (Scheffer et al. 2001)."""
    return _lowest(margins(pool), count)


def entropy(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return the texts whose labels are least certain altogether (Shannon's entropy)."""
    chances = _chances(pool)
    if pool.several:
        chances = np.stack([chances, 1 - chances], axis=-1).reshape(len(chances), -1)
    return _lowest((chances * np.log(np.maximum(chances, 1e-300))).sum(axis=1), count)


def badge(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return texts that would move the last layer far, and in different directions.

    k-means++ on the gradients of the loss of the answered label (BADGE, Ash et al. 2020). Such a
    gradient is the outer product of what is wrong about the probabilities and the vector, so
    distances follow from inner products of these two, and it is never laid out.
    """
    chances = _chances(pool)
    answered = chances >= 0.5 if pool.several else _best(chances)
    wrong, vectors = chances - answered, pool.vectors.astype(np.float64)
    sizes = (wrong**2).sum(axis=1) * (vectors**2).sum(axis=1)
    picked = [int(sizes.argmax())]
    nearest = np.full(len(vectors), np.inf)
    while len(picked) < count:
        last = picked[-1]
        inner = (wrong @ wrong[last]) * (vectors @ vectors[last])
        nearest = np.minimum(nearest, np.maximum(sizes + sizes[last] - 2 * inner, 0))
        nearest[picked] = 0
        total = nearest.sum()
        if total <= 0:  # all others are copies of picked ones
            rest = np.setdiff1d(np.arange(len(vectors)), picked)
            picked += draw.permutation(rest)[: count - len(picked)].tolist()
            break
        picked.append(int(draw.choice(len(vectors), p=nearest / total)))
    return np.array(picked, dtype=np.int64)


def k_centre(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return the texts that leave none far from a labelled one (Sener & Savarese 2018, greedy).

    Each is the farthest from all that are labelled or picked; without any it begins with the one
    nearest to the mean.
    """
    vectors = pool.vectors
    # Of vectors of length 1 the farthest is the least alike.
    alike = np.full(len(vectors), -np.inf)
    for one in np.array_split(pool.labelled, len(pool.labelled) // 512 + 1):
        if len(one):
            alike = np.maximum(alike, (vectors @ one.T).max(axis=1))
    picked: list[int] = []
    while len(picked) < count:
        first = not picked and not len(pool.labelled)
        row = int((vectors @ vectors.mean(axis=0)).argmax()) if first else int(alike.argmin())
        picked.append(row)
        alike = np.maximum(alike, vectors @ vectors[row])
        alike[row] = np.inf
    return np.array(picked, dtype=np.int64)


def diverse_margin(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return texts with little margin that are unlike each other (Zhdanov 2019).

    `WIDER` times as many as are wanted are clustered, each weighing 1 - margin, and from each
    cluster comes the text nearest to its centre.
    """
    margins_ = margins(pool)
    wide = _lowest(margins_, min(WIDER * count, len(margins_)))
    seed = int(draw.integers(2**31))
    # A weight of nothing could leave a cluster without a centre.
    weights = np.maximum(1 - margins_[wide], 1e-6)
    picked = wide[clusters.central(pool.vectors[wide], count, weights, seed)]
    rest = wide[~np.isin(wide, picked)][: count - len(picked)]
    return np.concatenate([picked[np.argsort(margins_[picked], kind="stable")], rest])


def typical(pool: Pool, count: int, draw: np.random.Generator) -> Rows:
    """Return a typical text of each cluster, first of large ones without a label.

    (TypiClust, Hacohen et al. 2022.) It needs no model: with few labels a model's doubts mislead.
    """
    return clusters.typical(pool.vectors, pool.labelled, count, int(draw.integers(2**31)))


def margins(pool: Pool) -> Floats:
    """Return by how much the best label leads, shape [n]; of several labels the closest call."""
    chances = _chances(pool)
    if pool.several:
        return np.asarray(np.abs(2 * chances - 1).min(axis=1))
    if chances.shape[1] < 2:
        return np.ones(len(chances))
    best = np.partition(chances, -2, axis=1)
    return np.asarray(best[:, -1] - best[:, -2])


#: All strategies by name.
STRATEGIES: dict[str, Strategy] = {
    "random": random,
    "least-confidence": least_confidence,
    "margin": margin,
    "entropy": entropy,
    "badge": badge,
    "k-centre": k_centre,
    "diverse-margin": diverse_margin,
    "typical": typical,
}
#: Those that ask no model.
WITHOUT_MODEL = frozenset({"random", "k-centre", "typical"})


def _chances(pool: Pool) -> Floats:
    assert pool.chances is not None
    return pool.chances


def _best(chances: Floats) -> NDArray[np.bool_]:
    best = np.zeros(chances.shape, dtype=bool)
    best[np.arange(len(chances)), chances.argmax(axis=1)] = True
    return best


def _lowest(scores: Floats, count: int) -> Rows:
    return np.argsort(scores, kind="stable")[:count]
