"""What a probe says of rows that it did not learn from: out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.progress import Progress, Step
from bessemer.measures.calibration import probabilities, sigmoid
from bessemer.train.methods.probe import choose

#: Parts that rows are divided into; each is predicted by a model of the others.
FOLDS = 5
#: Inverse regularisation strength, weaker than what fits clean labels best: a wrong label should
#: not be learnt by heart.
STRENGTH = 5.0


def groups(*columns: Sequence[str | None]) -> NDArray[np.int64]:
    """Return a number for each row, the same for all rows that share a value of some column.

    Args:
        columns: A value for each row; None is nobody's but the row's own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(columns[0])
    names: dict[tuple[int, str], int] = {}
    edges = [
        (row, count + names.setdefault((number, value), len(names)))
        for number, column in enumerate(columns)
        for row, value in enumerate(column)
        if value is not None
    ]
    rows, values = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    size = count + len(names)
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, values)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][:count], dtype=np.int64)


def out_of_fold(
    vectors: NDArray[np.float32],
    targets: NDArray[Any],
    outputs: int,
    together: NDArray[np.int64],
    seed: int,
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each row's probabilities by a logistic regression that learnt from other rows.

    Args:
        vectors: A frozen encoder's, shape [n, width].
        targets: Label numbers, shape [n]; or 0 and 1, shape [n, outputs].
        outputs: How many labels there are.
        together: Group of each row, shape [n]: rows of one group are in one fold, so that no
            model has seen a copy of what it is asked.
        seed: Of the folds.
        progress: Is told after every fold.

    Returns:
        Probabilities, shape [n, outputs]; and whether the row's model had seen all of the row's
        labels, shape [n]: what it says of the others means nothing.
    """
    import torch
    from threadpoolctl import threadpool_limits

    folds = _folds(targets, together, seed)
    chances = np.zeros((len(vectors), outputs))
    judged = np.zeros(len(vectors), dtype=bool)

    def one(fold: int) -> None:
        inside = folds != fold
        learnt, asked = ((vectors[rows], targets[rows]) for rows in (inside, ~inside))
        (coefficients, intercepts), _ = choose(
            learnt, asked, outputs, (STRENGTH,), balanced=False, progress=lambda _: None
        )
        logits = vectors[~inside] @ coefficients.T + intercepts
        chances[~inside] = probabilities(logits) if targets.ndim == 1 else sigmoid(logits)
        if targets.ndim == 1:
            judged[~inside] = np.isin(targets[~inside], targets[inside])
        else:
            unseen = ~targets[inside].any(axis=0)
            judged[~inside] = ~(targets[~inside].astype(bool) & unseen).any(axis=1)

    numbers = np.unique(folds)
    with threadpool_limits(1), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for done, _ in enumerate(pool.map(one, numbers), 1):
            progress(Step("predict", done, len(numbers), "folds"))
    return chances, judged


def _folds(targets: NDArray[Any], together: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return each row's fold, shape [n]; each label is spread over the folds evenly."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    strata = targets
    if targets.ndim == 2:  # of each row's labels the rarest; the last stratum has none
        rarity = np.where(targets > 0, targets.sum(axis=0), np.inf)
        strata = np.where(targets.any(axis=1), rarity.argmin(axis=1), targets.shape[1])
    count = min(FOLDS, len(np.unique(together)))
    kind = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = np.zeros(len(targets), dtype=np.int64)
    with warnings.catch_warnings():
        # Labels rarer than there are folds are told by `judged`.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, rows) in enumerate(kind.split(targets, strata, together)):
            folds[rows] = fold
    return folds
