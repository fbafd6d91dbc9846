"""What evaluation and gate name, held against the data set before anything slow runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bessemer.core.errors import ProjectError, UnknownNameError, nearest
from bessemer.core.project import Project
from bessemer.evaluate import behaviour
from bessemer.evaluate.fairness import groups
from bessemer.evaluate.perturbations import PERTURBATIONS
from bessemer.service.recipe import column_of

if TYPE_CHECKING:
    from bessemer.service.pipeline import Pipeline


def check(pipeline: Pipeline) -> None:
    """Hold the columns and tests that `evaluate` and the gate name against the data set.

    Raises:
        ProjectError: There is no such column, or a test wants a label that is not learnt.
    """
    settings, dataset = pipeline.plan.evaluate, pipeline.dataset()
    project = pipeline.plan.project
    asked = (*settings.slices, *settings.protected, settings.cluster)
    for name in asked:
        if name is None or column_of(project, name) in dataset.columns:
            continue
        close = nearest(name, dataset.columns)
        raise ProjectError(
            f"The data set has no column {name!r}, which evaluate or the gate names.",
            remedy=(f"Did you mean {close!r}? " if close else "")
            + f"It has {', '.join(dataset.columns)}.",
        )
    for label in settings.favourable:
        if label not in dataset.labels:
            where = "evaluate.favourable: "
            raise UnknownNameError("label", label, dataset.labels, where=where)
    if settings.favourable and set(dataset.labels) <= set(settings.favourable):
        raise ProjectError(
            "evaluate.favourable names every label: then none is better to get than another.",
            remedy="Name only those that are good to get.",
        )
    for name in settings.protected:
        groups(name, pipeline.column("test", name))
    _check_gate(project, dataset.labels)
    behaviour.check(settings.behaviour, pipeline.task, dataset.labels)


def _check_gate(project: Project, labels: Sequence[str]) -> None:
    """Refuse conditions on labels and tests that there are none of, or that nobody can judge."""
    tests = [test.name for test in project.evaluate.behaviour]
    for number, condition in enumerate(project.gate):
        (name, bound), where = next(iter(condition.items())), f"gate, condition {number + 1}: "
        if not isinstance(bound, dict):
            continue
        if (label := bound.get("label")) is not None and label not in labels:
            raise UnknownNameError("label", str(label), labels, where=where)
        turned = PERTURBATIONS.get(str(bound.get("under")))
        if turned is not None and not turned.keeps:
            raise ProjectError(
                f"{where}under {bound['under']} no answer is known to be right.",
                remedy="Name another perturbation: the report tells how many answers change.",
            )
        test = bound.get("under") if name == "behaviour" else None
        if test is not None and test not in tests:
            raise UnknownNameError("behavioural test", str(test), tests, where=where)
