"""The verb `evaluate`: from logits to a report with intervals, and the texts that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bessemer.core import terms
from bessemer.core.evaluation import Evaluate
from bessemer.core.report import Confusion, Example, Examples, Fairness, Measurement, Report
from bessemer.evaluate.behaviour import behave
from bessemer.evaluate.calibration import calibration_report
from bessemer.evaluate.examined import SHOWN, Ask, Examined
from bessemer.evaluate.fairness import fairness
from bessemer.evaluate.robustness import chosen, perturbed
from bessemer.evaluate.slices import slices
from bessemer.evaluate.swaps import counterfactual
from bessemer.tasks.base import label_of
from bessemer.tasks.token_classification import ELSEWHERE, MISSED


@dataclass(frozen=True)
class Subject:
    """A model that is evaluated."""

    examined: Examined
    #: The validation split: thresholds are chosen there and held against the test split.
    validation: Examined
    #: Of each test text, shape [n, width], or None where it has no one vector.
    vectors: NDArray[np.float32] | None
    #: Asks the model about other texts.
    ask: Ask
    #: Name of the engine, for the record.
    engine: str
    #: What serving it costs.
    costs: dict[str, Measurement] = field(default_factory=dict)


def report(subject: Subject, settings: Evaluate) -> tuple[Report, Examples]:
    """Return the report of the test split, and the texts that it shows.

    Args:
        subject: Who is evaluated, on what.
        settings: What is measured; perturbations, swaps and behavioural tests cost a pass each.
    """
    examined, sampling = subject.examined, subject.examined.sampling
    metrics, classes, confusions = examined.task.judge(
        examined.actual, examined.encoded, examined.logits, examined.calibration, sampling
    )
    found, weak = slices(examined, settings, subject.vectors)
    changed = {
        name: perturbed(examined, name, subject.ask, sampling.seed)
        for name in chosen(settings.robustness, examined.task)
    }
    lists = terms.lists(settings.terms)
    swapped = {
        name: counterfactual(examined, name, lists[name], subject.ask, sampling.seed)
        for name in settings.counterfactual
    }
    tests, failures = behave(settings.behaviour, examined, subject.ask)
    measured = Report(
        split="test",
        confidence=settings.confidence,
        engine=subject.engine,
        headline=examined.task.metric_names[0],
        metrics=metrics,
        classes=tuple(classes),
        confusions=tuple(confusions),
        slices=tuple(found),
        unsliced=tuple(n for n in settings.slices if n not in {one.column for one in found}),
        calibration=calibration_report(examined, subject.validation),
        robustness=tuple(one for one, _ in changed.values()),
        behaviour=tuple(tests),
        fairness=tuple(fairness_of(examined, settings)),
        counterfactual=tuple(one[0] for one in swapped.values() if one is not None),
        costs=subject.costs,
    )
    return measured, Examples(
        confusions=_confused(examined, confusions),
        slices=weak,
        robustness={name: tuple(shown) for name, (_, shown) in changed.items()},
        behaviour={name: tuple(shown) for name, shown in failures.items()},
        counterfactual={name: tuple(one[1]) for name, one in swapped.items() if one is not None},
    )


def fairness_of(examined: Examined, settings: Evaluate) -> list[Fairness]:
    """Return how the groups of the protected columns compare."""
    return fairness(examined, settings.protected, settings.favourable, settings.least)


def _confused(
    examined: Examined, confusions: Sequence[Confusion]
) -> dict[str, tuple[Example, ...]]:
    """Return texts of each confusion, the surest first."""
    shown: dict[str, list[int]] = {f"{c.actual} → {c.predicted}": [] for c in confusions}
    wrong = np.flatnonzero(~examined.right)
    for row in wrong[np.argsort(-examined.score[wrong], kind="stable")].tolist():
        right, given = examined.actual[row], examined.answered[row]
        missed = {label_of(one) for one in right - given}
        instead = {label_of(one) for one in given - right}
        for pair in confusions:
            place = shown[f"{pair.actual} → {pair.predicted}"]
            other = pair.predicted in instead or pair.predicted in (MISSED, ELSEWHERE)
            if pair.actual in missed and other and len(place) < SHOWN:
                place.append(row)
    return {
        name: tuple(examined.example(row) for row in rows) for name, rows in shown.items() if rows
    }
