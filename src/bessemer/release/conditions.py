"""What a gate may ask for: conditions read strictly, and what must be measured for them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from bessemer.core.errors import ProjectError, nearest
from bessemer.core.evaluation import BOUNDS, AgainstLive, Condition, Evaluate, Threshold
from bessemer.measures.fairness import CRITERIA

NOT_WORSE, BETTER = "not_worse_than", "better_than"
COSTS = ("latency_ms", "size_mb", "memory_mb")
MEMORY = "memory_mb"
#: Of one label, where the condition names it.
OF_LABELS = ("precision", "recall")
#: What may stand beside each subject that is no metric: bounds, then whose.
KNOWN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CRITERIA, ("gap_at_most", "across")),
    **dict.fromkeys(COSTS, ("at_most",)),
    **dict.fromkeys(OF_LABELS, ("at_least", "label")),
    "counterfactual": ("at_most", "under"),
    "behaviour": ("at_least", "under"),
    "weak_slices": ("at_most",),
    "leaked": ("at_most",),
}
#: What cannot be told without it.
NEEDED = {**dict.fromkeys(OF_LABELS, "label"), "counterfactual": "under"}
_METRIC = ("at_least", "at_most")
_HEADLINE = (*BOUNDS, "within", "across", "under")
#: Subjects that are no shares: their bounds may be above 1.
_ABOVE_ONE = (*COSTS, "weak_slices")
_REMEDY = (
    "Write `at_least` or `at_most` with a number, or `not_worse_than: live`;"
    " docs/howto/gate.md shows every kind."
)


@dataclass(frozen=True)
class Parsed:
    """A condition: what it is about, and the bound."""

    name: str
    bound: Threshold | AgainstLive


def parse(condition: Condition, metrics: Sequence[str], where: str) -> Parsed:
    """Return a condition's subject and bound.

    Args:
        condition: From the project file.
        metrics: What the task measures, the headline metric first.
        where: Begins a message.

    Raises:
        ProjectError: It is no condition; the message names the nearest.
    """
    if len(condition) != 1:
        raise ProjectError(
            f"{where}{condition!r} is no condition.",
            remedy="Write one condition an entry, as `- accuracy: {at_least: 0.9}`.",
        )
    name, value = next(iter(condition.items()))
    known = list(dict.fromkeys([*metrics, *KNOWN, NOT_WORSE, BETTER]))
    if name not in known:
        close = nearest(name, known)
        raise ProjectError(
            f"{where}{name!r} is not measured by this task.",
            remedy=(f"Did you mean {close!r}? " if close else "") + f"Known: {', '.join(known)}.",
        )
    try:
        if name in (NOT_WORSE, BETTER):
            given = {"than": value} if isinstance(value, str) else value
            return Parsed(name, AgainstLive.model_validate(given))
        bound = Threshold.model_validate(value)
    except ValidationError as error:
        raise _refused(name, value, error, where) from error
    _check(name, bound, metrics, where)
    return Parsed(name, bound)


def _refused(name: str, value: object, error: ValidationError, where: str) -> ProjectError:
    """Return what is wrong with a bound, in words."""
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    known = list((AgainstLive if name in (NOT_WORSE, BETTER) else Threshold).model_fields)
    if problem["type"] == "extra_forbidden":
        close = nearest(key, known)
        return ProjectError(
            f"{where}{name}: the key {key!r} is not known.",
            remedy=(f"Did you mean {close!r}? " if close else "")
            + f"Known here: {', '.join(known)}.",
        )
    if problem["type"] == "model_type":
        return ProjectError(f"{where}{name} is {value!r}, which is no bound.", remedy=_REMEDY)
    told = f"{problem['msg'][0].lower()}{problem['msg'][1:]}".removeprefix("value error, ")
    what = f"{name}: {key} is {problem['input']!r}" if key else f"{name} is {value!r}"
    return ProjectError(f"{where}{what}: {told}.", remedy=_REMEDY)


def _check(name: str, bound: Threshold, metrics: Sequence[str], where: str) -> None:
    given = bound.model_dump(exclude_none=True)
    allowed = KNOWN.get(name, ())
    if name in metrics and not (name in OF_LABELS and bound.label is not None):
        allowed = _HEADLINE if name == metrics[0] else _METRIC
    for key in given:
        if key not in allowed:
            raise ProjectError(
                f"{where}{name} takes no {key}.",
                remedy=f"It takes {', '.join(allowed)}."
                + (f" {metrics[0]} takes {key}." if key in _HEADLINE else ""),
            )
    if name not in metrics and (needed := NEEDED.get(name)) and needed not in given:
        raise ProjectError(f"{where}{name} needs {needed}.", remedy=f"Say whose: `{needed}: …`.")
    high = [b for b in ("at_least", "at_most") if (given.get(b) or 0) > 1]
    if high and name not in _ABOVE_ONE:
        raise ProjectError(
            f"{where}{name}: {high[0]} is {given[high[0]]:g}: a share is less than or equal to 1.",
            remedy="Write 0.9 for 90 %.",
        )


def asked(evaluate: Evaluate, conditions: Sequence[Parsed], swaps: Container[str]) -> Evaluate:
    """Return the settings with all that the gate needs to be measured.

    Args:
        evaluate: As the project says.
        conditions: Of the gate.
        swaps: Names of lists of terms; see `needs`.
    """
    wanted: dict[str, list[str]] = {
        name: list(getattr(evaluate, name))
        for name in ("slices", "protected", "robustness", "counterfactual")
    }
    for kind, name in (pair for one in conditions for pair in needs(one, swaps)):
        if name not in wanted[kind] and not (kind == "robustness" and "all" in wanted[kind]):
            wanted[kind].append(name)
    return evaluate.model_copy(update={kind: tuple(names) for kind, names in wanted.items()})


def needs(condition: Parsed, swaps: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield each setting of `evaluate` in which a condition needs a name, and the name.

    Args:
        condition: Of the gate.
        swaps: Names of lists of terms: what `under` names is one of these or a perturbation.
    """
    bound = condition.bound
    if not isinstance(bound, Threshold):
        return
    for column in bound.within or {}:
        yield "slices", column
    for column in bound.across or ():
        yield "protected", column
    if bound.under is not None and condition.name != "behaviour":
        swap = condition.name == "counterfactual" or bound.under in swaps
        yield "counterfactual" if swap else "robustness", bound.under


def needs_memory(conditions: Sequence[Parsed]) -> bool:
    """Return whether the memory of a serving process must be measured, which takes a process."""
    return any(one.name == MEMORY for one in conditions)
