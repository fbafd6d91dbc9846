"""Metrics of single-label classification, from true and predicted class numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Confusion
from bessemer.measures.intervals import wilson

Classes = NDArray[np.int64]


def macro_f1(actual: Classes, predicted: Classes, classes: int) -> float:
    """Return the mean F1 over the classes that occur in `actual` or `predicted`.

    Args:
        actual: True class numbers, shape [n].
        predicted: Answered class numbers, shape [n].
        classes: How many classes there are.
    """
    hits = np.bincount(actual[actual == predicted], minlength=classes)
    support = np.bincount(actual, minlength=classes)
    answered = np.bincount(predicted, minlength=classes)
    seen = (support + answered) > 0
    return float(np.mean(2 * hits[seen] / (support + answered)[seen]))


def confusions(
    actual: Classes,
    predicted: Classes,
    labels: Sequence[str],
    confidence: float,
    *,
    most: int = 20,
) -> list[Confusion]:
    """Return the pairs of labels most often taken for each other, most frequent first."""
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(matrix, (actual, predicted), 1)
    support = matrix.sum(axis=1)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:most]
    pairs = [divmod(int(flat), len(labels)) for flat in order]
    return [
        Confusion(
            actual=labels[row],
            predicted=labels[column],
            share=wilson("share", int(matrix[row, column]), int(support[row]), confidence),
        )
        for row, column in pairs
        if matrix[row, column] > 0
    ]
