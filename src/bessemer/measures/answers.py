"""Precision, recall and F1 of sets of answers: labels of a text, or spans in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import ClassReport, Confusion
from bessemer.measures.intervals import wilson

Counts = NDArray[np.int64]


def tally(
    actual: Sequence[frozenset[Any]],
    answered: Sequence[frozenset[Any]],
    labels: Sequence[str] = (),
    label_of: Callable[[Any], str] = str,
) -> Counts:
    """Count hits, answered and actual answers of every example.

    Args:
        actual: What is right, one set an example.
        answered: What was answered, as many.
        labels: If given, answers are counted label by label; others are left out.
        label_of: The label of an answer.

    Returns:
        Shape [n, 3], or [n, labels, 3].
    """
    if not labels:
        rows = [(len(a & b), len(b), len(a)) for a, b in zip(actual, answered, strict=True)]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)
    numbers = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(actual), len(labels), 3), dtype=np.int64)
    for row, pair in enumerate(zip(actual, answered, strict=True)):
        for column, found in enumerate([pair[0] & pair[1], pair[1], pair[0]]):
            for answer in found:
                if (number := numbers.get(label_of(answer))) is not None:
                    counts[row, number, column] += 1
    return counts


def micro_f1(counts: Counts) -> float:
    """Return the F1 of counts of shape [3]; 1 where nothing is right and nothing answered."""
    hits, answered, actual = counts
    return float(2 * hits / (answered + actual)) if answered + actual else 1.0


def macro_f1(counts: Counts) -> float:
    """Return the mean F1 over labels that were right or answered, from shape [labels, 3]."""
    seen = counts[:, 1] + counts[:, 2] > 0
    if not seen.any():
        return 1.0
    return float(np.mean(2 * counts[seen, 0] / (counts[seen, 1] + counts[seen, 2])))


def resampled(counts: Counts, statistic: Callable[[Counts], float]) -> Callable[[Counts], float]:
    """Return `statistic` of the summed counts as a function of row numbers, for a bootstrap."""
    flat = counts.reshape(len(counts), -1).astype(np.float64)

    def of(rows: Counts) -> float:
        weights = np.bincount(rows, minlength=len(flat)).astype(np.float64)
        return statistic((weights @ flat).reshape(counts.shape[1:]).astype(np.int64))

    return of


def by_label(counts: Counts, labels: Sequence[str], confidence: float) -> list[ClassReport]:
    """Return each label's precision and recall with Wilson intervals, from [n, labels, 3]."""
    reports = []
    for label, (hits, answered, support) in zip(labels, counts.sum(axis=0).tolist(), strict=True):
        reports.append(
            ClassReport(
                label=label,
                support=support,
                precision=wilson("precision", hits, answered, confidence) if answered else None,
                recall=wilson("recall", hits, support, confidence) if support else None,
            )
        )
    return reports


def confusions(
    actual: Sequence[frozenset[str]],
    answered: Sequence[frozenset[str]],
    confidence: float,
    *,
    most: int = 20,
) -> list[Confusion]:
    """Return which label was answered where another was missed, most frequent first.

    The share is of the examples that have the missed label.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    support: Counter[str] = Counter()
    for right, given in zip(actual, answered, strict=True):
        support.update(right)
        pairs.update((missed, wrong) for missed in right - given for wrong in given - right)
    return [
        Confusion(
            actual=missed,
            predicted=wrong,
            share=wilson("share", count, support[missed], confidence),
        )
        for (missed, wrong), count in sorted(pairs.items(), key=lambda p: (-p[1], p[0]))[:most]
    ]
