"""Texts that stand for their clusters: central ones, typical ones (k-means)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from bessemer.core.errors import needs

#: Rounds of k-means: what comes after changes little of who is picked.
ROUNDS = 30
#: A cluster's texts that are looked at, the nearest to its centre, and neighbours that make one
#: of them typical.
LOOKED_AT, NEIGHBOURS = 1000, 20
#: Clusters at most; of more texts several come from one (Hacohen et al. 2022).
MOST = 500


def central(
    vectors: NDArray[np.float32], count: int, weights: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """Return the row nearest to each centre of `count` clusters; fewer where rows are equal.

    Args:
        vectors: Shape [n, width].
        count: How many clusters.
        weights: Of each row, shape [n].
        seed: Of the first centres.
    """
    places, centres = _means(vectors, count, seed, weights)
    far = ((vectors - centres[places]) ** 2).sum(axis=1)
    order = np.lexsort((far, places))
    _, first = np.unique(places[order], return_index=True)
    return order[first].astype(np.int64)


def typical(
    vectors: NDArray[np.float32], labelled: NDArray[np.float32], count: int, seed: int
) -> NDArray[np.int64]:
    """Return rows that are typical of their clusters: near to many others of it.

    There are as many clusters as labelled and wanted texts, `MOST` at most. Each time comes the
    most typical row that is left of the cluster with the fewest labels, the largest of such.

    Args:
        vectors: Shape [n, width], of length 1.
        labelled: Of the texts that have labels, shape [m, width].
        count: How many are wanted, n at most.
        seed: Of the first centres.
    """
    every = np.concatenate([vectors, labelled]) if len(labelled) else vectors
    wanted = min(count + len(labelled), MOST, len(every))
    places, centres = _means(every, wanted, seed)
    taken = np.bincount(places[len(vectors) :], minlength=wanted)
    left = np.bincount(places[: len(vectors)], minlength=wanted)
    ranked: dict[int, list[int]] = {}
    picked: list[int] = []
    while len(picked) < count:
        open_ = np.flatnonzero(left)
        one = int(open_[np.lexsort((-left[open_], taken[open_]))[0]])
        if one not in ranked:
            rows = np.flatnonzero(places[: len(vectors)] == one)
            ranked[one] = rows[_by_typicality(vectors[rows], centres[one])].tolist()
        picked.append(ranked[one].pop(0))
        taken[one] += 1
        left[one] -= 1
    return np.array(picked, dtype=np.int64)


def _by_typicality(vectors: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return row numbers of one cluster, the most typical first."""
    order = np.argsort(-(vectors @ centre), kind="stable")
    near = order[:LOOKED_AT]
    alike = vectors[near] @ vectors[near].T
    np.fill_diagonal(alike, -np.inf)
    kept = min(NEIGHBOURS, len(near) - 1)
    if kept < 1:
        return order
    closeness = np.sort(alike, axis=1)[:, -kept:].mean(axis=1)
    order[:LOOKED_AT] = near[np.argsort(-closeness, kind="stable")]
    return order


def _means(
    vectors: NDArray[np.float32],
    count: int,
    seed: int,
    weights: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each row's cluster, shape [n], and the centres, shape [count, width]."""
    with needs("train"):
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    model = KMeans(count, n_init=1, max_iter=ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        model.fit(vectors, sample_weight=weights)
    return model.labels_.astype(np.int64), model.cluster_centers_.astype(np.float32)
