"""What evaluation and gate name, held against the data set before anything slow runs.

What needs no data set, `service.recipe` has looked up before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from bessemer.core.dataset import ROW, SPLITS
from bessemer.core.errors import ProjectError, UnknownNameError
from bessemer.core.evaluation import AgainstLive
from bessemer.core.report import cell_name, stands_for
from bessemer.evaluate import behaviour
from bessemer.evaluate.fairness import groups
from bessemer.evaluate.perturbations import PERTURBATIONS
from bessemer.evaluate.slices import values_of
from bessemer.service.recipe import column_of

if TYPE_CHECKING:
    from bessemer.service.pipeline import Pipeline


def check(pipeline: Pipeline) -> None:
    """Hold the columns and tests that `evaluate` and the gate name against the data set.

    Raises:
        UnknownNameError: There is no such column, label or value.
        ProjectError: A condition is about what nobody can judge.
    """
    settings, dataset = pipeline.plan.evaluate, pipeline.dataset()
    project = pipeline.plan.project
    asked = (*settings.slices, *settings.protected, settings.cluster)
    for name in asked:
        if name is None or column_of(project, name) in dataset.columns:
            continue
        where = "evaluate or the gate: "
        raise UnknownNameError("column", name, dataset.columns, where=where)
    for name in settings.slices:
        if column_of(project, name) in ("text", "id", ROW):
            raise ProjectError(
                f"evaluate.slices: {name!r} tells every row from every other.",
                remedy="Name a column that many rows share a value of.",
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
        groups(name, list(chain(*(pipeline.column(split, name) for split in SPLITS))))
    _check_gate(pipeline, dataset.labels)
    behaviour.check(settings.behaviour, pipeline.task, dataset.labels)


def _check_gate(pipeline: Pipeline, labels: Sequence[str]) -> None:
    """Refuse conditions on labels, values and tests that there are none of, or nobody can judge."""
    tests = [test.name for test in pipeline.plan.evaluate.behaviour]
    for number, condition in enumerate(pipeline.plan.conditions):
        name, bound = condition.name, condition.bound
        where = f"gate, condition {number + 1}: "
        if isinstance(bound, AgainstLive):
            continue
        if bound.label is not None and bound.label not in labels:
            raise UnknownNameError("label", bound.label, labels, where=where)
        for column, value in (bound.within or {}).items():
            _check_value(pipeline, column, value, where)
        turned = PERTURBATIONS.get(bound.under or "")
        if turned is not None and not turned.keeps:
            raise ProjectError(
                f"{where}under {bound.under} no answer is known to be right.",
                remedy="Name another perturbation: the report tells how many answers change.",
            )
        if name == "behaviour" and not tests:
            raise ProjectError(
                f"{where}there is no behavioural test.",
                remedy="Write some as evaluate.behaviour, or remove the condition.",
            )
        if name == "behaviour" and bound.under is not None and bound.under not in tests:
            raise UnknownNameError("behavioural test", bound.under, tests, where=where)


def _check_value(pipeline: Pipeline, column: str, value: Any, where: str) -> None:
    """Refuse a value that no test row has."""
    known = values_of(pipeline.column("test", column))
    if known is None:
        raise ProjectError(
            f"{where}the column {column!r} holds so many numbers that its slices are parts of their"
            " range: none is called by one value.",
            remedy="Put the rows into a few classes by a column of their own, and name that.",
        )
    if not any(stands_for(value, name) for name in known):
        kind = f"test row with {column} ="
        raise UnknownNameError(kind, cell_name(value), filter(None, known), where=where)
