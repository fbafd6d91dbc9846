"""What the service gives to a mitigation (groups, terms, an encoder), and thresholds by group."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from bessemer.bundle.format import GroupThresholds
from bessemer.core.project import Project
from bessemer.core.report import cell_name
from bessemer.core.terms import lists, swap
from bessemer.measures.group_thresholds import needed, offsets
from bessemer.pretrained import resolve
from bessemer.tasks.base import Answers, Encoded, Logits

if TYPE_CHECKING:
    from bessemer.service.pipeline import Pipeline
    from bessemer.train.methods.base import Lesson

#: Stands between a row's values of several protected columns.
JOIN = " · "


def mitigated(pipeline: Pipeline, lesson: Lesson) -> Lesson:
    """Return a lesson after the project's mitigation; the same one where there is none to learn.

    Args:
        pipeline: Its rows are prepared.
        lesson: Of these rows.

    Raises:
        DataError: The rows give a mitigation nothing to work on.
    """
    from bessemer.train import mitigation

    name = pipeline.plan.project.train.mitigation
    by_groups = {
        "reweigh": mitigation.reweigh,
        "balanced-sampling": mitigation.balance,
        "group-robust": mitigation.robust,
    }
    if name in by_groups:
        return by_groups[name](lesson, groups(pipeline, "train"), groups(pipeline, "validation"))
    if name == "counterfactual-augmentation":
        return _augmented(pipeline, lesson)
    return lesson  # thresholds of groups are found when all is learnt


def determines(project: Project) -> dict[str, Any]:
    """Return what of a mitigation decides a training's outcome, by name; nothing without one."""
    name, evaluate = project.train.mitigation, project.evaluate
    if name is None or name == "group-thresholds":
        return {}
    if name == "counterfactual-augmentation":
        known = lists(evaluate.terms)
        return {"mitigation": name, "terms": {n: known[n] for n in evaluate.counterfactual}}
    return {"mitigation": name, "protected": evaluate.protected}


def groups(pipeline: Pipeline, split: str, across: Sequence[str] | None = None) -> list[str | None]:
    """Return the group of each row; None where one of its columns says nothing.

    Args:
        pipeline: Whose rows they are.
        split: Of these.
        across: Columns that make the groups, by default the project's protected ones.
    """
    named = pipeline.plan.project.evaluate.protected if across is None else across
    columns = [map(cell_name, pipeline.column(split, name)) for name in named]
    return [JOIN.join(cells) if all(cells) else None for cells in zip(*columns, strict=True)]


def fitted(
    pipeline: Pipeline, logits: Sequence[Logits], actual: Sequence[Answers]
) -> GroupThresholds | None:
    """Return thresholds by group, found on the validation split; None where none are asked for.

    Args:
        pipeline: Says the columns, and which labels are good to get.
        logits: Of the engine that will serve, one row a validation text.
        actual: What is right for each.
    """
    settings = pipeline.plan.project.evaluate
    if pipeline.plan.project.train.mitigation != "group-thresholds":
        return None
    labels = pipeline.task.labels
    favoured = np.array([label in settings.favourable for label in labels], dtype=bool)
    deserved = np.array([not answers.isdisjoint(settings.favourable) for answers in actual])
    need = needed(np.stack(logits), favoured)
    found = offsets(need, deserved, groups(pipeline, "validation"), settings.least)
    return GroupThresholds(across=settings.protected, labels=settings.favourable, offsets=found)


def thresholds(pipeline: Pipeline) -> GroupThresholds | None:
    """Return the thresholds of the exported model, or None where it has none."""
    found = pipeline.exported()["group_thresholds"]
    return None if found is None else GroupThresholds.model_validate(found)


def shifted(
    pipeline: Pipeline,
    split: str,
    logits: Sequence[Logits],
    found: GroupThresholds | None,
    rows: Sequence[int] | None = None,
) -> list[Logits]:
    """Return logits of rows of a split as they are answered where the callers say the group.

    Args:
        pipeline: Whose rows they are.
        split: Where the groups stand.
        logits: One row a text.
        found: The model's thresholds, or None where it has none.
        rows: Which rows of the split the texts are of; by default all in their order.
    """
    from bessemer.serve.residents import shift

    if found is None:
        return list(logits)
    known = groups(pipeline, split)
    mine = known if rows is None else [known[row] for row in rows]
    return shift(logits, mine, found, pipeline.task.labels)


def _augmented(pipeline: Pipeline, lesson: Lesson) -> Lesson:
    from bessemer.serve.residents import tokenizer
    from bessemer.train import mitigation

    project, known = pipeline.plan.project, lists(pipeline.plan.project.evaluate.terms)
    named = [known[name] for name in project.evaluate.counterfactual]
    draws = Random(project.seed)

    def swapped(text: str) -> str:
        for groups in named:
            text = swap(text, groups, draws)
        return text

    def encode(texts: Sequence[str]) -> Encoded:
        tokens = tokenizer(pipeline.plan.base.folder / resolve.TOKENISER)
        return lesson.task.encode(tokens, texts, project.train.max_length)

    return mitigation.augment(lesson, swapped, encode)
