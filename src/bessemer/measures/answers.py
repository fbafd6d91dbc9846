"""Precision, recall and F1 of sets of answers: labels of a text, or spans in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import ClassReport, Confusion, Measurement
from bessemer.measures.intervals import Floats, Sampling, share, wilson

Counts = NDArray[np.int64]
#: Counts that were added up, weighted or not.
Totals = Counts | Floats


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


def micro_f1(totals: Totals) -> Floats:
    """Return the F1 of counts, shape [..., 3] to [...].

    It is 1 where nothing is right and nothing answered.
    """
    return _f1(totals)[0]


def macro_f1(totals: Totals) -> Floats:
    """Return the mean F1 over labels that were right or answered, [..., labels, 3] to [...].

    It is 1 where no label is right and none answered.
    """
    each, seen = _f1(totals)
    number = seen.sum(axis=-1)
    total = np.sum(each, axis=-1, where=seen)
    mean = np.divide(total, number, out=np.ones_like(total), where=number > 0)
    return np.asarray(mean)


def _f1(totals: Totals) -> tuple[Floats, NDArray[np.bool_]]:
    """Return F1 of shape [...], and where anything is right or answered."""
    hits, answered, actual = np.moveaxis(np.asarray(totals, dtype=np.float64), -1, 0)
    total = np.asarray(answered + actual)
    seen = np.asarray(total > 0)
    return np.divide(2 * hits, total, out=np.ones_like(total), where=seen), seen


def by_label(counts: Counts, labels: Sequence[str], sampling: Sampling) -> list[ClassReport]:
    """Return each label's precision and recall with Wilson intervals, from [n, labels, 3]."""
    return [
        ClassReport(
            label=label,
            support=int(counts[:, number, 2].sum()),
            precision=_rate("precision", counts[:, number, 0], counts[:, number, 1], sampling),
            recall=_rate("recall", counts[:, number, 0], counts[:, number, 2], sampling),
        )
        for number, label in enumerate(labels)
    ]


def _rate(name: str, hits: Counts, among: Counts, sampling: Sampling) -> Measurement | None:
    """Return the share of answers that are hits, of both their counts in each example, or None.

    Several answers in one example are no more independent than examples of one cluster.
    """
    rows = np.flatnonzero(among)
    if not len(rows):
        return None
    if sampling.clusters is None and among[rows].max() == 1:
        return wilson(name, int(hits.sum()), len(rows), sampling.confidence)
    split = np.stack([hits[rows], among[rows] - hits[rows]], axis=1).ravel()
    right = np.repeat(np.tile([True, False], len(rows)), split)
    return share(name, right, sampling.over(np.repeat(rows, among[rows])))


def confusions(
    actual: Sequence[frozenset[str]],
    answered: Sequence[frozenset[str]],
    sampling: Sampling,
    *,
    most: int = 20,
) -> list[Confusion]:
    """Return which label was answered where another was missed, most frequent first.

    The share is of the examples that have the missed label.
    """
    pairs: dict[tuple[str, str], list[int]] = {}
    support: dict[str, list[int]] = {}
    for row, (right, given) in enumerate(zip(actual, answered, strict=True)):
        for missed in right:
            support.setdefault(missed, []).append(row)
        for missed in right - given:
            for wrong in given - right:
                pairs.setdefault((missed, wrong), []).append(row)
    ranked = sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:most]
    return [
        Confusion(
            actual=missed,
            predicted=wrong,
            share=share("share", np.isin(rows := support[missed], at), sampling.over(rows)),
        )
        for (missed, wrong), at in ranked
    ]
