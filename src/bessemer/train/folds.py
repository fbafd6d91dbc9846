"""What a probe on frozen vectors says of rows that it did not learn from."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bessemer.core.progress import Progress, Step
from bessemer.measures.calibration import probabilities, sigmoid
from bessemer.train.methods.probe import Head, choose

#: Parts that rows are divided into; each is predicted by a model of the others.
FOLDS = 5
#: Inverse regularisation strength; and a weaker one where some labels are wrong, which should not
#: be learnt by heart. Both were chosen on BANKING77's training rows.
STRENGTH, CAUTIOUS = 20.0, 5.0

Job = TypeVar("Job")


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


def learn(
    vectors: NDArray[np.float32], targets: NDArray[Any], outputs: int, strength: float = STRENGTH
) -> Head:
    """Return a head of one regularisation strength; see `train.methods.probe.choose`."""
    with _few():
        return _head(vectors, targets, outputs, strength)


def _head(
    vectors: NDArray[np.float32], targets: NDArray[Any], outputs: int, strength: float
) -> Head:
    # Of one strength nothing is chosen: any row does for a validation split.
    rows, one = (vectors, targets), (vectors[:1], targets[:1])
    return choose(rows, one, outputs, (strength,), balanced=False, progress=lambda _: None)[0]


def answer(head: Head, vectors: NDArray[np.float32], *, several: bool) -> NDArray[np.float64]:
    """Return probabilities, shape [n, outputs]; of `several` labels each by itself."""
    logits = vectors @ head[0].T + head[1]
    return sigmoid(logits) if several else probabilities(logits)


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
    folds = _folds(targets, together, seed)
    chances = np.zeros((len(vectors), outputs))
    judged = np.zeros(len(vectors), dtype=bool)

    def one(fold: int) -> None:
        inside = folds != fold
        head = _head(vectors[inside], targets[inside], outputs, CAUTIOUS)
        chances[~inside] = answer(head, vectors[~inside], several=targets.ndim == 2)
        if targets.ndim == 1:
            judged[~inside] = np.isin(targets[~inside], targets[inside])
        else:
            unseen = ~targets[inside].any(axis=0)
            judged[~inside] = ~(targets[~inside].astype(bool) & unseen).any(axis=1)

    _on_cores(one, np.unique(folds).tolist(), progress, "judge")
    return chances, judged


def curve(
    learnt: tuple[NDArray[np.float32], NDArray[Any]],
    asked: tuple[NDArray[np.float32], NDArray[Any]] | None,
    outputs: int,
    sizes: Sequence[int],
    seed: int,
    progress: Progress,
) -> NDArray[np.bool_]:
    """Return whether each row is answered rightly by probes that learnt from ever more labels.

    Args:
        learnt: Vectors [n, width] and targets of the labelled rows, in the order of their labels.
        asked: The same of other rows; None asks the labelled rows themselves, each a probe that
            did not learn from it.
        outputs: How many labels there are.
        sizes: How many of the labelled rows each probe may learn from.
        seed: Of the folds.
        progress: Is told after every probe.

    Returns:
        Shape [sizes, rows that are asked]; of several labels all must be right.
    """
    vectors, targets = learnt
    to_ask, wanted = asked or learnt
    # Without other rows each probe leaves a fold out; else there is one, which leaves nothing out.
    folds = np.full(len(vectors), -1)
    asking = np.zeros(len(to_ask), dtype=np.int64)
    if asked is None:
        folds = asking = _folds(targets, np.arange(len(vectors)), seed)
    right = np.zeros((len(sizes), len(to_ask)), dtype=bool)

    def one(job: tuple[int, int]) -> None:
        place, fold = job
        mine = np.flatnonzero(folds[: sizes[place]] != fold)
        theirs = np.flatnonzero(asking == fold)
        if not len(mine):
            return
        head = _head(vectors[mine], targets[mine], outputs, STRENGTH)
        chances = answer(head, to_ask[theirs], several=targets.ndim == 2)
        if targets.ndim == 2:
            right[place, theirs] = ((chances >= 0.5) == wanted[theirs]).all(axis=1)
        else:
            right[place, theirs] = chances.argmax(axis=1) == wanted[theirs]

    # The largest first: they take longest.
    places = range(len(sizes) - 1, -1, -1)
    _on_cores(one, [(p, int(f)) for p in places for f in np.unique(asking)], progress, "judge")
    return right


def _on_cores(
    one: Callable[[Job], None], jobs: Sequence[Job], progress: Progress, what: str
) -> None:
    import sklearn.linear_model  # noqa: F401  (limits reach the libraries that are there)
    import torch
    from threadpoolctl import threadpool_limits

    workers = torch.get_num_threads()
    with threadpool_limits(1), _few(), ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(one, jobs), 1):
            progress(Step(what, done, len(jobs), "fits"))


@contextlib.contextmanager
def _few() -> Iterator[None]:
    """Let scikit-learn say nothing of labels that are nearly as many as rows."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


def _folds(targets: NDArray[Any], together: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return each row's fold, shape [n]: groups are dealt out in turn, label by label.

    A group counts for the label of its first row; of several labels for the rarest.
    """
    strata = targets
    if targets.ndim == 2:
        rarity = np.where(targets > 0, targets.sum(axis=0), np.inf)
        strata = np.where(targets.any(axis=1), rarity.argmin(axis=1), targets.shape[1])
    groups, first, of_row = np.unique(together, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    order = shuffled[np.argsort(strata[first][shuffled], kind="stable")]
    dealt = np.empty(len(groups), dtype=np.int64)
    dealt[order] = np.arange(len(groups)) % FOLDS
    return dealt[of_row]
