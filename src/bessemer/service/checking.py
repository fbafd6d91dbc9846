"""What evaluation and gate name, held against the data set before anything slow runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bessemer.core.errors import ProjectError, UnknownNameError, nearest
from bessemer.evaluate import behaviour
from bessemer.service.recipe import column_of

if TYPE_CHECKING:
    from bessemer.service.pipeline import Pipeline


def check(pipeline: Pipeline) -> None:
    """Hold the columns and tests that `evaluate` and the gate name against the data set.

    Raises:
        ProjectError: There is no such column, or a test wants a label that is not learnt.
    """
    settings, dataset = pipeline.plan.project.evaluate, pipeline.dataset()
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
    behaviour.check(settings.behaviour, pipeline.task, dataset.labels)
