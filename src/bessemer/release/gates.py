"""The gate: conditions held against a report; what was not measured never passes.

It looks at nothing but the report and the live release, so that it judges the same report alike
however often it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bessemer.core.evaluation import BOUNDS, AgainstLive, Threshold
from bessemer.core.report import (
    NOT_GIVEN,
    Fairness,
    Group,
    Measurement,
    Perturbed,
    Report,
    cell_name,
    stands_for,
)
from bessemer.core.verdict import Outcome, Verdict
from bessemer.measures.fairness import CRITERIA
from bessemer.measures.intervals import exact
from bessemer.release.conditions import BETTER, COSTS, OF_LABELS, Parsed

#: Loss of the headline metric that `not_worse_than` tolerates.
MARGIN = 0.02
#: Share of all rows above which a slice says no more than these do.
MOST_OF_ALL = 0.9


@dataclass(frozen=True)
class Rival:
    """The live release as the gate sees it."""

    release: str
    #: The headline metric of the new model less the live one's, or None when it could not be
    #: measured.
    difference: Measurement | None
    #: Why it could not be measured, or what was left out.
    because: str = ""


@dataclass(frozen=True)
class _Found:
    """What a threshold is held against."""

    what: str
    measured: Measurement | None
    #: Why it was not measured, or what is left to say.
    because: str = ""


def judge(conditions: Sequence[Parsed], report: Report, rival: Rival | None) -> Verdict:
    """Return the verdict on a report.

    A threshold holds the end of the interval that is nearer to failing, not the point.

    Args:
        conditions: Of the gate. What the report has not measured does not pass.
        report: Of the new model.
        rival: The live release, or None when nothing is live.
    """
    outcomes: list[Outcome] = []
    for condition in conditions:
        if isinstance(condition.bound, AgainstLive):
            outcomes.append(_against(condition.name, condition.bound, rival))
        else:
            for found in _all(condition.name, condition.bound, report):
                outcomes += _outcomes(found, condition.bound)
    return Verdict(outcomes=tuple(outcomes))


def _outcomes(found: _Found, bound: Threshold) -> Iterator[Outcome]:
    """Yield what becomes of each bound."""
    given = bound.model_dump(include=set(BOUNDS), exclude_none=True)
    for bound_name, value in given.items():
        word = "at least" if bound_name == "at_least" else "at most"
        condition, metric = f"{found.what} {word} {value:g}", found.measured
        if metric is None:
            yield Outcome(condition=condition, state="not measured", because=found.because)
            continue
        lower = bound_name == "at_least"
        passed = metric.low >= value if lower else metric.high <= value
        because = f"it is {metric.value:g}"
        if metric.interval != "exact":
            because = (
                f"it is {metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}] on"
                f" {metric.count}; the {'lower' if lower else 'upper'} end decides"
            )
        if not passed and metric.interval != "order statistic":
            end = metric.low if lower else metric.high
            because += _too_few(metric.count, metric.value, end, value)
        because += f"; {found.because}" if found.because else ""
        state: Literal["passed", "failed"] = "passed" if passed else "failed"
        yield Outcome(condition=condition, state=state, because=because)


def _too_few(count: int, value: float, end: float, bound: float) -> str:
    """Return how many test rows would do, where the value meets the bound and its end does not.

    An interval of n rows is as wide as the root of n is small.
    """
    room, away = value - bound, value - end
    if room * away <= 0:
        return ""
    needed = count * (away / room) ** 2
    told = f"{count:,} test rows are too few to be sure"
    return f", and {told}; about {float(f'{needed:.2g}'):,.0f} would do"


def _all(name: str, bound: Threshold, report: Report) -> list[_Found]:
    """Return everything that a threshold is held against."""
    read = _SUBJECTS.get(name)
    if read is None or (name in OF_LABELS and bound.label is None):
        placed = (read for place, read in _PLACES.items() if getattr(bound, place) is not None)
        read = next(placed, _metric)
    found = list(read(name, bound, report))
    return found or [_Found(name, None, "no test row says to which group it belongs")]


def _metric(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    because = f"nothing on the {report.split} split that {name} could be measured on"
    measured = report.metrics.get(name)
    yield _Found(name, measured, "" if measured else because)


def _of_label(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    what = f"{name} of {bound.label!r}"
    found = next((one for one in report.classes if one.label == bound.label), None)
    if found is None:
        yield _Found(what, None, f"there is no label {bound.label!r}")
        return
    measured = found.precision if name == "precision" else found.recall
    lacks = f"no test row has the label, or none was answered {bound.label!r}"
    yield _Found(what, measured, "" if measured else lacks)


def _weak_slices(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    total = report.metrics[report.headline].count
    if report.unsliced:
        lacks = f"no value of {', '.join(report.unsliced)} has rows enough: see evaluate.least"
        yield _Found("weak slices", None, lacks)
        return
    if not any(one.metric.count <= MOST_OF_ALL * total for one in report.slices):
        lacks = "no slice has rows enough: see evaluate.least and slices"
        yield _Found("weak slices", None, lacks)
        return
    weak = [one.name for one in report.slices if one.weak]
    told = ", ".join(weak[:5]) + (", …" if len(weak) > 5 else "")
    yield _Found("weak slices", exact(name, len(weak)), told)


def _behaviour(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    chosen = [one for one in report.behaviour if bound.under in (None, one.name)]
    if not chosen:
        which = f"the test {bound.under!r}" if bound.under else "any behavioural test"
        yield _Found(name, None, f"the report has no case of {which}")
    for one in chosen:
        what = f"{name} {one.name!r}"
        if one.passed.count:
            yield _Found(what, one.passed)
        else:
            yield _Found(what, None, "no test text holds what it replaces")


def _swapped(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    found = next((one for one in report.counterfactual if one.name == bound.under), None)
    because = "" if found else f"no test text has a term of {bound.under}"
    what = f"answers that change when {bound.under} is swapped"
    yield _Found(what, found.changed if found else None, because)


def _cost(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    measured = report.costs.get(name)
    yield _Found(name, measured, "" if measured else f"{name} was not measured")


def _leaked(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    what = "share of test rows that stand, or nearly so, in an earlier split"
    if (leaked := report.leaked) is None:
        yield _Found(what, None, "they were not counted")
    else:
        told = f"{round(leaked.value * leaked.count):,} of {leaked.count:,} rows"
        yield _Found(what, leaked, told)


def _within(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    column, given = next(iter((bound.within or {}).items()))
    value = cell_name(given)
    named = (s for s in report.slices if s.column == column and stands_for(given, s.value or ""))
    found = next(named, None)
    because = "" if found else f"too few test rows, or none, have {column} = {value}"
    metric = found.metric if found else None
    yield _Found(f"{name} within {column} = {value}", metric, because)


def _under(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    changes = (*report.robustness, *report.counterfactual)
    found = next((one for one in changes if one.name == bound.under), None)
    lacks = f"{bound.under} changes no test text, or was not measured"
    because = "" if found and found.metric else lacks
    if bound.drop_at_most is not None:
        yield _Found(f"drop of {name} under {bound.under}", _drop(found), because)
    else:
        metric = found.metric if found else None
        yield _Found(f"{name} under {bound.under}", metric, because)


def _drop(found: Perturbed | None) -> Measurement | None:
    if found is None or found.difference is None:
        return None
    gain = found.difference
    turned = {"value": -gain.value, "low": -gain.high, "high": -gain.low}
    return gain.model_copy(update=turned)


def _groups(name: str, bound: Threshold, report: Report) -> Iterator[_Found]:
    """Yield each group's value, or the gap between them; one too small is not measured."""
    columns = bound.across or ()
    told = " and ".join(columns)
    found = next((one for one in report.fairness if set(one.across) == set(columns)), None)
    if found is None:
        yield _Found(f"{name} across {told}", None, f"{told} was not measured")
    elif bound.gap_at_most is None:
        yield from (_of_group(name, group) for group in found.groups if not _nobody(group.where))
    else:
        yield _gap(name, found, f"{name} {'' if name in CRITERIA else 'gap '}across {told}")


