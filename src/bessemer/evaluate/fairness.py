"""How groups compare that protected columns divide a split into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.errors import ProjectError, UnknownNameError
from bessemer.core.report import NOT_GIVEN, Fairness, Gap, Group, Measurement, cell_name
from bessemer.evaluate.examined import Examined
from bessemer.measures.fairness import (
    CRITERIA,
    Groups,
    Part,
    max_gap,
    measured,
    of_measurements,
    outcomes,
)
from bessemer.tasks.base import Answers

Mask = NDArray[np.bool_]
#: Whether the positive outcome is right for, and answered to, each row, by label; None stands for
#: all favourable labels.
Positive = dict[str | None, tuple[Mask, Mask]]
#: Values that a protected column has at most.
MOST_GROUPS = 50
#: Draws of the bootstrap that lie beyond either end of an interval, so that the end is no accident;
#: and draws at most: ends that are farther out are a normal's.
DRAWS_BEYOND, MOST_DRAWS = 5, 5_000
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def fairness(
    examined: Examined, protected: Sequence[str], favourable: Sequence[str], least: int
) -> list[Fairness]:
    """Return how groups compare: of each protected column, then of several together.

    Args:
        examined: The split, with the protected columns.
        protected: The columns.
        favourable: Labels that are good to get; without them one label after another is.
        least: Rows that a group needs to be measured; one that has all its rows in other splits has
            none here.

    Raises:
        ProjectError: A column has too many values to be a group.
        UnknownNameError: A favourable label is none of the task's.
    """
    cells = {
        name: groups(name, [*examined.columns[name], *examined.elsewhere.get(name, ())])
        for name in protected
    }
    positive = _positive(examined, favourable)
    across = [
        names for size in range(1, len(protected) + 1) for names in combinations(protected, size)
    ]
    return [
        _compare(examined, {name: cells[name] for name in names}, positive, least)
        for names in across
    ]


def groups(name: str, values: Sequence[Any]) -> list[str]:
    """Return the group of each row by the values of a protected column.

    Raises:
        ProjectError: It has too many values to be a group, or one that stands for none.
    """
    names = [cell_name(value) for value in values]
    if NOT_GIVEN in names:
        raise ProjectError(
            f"evaluate.protected: {name!r} holds {NOT_GIVEN!r}, which is what rows are called that"
            " hold nothing.",
            remedy="Leave these cells empty, or call them otherwise.",
        )
    cells = [value or NOT_GIVEN for value in names]
    count = len(set(cells) - {NOT_GIVEN})
    if count > MOST_GROUPS:
        raise ProjectError(
            f"evaluate.protected: {name!r} has {count:,} different values and is no group.",
            remedy=f"Name a column with at most {MOST_GROUPS} values.",
        )
    return cells


def _positive(examined: Examined, favourable: Sequence[str]) -> Positive:
    task = examined.task
    if not task.pooled:
        return {}
    found = frozenset[Any]().union(*examined.actual, *examined.answered)
    known = [*task.labels, *sorted(found.difference(task.labels))]
    for label in favourable:
        if label not in known and label != task.nothing:
            raise UnknownNameError("label", label, known, where="evaluate.favourable: ")
    sides = examined.actual, examined.answered
    if favourable:
        good = frozenset(favourable)
        yes = [np.array([not good.isdisjoint(row) for row in side], dtype=bool) for side in sides]
        return {None: (yes[0], yes[1])}
    actual, answered = (_holds(side, known) for side in sides)
    return {label: (actual[n], answered[n]) for n, label in enumerate(known)}


def _holds(rows: Sequence[Answers], labels: Sequence[str]) -> Mask:
    """Return whether each row has each label, shape [labels, n]."""
    numbers = {label: number for number, label in enumerate(labels)}
    holds = np.zeros((len(labels), len(rows)), dtype=bool)
    for row, answers in enumerate(rows):
        for answer in answers:
            holds[numbers[answer], row] = True
    return holds


def _compare(
    examined: Examined, cells: dict[str, list[str]], positive: Positive, least: int
) -> Fairness:
    rows = list(zip(*cells.values(), strict=True))
    values = sorted(set(rows), key=lambda some: (NOT_GIVEN in some, some))
    place = {some: number for number, some in enumerate(values)}
    # What lies behind the split's own rows is of other splits.
    numbers = np.array([place[some] for some in rows[: len(examined)]], dtype=np.int64)
    given = [some for some in values if NOT_GIVEN not in some]
    groups = Groups(
        tuple(", ".join(some) for some in given),
        np.where(numbers < len(given), numbers, -1),
        least,
        examined.sampling.clusters,
    )
    counts = np.bincount(numbers, minlength=len(values)).tolist()
    return Fairness(
        across=tuple(cells),
        groups=tuple(
            Group(
                where=dict(zip(cells, some, strict=True)),
                count=count,
                metrics=_metrics(examined, numbers == number, positive, least),
            )
            for number, (some, count) in enumerate(zip(values, counts, strict=True))
        ),
        gaps=_gaps(examined, groups, positive),
    )


def _metrics(
    examined: Examined, mask: Mask, positive: Positive, least: int
) -> dict[str, Measurement]:
    if mask.sum() < least:
        return {}
    found: list[Measurement | None] = [examined.headline(mask)]
    if None in positive:
        actual, answered = (side[mask] for side in positive[None])
        sampling = examined.sampling.of(mask)
        found += [measured(rate, actual, answered, sampling, least) for rate in RATES]
    return {metric.name: metric for metric in found if metric is not None}


def _gaps(examined: Examined, groups: Groups, positive: Positive) -> tuple[Gap, ...]:
    confidence, least = examined.sampling.confidence, groups.least
    headline = examined.task.metric_names[0]
    gaps = [max_gap(headline, [[_headline(examined, groups)]], confidence, least)]
    if not positive:
        return tuple(gaps)
    parts = {
        rate: [
            groups.compare(*outcomes(rate, actual, answered), label)
            for label, (actual, answered) in positive.items()
        ]
        for rate in RATES
    }
    for criterion, rates in CRITERIA.items():
        sides = list(zip(*(parts[rate] for rate in rates), strict=True))
        gaps.append(max_gap(criterion, sides, confidence, least))
    return tuple(gaps)


def _headline(examined: Examined, groups: Groups) -> Part:
    if examined.task.answers_once:
        return groups.compare(examined.right, np.ones(len(examined), dtype=bool))
    masks = [(name, groups.numbers == number) for number, name in enumerate(groups.names)]
    kept = [(name, mask) for name, mask in masks if mask.sum() >= groups.least]
    values = [(name, partial(_resampled, examined, mask)) for name, mask in kept]
    count = sum(int(mask.sum()) for _, mask in kept)
    return of_measurements(values, len(masks) - len(kept), count)


def _resampled(examined: Examined, mask: Mask, confidence: float) -> Measurement:
    wanted = ceil(2 * DRAWS_BEYOND / (1 - confidence))
    draws = max(examined.sampling.resamples, min(wanted, MOST_DRAWS))
    return examined.headline(mask, replace(examined.sampling.at(confidence), resamples=draws))
