"""Rates of groups, and the largest gap between any two of them, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Gap, Measurement
from bessemer.measures.intervals import Floats, Sampling, effective_count, share, wilson

Bools = NDArray[np.bool_]
#: Of a confidence: each group's value, lower and upper end, shape [3, groups].
Ends = Callable[[float], Floats]
#: The rates whose gaps are the three criteria (Hardt, Price & Srebro 2016): equalised odds is the
#: larger of two.
CRITERIA = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalised_odds": ("true_positive_rate", "false_positive_rate"),
}


@dataclass(frozen=True)
class Part:
    """One respect in which groups are compared, as the true-positive rate of one label."""

    #: Those that can be measured; how many cannot.
    groups: tuple[str, ...]
    missing: int
    #: Examples of all of them.
    count: int
    at: Ends
    label: str | None = None

    @property
    def measured(self) -> bool:
        """Return whether there are two groups to compare."""
        return len(self.groups) > 1


@dataclass(frozen=True)
class Groups:
    """Which group each example belongs to."""

    names: tuple[str, ...]
    #: Of each example, shape [n]: the number of its group, or -1 where it takes no part.
    numbers: NDArray[np.int64]
    #: Examples that a group's rate needs to be measured.
    least: int
    #: See `Sampling.clusters`; a cluster lies in one group.
    clusters: NDArray[np.int64] | None = None

    @cached_property
    def _rows(self) -> list[NDArray[np.int64]]:
        return [np.flatnonzero(self.numbers == number) for number in range(len(self.names))]

    def compare(self, hits: Bools, among: Bools, label: str | None = None) -> Part:
        """Return the groups' shares of hits.

        Args:
            hits: Which examples have the property, shape [n].
            among: The examples that the share is of, shape [n].
            label: Which label it is about.
        """
        among = among & (self.numbers >= 0)
        counts = np.bincount(self.numbers[among], minlength=len(self.names))
        found = np.bincount(self.numbers[among & hits], minlength=len(self.names))
        kept = np.flatnonzero(counts >= self.least)
        shares, sizes = found[kept] / np.maximum(counts[kept], 1), counts[kept].astype(np.float64)
        clustered = self._clustered(hits, among, kept)

        def at(confidence: float) -> Floats:
            worth = [effective_count(*some, confidence) for some in clustered]
            return _share_ends(shares, np.array(worth) if clustered else sizes, confidence)

        names, missing = tuple(self.names[number] for number in kept), len(counts) - len(kept)
        return Part(names, missing, int(counts[kept].sum()), at, label)

    def _clustered(
        self, hits: Bools, among: Bools, kept: NDArray[np.int64]
    ) -> list[tuple[Bools, NDArray[np.int64]]]:
        """Return hits and cluster numbers of the examples of each group; none without clusters."""
        if self.clusters is None:
            return []
        rows = [self._rows[number][among[self._rows[number]]] for number in kept]
        numbers = [np.unique(self.clusters[some], return_inverse=True)[1] for some in rows]
        return [(hits[r], n.astype(np.int64)) for r, n in zip(rows, numbers, strict=True)]


def outcomes(rate: str, actual: Bools, answered: Bools) -> tuple[Bools, Bools]:
    """Return which examples a rate counts, and which it is a share of, shape [n] each.

    Args:
        rate: "selection_rate", "true_positive_rate", "false_positive_rate" or "accuracy".
        actual: Whether the positive outcome is right for each example, shape [n].
        answered: Whether it is answered.
    """
    if rate == "true_positive_rate":
        return answered, actual
    if rate == "false_positive_rate":
        return answered, ~actual
    return actual == answered if rate == "accuracy" else answered, np.ones_like(actual)


def measured(
    name: str, actual: Bools, answered: Bools, sampling: Sampling, least: int
) -> Measurement | None:
    """Return a rate of one group's examples with Wilson's interval, or None of too few.

    Args:
        name: The rate's; see `outcomes`.
        actual: Whether the positive outcome is right for each example, shape [n].
        answered: Whether it is answered.
        sampling: Of these n examples.
        least: Examples that it needs.
    """
    hits, among = outcomes(name, actual, answered)
    if among.sum() < max(1, least):
        return None
    return share(name, hits[among], sampling.of(among))


def of_measurements(
    values: Sequence[tuple[str, Callable[[float], Measurement]]], missing: int, count: int
) -> Part:
    """Return groups compared by any metric.

    Args:
        values: Each group's name, and of a confidence the metric with its interval.
        missing: Groups that cannot be measured.
        count: Examples of all those that can.
    """

    def at(confidence: float) -> Floats:
        found = [of(confidence) for _, of in values]
        return np.array([[m.value, m.low, m.high] for m in found]).T

    return Part(tuple(name for name, _ in values), missing, count, at)


def max_gap(name: str, respects: Sequence[Sequence[Part]], confidence: float, least: int) -> Gap:
    """Return the largest difference between any two groups in any part.

    The lower end is the largest lower end of all differences that are looked at, held together:
    each part is held by `simultaneous` at the coverage that all of them have together at least
    (Šidák 1967). For the upper end nothing is corrected: the largest upper end misses the true gap
    only if that of the one pair that is truly farthest apart does. Intervals of differences are
    Newcombe's (1998), as in `intervals.difference`.

    Args:
        name: What the gap is called.
        respects: Of each label or of the one thing that is compared, its parts; where one of them
            cannot be measured, all of them are left out.
        confidence: Coverage of the interval.
        least: Examples that a group needs, for the words.
    """
    parts = [part for some in respects if all(one.measured for one in some) for part in some]
    because = _because(respects, least)
    if not parts:
        return Gap(name=name, measurement=None, because=because)
    each = confidence ** (1 / len(parts))
    apart, low, high = -1.0, 0.0, 0.0
    for part in parts:
        ends = part.at(confidence)
        single, upper = _differences(ends)
        high = max(high, upper)
        if single > low:  # else the end of the wider interval is not above it, either
            low = max(low, _differences(part.at(simultaneous(len(part.groups), each)))[0])
        if (spread := float(np.ptp(ends[0]))) > apart:
            apart, widest, values = spread, part, ends[0]
    farthest = (widest.groups[int(values.argmin())], widest.groups[int(values.argmax())])
    return Gap(
        name=name,
        measurement=Measurement(
            name=name, value=apart, low=low, high=high, count=widest.count, interval="simultaneous"
        ),
        between=farthest if apart else (),
        label=widest.label,
        because=because,
    )


@lru_cache(maxsize=1024)
def simultaneous(groups: int, confidence: float) -> float:
    """Return the coverage each group's interval needs so that all pairs' differences have it.

    The quantile of the studentised range (Tukey 1953), which holds at least as well where groups
    are not of one size (Hayter 1984); of two groups nothing changes.
    """
    from scipy.special import erf
    from scipy.stats import studentized_range

    # √2 of its standard deviations are one of a difference's, and √2 of these are erf's unit.
    return float(erf(studentized_range.ppf(confidence, groups, np.inf) / 2))


def _share_ends(shares: Floats, worth: Floats, confidence: float) -> Floats:
    """Return shares and the wider ends of Wilson's and Jeffreys' intervals, shape [3, groups].

    Wilson's lower end of a rare hit lies too high at the coverage that many comparisons need,
    Jeffreys' (Brown, Cai & DasGupta 2001) upper end too low where there is none.
    """
    from scipy.special import betaincinv

    hits, tail = shares * worth, (1 - confidence) / 2
    found = [wilson("", h, w, confidence) for h, w in zip(hits, worth, strict=True)]
    low, high = (betaincinv(hits + 0.5, worth - hits + 0.5, chance) for chance in (tail, 1 - tail))
    low = np.minimum(low, [m.low for m in found])
    high = np.maximum(high, [m.high for m in found])
    return np.stack([shares, np.minimum(low, shares), np.maximum(high, shares)])


def _differences(ends: Floats) -> tuple[float, float]:
    """Return the largest lower and the largest upper end of a difference, all pairs looked at."""
    value, below, above = ends[0], ends[0] - ends[1], ends[2] - ends[0]
    apart = value[:, None] - value
    low = apart - np.hypot(below[:, None], above)
    high = apart + np.hypot(above[:, None], below)
    np.fill_diagonal(high, 0.0)  # a group does not differ from itself
    return float(low.max()), float(high.max())


def _because(respects: Sequence[Sequence[Part]], least: int) -> str:
    """Return what could not be measured, in words; "" where everything could."""
    gone = sum(not all(part.measured for part in some) for some in respects)
    missing = [max((part.missing for part in some), default=0) for some in respects]
    if len(respects) == 1:
        if gone:
            return f"fewer than two groups have {least} rows that it is a share of"
        return f"groups of fewer than {least} examples left out: {missing[0]}" * bool(missing[0])
    told = [f"labels that fewer than two groups have {least} examples of, left out: {gone}"]
    told = told if gone else []
    if some := sum(map(bool, missing)) - gone:
        told.append(f"labels that a group has fewer than {least} examples of, without it: {some}")
    return "; ".join(told)
