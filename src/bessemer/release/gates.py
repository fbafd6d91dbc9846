"""The gate: conditions on a report; what was not measured never passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from bessemer.core.errors import ProjectError, nearest
from bessemer.core.project import Condition, NotWorse, Threshold
from bessemer.core.report import Measurement, Outcome, Report, Verdict

NOT_WORSE = "not_worse_than"


@dataclass(frozen=True)
class Rival:
    """The live release as the gate sees it."""

    release: str
    #: The headline metric of the new model less the live one's, or None when it could not be
    #: measured.
    difference: Measurement | None
    #: Why it could not be measured.
    because: str = ""


def parse(
    condition: Condition, metrics: Sequence[str], where: str = "gate: "
) -> tuple[str, Threshold | NotWorse]:
    """Return a condition's subject and bound; `where` begins a message.

    Raises:
        ProjectError: It is no condition; the message names the nearest.
    """
    if len(condition) != 1:
        raise ProjectError(
            f"{where}{condition!r} is no condition.",
            remedy="Write one condition an entry, as `- accuracy: {at_least: 0.9}`.",
        )
    name, value = next(iter(condition.items()))
    known = [*metrics, NOT_WORSE]
    if name not in known:
        close = nearest(name, known)
        raise ProjectError(
            f"{where}{name!r} is not measured by this task.",
            remedy=(f"Did you mean {close!r}? " if close else "") + f"Known: {', '.join(known)}.",
        )
    try:
        if name == NOT_WORSE:
            return name, NotWorse.model_validate({"than": value} if value == "live" else value)
        return name, Threshold.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ProjectError(
            f"{where}{name}: {value!r}: {problem['msg']}.",
            remedy="Write `at_least` or `at_most` with a number, or `not_worse_than: live`.",
        ) from error


def judge(conditions: Sequence[Condition], report: Report, rival: Rival | None) -> Verdict:
    """Return the verdict on a report.

    A threshold holds the end of the interval that is nearer to failing, not the point.

    Args:
        conditions: From the project file.
        report: Of the new model.
        rival: The live release, or None when nothing is live.
    """
    outcomes = []
    for condition in conditions:
        name, bound = parse(condition, [*report.metrics, *condition])
        if isinstance(bound, NotWorse):
            outcomes.append(_against(rival, bound))
        elif name in report.metrics:
            outcomes += _bounds(name, report.metrics[name], bound)
        else:
            because = f"nothing on the {report.split} split that {name} could be measured on"
            outcomes.append(Outcome(condition=name, state="not measured", because=because))
    return Verdict(outcomes=tuple(outcomes))


def _bounds(name: str, metric: Measurement, bound: Threshold) -> list[Outcome]:
    text = f"{name} is {metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}] on {metric.count}"
    checks: list[tuple[str, bool, str]] = []
    if bound.at_least is not None:
        checks.append(
            (f"{name} at least {bound.at_least}", metric.low >= bound.at_least, "lower end")
        )
    if bound.at_most is not None:
        checks.append(
            (f"{name} at most {bound.at_most}", metric.high <= bound.at_most, "upper end")
        )
    return [
        Outcome(
            condition=condition,
            state="passed" if passed else "failed",
            because=f"{text}; the {end} decides",
        )
        for condition, passed, end in checks
    ]


def _against(rival: Rival | None, bound: NotWorse) -> Outcome:
    condition = f"not worse than live by more than {bound.margin}"
    if rival is None:
        return Outcome(condition=condition, state="passed", because="nothing is live yet")
    if rival.difference is None:
        return Outcome(condition=condition, state="not measured", because=rival.because)
    gain = rival.difference
    return Outcome(
        condition=condition,
        state="passed" if gain.low >= -bound.margin else "failed",
        because=f"{gain.name.removesuffix('_difference')} less that of {rival.release} is"
        f" {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] on {gain.count};"
        " the lower end decides",
    )