def _gap(name: str, found: Fairness, what: str) -> _Found:
    gap = next((one for one in found.gaps if one.name == name), None)
    if gap is None or gap.measurement is None:
        return _Found(what, None, gap.because if gap else f"{name} was not measured")
    if small := _small(found):
        return _Found(what, None, f"too few test rows of {', '.join(small)}: see evaluate.least")
    if gap.because:
        more = "" if gap.label is None else ": name those that matter in evaluate.favourable"
        return _Found(what, None, gap.because + more)
    between = " and ".join(gap.between) + (f", label {gap.label}" if gap.label else "")
    return _Found(what, gap.measurement, f"between {between}" if between else "")


def _of_group(name: str, group: Group) -> _Found:
    what = f"{name} of {', '.join(f'{c} = {v}' for c, v in group.where.items())}"
    measured = group.metrics.get(name)
    because = "" if measured else f"{group.count} test rows are too few: see evaluate.least"
    return _Found(what, measured, because)


def _small(found: Fairness) -> list[str]:
    return [
        ", ".join(group.where.values())
        for group in found.groups
        if not group.metrics and not _nobody(group.where)
    ]


def _nobody(where: dict[str, str]) -> bool:
    """Return whether a group is that of rows which do not say to which they belong."""
    return any(value == NOT_GIVEN for value in where.values())


def _against(name: str, bound: AgainstLive, rival: Rival | None) -> Outcome:
    better = name == BETTER
    margin = bound.margin if bound.margin is not None else 0.0 if better else MARGIN
    condition = f"not worse than live by more than {margin:g}"
    if better:
        condition = "better than live" + (f" by more than {margin:g}" if margin else "")
    if rival is None:
        return Outcome(condition=condition, state="passed", because="nothing is live yet")
    if rival.difference is None:
        return Outcome(condition=condition, state="not measured", because=rival.because)
    gain, count = rival.difference, rival.difference.count
    if gain.interval == "exact":
        because = f"{rival.release} is the same model"
    else:
        because = (
            f"{gain.name.removesuffix('_difference')} less that of {rival.release} is"
            f" {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] on {count};"
            " the lower end decides"
        )
    because += f"; {rival.because}" if rival.because else ""
    passed = gain.low > margin if better else gain.low >= -margin
    if not passed:
        because += _too_few(count, gain.value, gain.low, margin if better else -margin)
    state: Literal["passed", "failed"] = "passed" if passed else "failed"
    return Outcome(condition=condition, state=state, because=because)


_Read = Callable[[str, Threshold, Report], Iterator[_Found]]
#: What reads a subject that is no metric, and a metric of some of the rows.
_SUBJECTS: dict[str, _Read] = {
    **dict.fromkeys(OF_LABELS, _of_label),
    **dict.fromkeys(COSTS, _cost),
    "weak_slices": _weak_slices,
    "leaked": _leaked,
    "behaviour": _behaviour,
    "counterfactual": _swapped,
}
_PLACES: dict[str, _Read] = {"across": _groups, "within": _within, "under": _under}
