"""Several annotators' labels of the same items: how far they agree, what is probably right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Rounds of Dawid and Skene's estimate, and the mean change of a probability at which it ends.
ROUNDS, STILL = 200, 1e-7
#: Added to every cell of a confusion, so that what was never seen is not impossible.
UNSEEN = 1e-6
#: Votes that each annotator is taken to have given rightly for each label beforehand: of little,
#: the estimate would make too much.
TRUSTED = 1.0


@dataclass(frozen=True)
class Votes:
    """Who called what by which label: one number each, int64 of shape [votes], from 0 up."""

    items: NDArray[np.int64]
    annotators: NDArray[np.int64]
    labels: NDArray[np.int64]
    #: How many items, annotators and labels there are.
    sizes: tuple[int, int, int]

    @classmethod
    def of(
        cls, votes: Sequence[tuple[str, str, str]]
    ) -> tuple[Votes, list[str], list[str], list[str]]:
        """Return votes of (item, annotator, label), and the names in the order of their numbers.

        Items and annotators are numbered as they come, labels in the order of their names. Of an
        annotator's several votes on one item the last one counts.
        """
        last = {(item, annotator): label for item, annotator, label in votes}
        items = list(dict.fromkeys(item for item, _ in last))
        annotators = list(dict.fromkeys(annotator for _, annotator in last))
        labels = sorted(set(last.values()))
        numbers = [{name: n for n, name in enumerate(some)} for some in (items, annotators, labels)]
        rows = [
            (numbers[0][item], numbers[1][annotator], numbers[2][label])
            for (item, annotator), label in last.items()
        ]
        numbered = np.array(rows, dtype=np.int64).reshape(-1, 3)
        sizes = (len(items), len(annotators), len(labels))
        found = cls(numbered[:, 0], numbered[:, 1], numbered[:, 2], sizes)
        return found, items, annotators, labels

    def counts(self) -> NDArray[np.int64]:
        """Return how often each item was called by each label, shape [items, labels]."""
        count, _, labels = self.sizes
        places = self.items * labels + self.labels
        return np.bincount(places, minlength=count * labels).reshape(count, labels)


@dataclass(frozen=True)
class Consensus:
    """What is probably right, and how each annotator errs."""

    #: Probability of each label, shape [items, labels].
    chances: NDArray[np.float64]
    #: Of each annotator how often a label (row) is called by each (column): shape
    #: [annotators, labels, labels], rows add up to 1.
    confusions: NDArray[np.float64]
    #: Share of each label.
    shares: NDArray[np.float64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the most probable label of each item; of equal ones the first."""
        best: NDArray[np.int64] = self.chances.argmax(axis=1)
        return best

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Return how often each annotator is probably right, shape [annotators]."""
        right = np.diagonal(self.confusions, axis1=1, axis2=2)
        return np.asarray(right @ self.shares)


def alpha(votes: Votes) -> float | None:
    """Return Krippendorff's alpha for names (nominal data), 1 where all agree, 0 as by chance.

    (Krippendorff 2011.) None where it says nothing: no item has two votes, or there is one label.
    """
    times = np.bincount(votes.items, minlength=votes.sizes[0])
    several = times[votes.items] > 1
    items, called = votes.items[several], votes.labels[several]
    shares, total = np.bincount(called), len(called)
    chance = total**2 - int((shares**2).sum())
    if not chance:
        return None
    # Not a table of items and labels: of spans, each answer may be a label of its own.
    cells, counts = np.unique(items * votes.sizes[2] + called, return_counts=True)
    alike = (counts * (counts - 1) / (times[cells // votes.sizes[2]] - 1)).sum()
    return float(1 - (total - 1) * (total - alike) / chance)


def kappa(votes: Votes, first: int, second: int) -> tuple[int, float | None]:
    """Return on how many items two annotators both voted, and Cohen's kappa of these votes.

    1 where they always agree, 0 as often as by chance (Cohen 1960). None where it says nothing:
    no item has both, or both call all by one label.
    """
    one, other = (votes.annotators == annotator for annotator in (first, second))
    _, mine, theirs = np.intersect1d(
        votes.items[one], votes.items[other], assume_unique=True, return_indices=True
    )
    called, calls = votes.labels[one][mine], votes.labels[other][theirs]
    both, labels = len(mine), votes.sizes[2]
    shares = [np.bincount(some, minlength=labels) for some in (called, calls)]
    chance = int(shares[0] @ shares[1])
    if both**2 == chance:
        return both, None
    return both, float((both * int((called == calls).sum()) - chance) / (both**2 - chance))


def majority(votes: Votes) -> NDArray[np.int64]:
    """Return the label with most votes of each item; of equal ones that which is more frequent."""
    counts = votes.counts()
    frequent = np.bincount(votes.labels, minlength=votes.sizes[2])
    # Below half a vote, so that it decides among equals alone.
    best: NDArray[np.int64] = (counts + frequent / (2 * len(votes.labels) + 2)).argmax(axis=1)
    return best


def dawid_skene(votes: Votes, *, still: float = STILL) -> Consensus:
    """Return labels and confusions that explain the votes best (Dawid & Skene 1979, by EM).

    Every annotator errs in a way of their own, whatever the item; `TRUSTED` votes stand for what
    is known of them beforehand. It begins with the shares of the votes. Memory: a number for each
    item and label, and for each vote and label.

    Args:
        votes: The votes.
        still: Mean change of a probability at which it ends.
    """
    items, annotators, labels = votes.sizes
    by_item = _Groups(votes.items, items)
    # Votes of one annotator for one label: a column of that annotator's confusion.
    by_cell = _Groups(votes.annotators * labels + votes.labels, annotators * labels)
    counts = votes.counts()
    chances = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for _ in range(ROUNDS):
        shares = chances.mean(axis=0)
        cells = by_cell.sums(chances[votes.items]).reshape(annotators, labels, labels)
        confusions = cells.transpose(0, 2, 1) + UNSEEN + TRUSTED * np.eye(labels)
        confusions /= confusions.sum(axis=2, keepdims=True)
        columns = np.log(confusions).transpose(0, 2, 1).reshape(annotators * labels, labels)
        logs = by_item.sums(columns[by_cell.groups]) + np.log(shares + UNSEEN)
        logs -= logs.max(axis=1, keepdims=True)
        before, chances = chances, np.exp(logs)
        chances /= chances.sum(axis=1, keepdims=True)
        if np.abs(chances - before).mean() < still:
            break
    return Consensus(chances, confusions, shares)


class _Groups:
    """Rows in groups, to be added up many times.

    Args:
        groups: Each row's group, shape [rows].
        count: How many groups there are; some may have no row.
    """

    def __init__(self, groups: NDArray[np.int64], count: int) -> None:
        self.groups = groups
        self._count = count
        self._order = np.argsort(groups, kind="stable")
        self._present, self._starts = np.unique(groups[self._order], return_index=True)

    def sums(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of each group's rows, shape [groups, ...] of rows of shape [rows, ...]."""
        result = np.zeros((self._count, *rows.shape[1:]))
        if len(rows):
            result[self._present] = np.add.reduceat(rows[self._order], self._starts, axis=0)
        return result
