"""What each section of a report shows: which rows, on which axis, and how many are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bessemer.core.axis import Axis, axis
from bessemer.core.report import ERRORS, Fairness, Gap, Measurement, Mitigated, Perturbed, Report

#: Share of test rows that stand in an earlier split, past which it is told loudly.
MOST_LEAKED = 0.05
#: Slices and labels that are drawn, and labels that a heat map has room for.
MOST_SLICES, MOST_LABELS, MOST_HEAT = 40, 20, 25


@dataclass(frozen=True)
class Row:
    """One row of a forest plot."""

    name: str
    measured: Measurement | None
    #: The record that it was made from.
    of: Any
    #: How many examples it has, measured or not.
    count: int
    weak: bool = False
    #: What the value was before, or without a change.
    other: float | None = None
    #: Whether there is something to measure: not where a change turns the meaning round.
    due: bool = True
    #: Whether it is drawn on the axis of the others.
    drawn: bool = True


@dataclass(frozen=True)
class Forest:
    """Values with their intervals on one axis, one beneath another."""

    rows: Sequence[Row]
    #: A value that all are held against.
    overall: float | None
    #: Rows that there is no room for.
    left: int = 0

    @property
    def axis(self) -> Axis | None:
        """Return what they lie on; None where nothing was measured."""
        told = [row.measured for row in self.rows if row.measured is not None and row.drawn]
        ends = [end for one in told for end in (one.low, one.high)]
        others = [row.other for row in self.rows if row.measured and row.other is not None]
        held = [] if self.overall is None else [self.overall]
        return axis([*ends, *others, *held]) if ends else None


@dataclass(frozen=True)
class Heat:
    """Which labels were taken for which: shares of the label in the row, in shades 1 to 4."""

    labels: Sequence[str]
    #: By actual and answered label; a label and itself is its recall.
    shares: dict[tuple[str, str], float]

    def shade(self, pair: tuple[str, str]) -> int:
        """Return how dark a cell is, against the largest confusion."""
        most = max(share for (one, other), share in self.shares.items() if one != other)
        return max(1, min(4, 1 + int(4 * self.shares[pair] / most))) if most else 1


def overall(report: Report) -> float | None:
    """Return the headline metric of the split, or None where it was not measured."""
    found = report.metrics.get(report.headline)
    return None if found is None else found.value


def metrics(report: Report) -> Forest:
    """Return all metrics of the split."""
    rows = [
        Row(name, one, one, one.count, drawn=name not in ERRORS)
        for name, one in report.metrics.items()
    ]
    return Forest(rows, None)


def slices(report: Report) -> Forest:
    """Return the worst slices."""
    shown = report.slices[:MOST_SLICES]
    rows = [Row(one.name, one.metric, one, one.metric.count, one.weak) for one in shown]
    return Forest(rows, overall(report), len(report.slices) - len(shown))


def confusions(report: Report) -> Forest:
    """Return the confusions in the report's order."""
    rows = [
        Row(f"{one.actual} → {one.predicted}", one.share, one, one.share.count)
        for one in report.confusions
    ]
    return Forest(rows, None)


def heat(report: Report) -> Heat | None:
    """Return the confusions as a heat map; None where there are too many labels, or none."""
    pairs = {(one.actual, one.predicted): one.share.value for one in report.confusions}
    labels = sorted({label for pair in pairs for label in pair})
    if not labels or len(labels) > MOST_HEAT:
        return None
    recalls = {
        (one.label, one.label): one.recall.value
        for one in report.classes
        if one.recall is not None and one.label in labels
    }
    return Heat(labels, recalls | pairs)


def labels(report: Report) -> Forest:
    """Return the labels whose recall is lowest."""
    told = [one for one in report.classes if one.recall is not None]
    told.sort(key=lambda one: (one.recall.value if one.recall else 0.0, one.label))
    shown = told[:MOST_LABELS]
    rows = [Row(one.label, one.recall, one, one.support) for one in shown]
    return Forest(rows, None, len(told) - len(shown))


def perturbed(report: Report, changes: Sequence[Perturbed]) -> Forest:
    """Return the headline metric under each change, and what it is of the same texts unchanged."""
    rows = []
    for one in changes:
        other = None
        if one.metric is not None and one.difference is not None:
            other = one.metric.value - one.difference.value
        rows.append(Row(one.name, one.metric, one, one.texts, other=other, due=one.keeps))
    return Forest(rows, overall(report))


def groups(report: Report, one: Fairness) -> dict[str, Forest]:
    """Return the groups by each metric, the headline first."""
    names = dict.fromkeys([report.headline, *(name for g in one.groups for name in g.metrics)])
    found = {}
    for name in names:
        rows = [
            Row(
                ", ".join(f"{column} = {value}" for column, value in group.where.items()),
                group.metrics.get(name),
                group,
                group.count,
            )
            for group in one.groups
        ]
        found[name] = Forest(rows, overall(report) if name == report.headline else None)
    return found


def mitigation(report: Report, mitigated: Mitigated) -> list[tuple[tuple[str, ...], Gap, Gap]]:
    """Return each gap without and with the mitigation, and the columns that it is across."""
    found = []
    for without, now in zip(mitigated.fairness, report.fairness, strict=True):
        with_it = {gap.name: gap for gap in now.gaps}
        found += [(now.across, gap, with_it[gap.name]) for gap in without.gaps]
    return found


def absent(report: Report) -> list[str]:
    """Return the parts that the report does not have, by the names of their sections."""
    parts: dict[str, Any] = {
        "calibration": report.calibration,
        "slices": report.slices,
        "confusions": report.confusions,
        "labels": report.classes,
        "robustness": report.robustness,
        "behaviour": report.behaviour,
        "fairness": report.fairness or report.counterfactual,
        "costs": report.costs,
    }
    return [name for name, part in parts.items() if not part]
