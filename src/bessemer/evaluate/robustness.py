"""What perturbations of the test texts cost: the model asked again about each changed text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

import numpy as np

from bessemer.core.errors import ProjectError, UnknownNameError
from bessemer.core.report import Example, Perturbed
from bessemer.evaluate.comparison import compare
from bessemer.evaluate.examined import SHOWN, Ask, Examined
from bessemer.evaluate.perturbations import PERTURBATIONS
from bessemer.measures.intervals import exact, share
from bessemer.tasks.base import Answers, Task, label_of

#: All perturbations that a task can be measured with.
ALL = "all"
CHANGED = "changed"


def names(task: Task) -> list[str]:
    """Return the perturbations that a task can be measured with.

    Where answers point into the text, these are the ones that leave every character in its place.
    """
    return [name for name, one in PERTURBATIONS.items() if task.pooled or one.aligned]


def check(asked: Collection[str], task: Task, where: str) -> None:
    """Refuse a perturbation that there is none of, or that the task has no use for.

    Args:
        asked: Names of the project file.
        task: Which they are measured with.
        where: Place in the project file, to begin a message with.

    Raises:
        UnknownNameError: There is no such perturbation.
        ProjectError: It moves characters, and the task's answers point at them.
    """
    able = names(task)
    for name in asked:
        if name not in (*PERTURBATIONS, ALL):
            raise UnknownNameError("perturbation", name, [*PERTURBATIONS, ALL], where=where)
        if name not in (*able, ALL):
            raise ProjectError(
                f"{where}{name!r} moves characters, so that spans of the text are no longer where"
                " they were.",
                remedy=f"This task can be measured with: {', '.join(able)}.",
            )


def chosen(asked: Collection[str], task: Task) -> list[str]:
    """Return the perturbations that are asked for, each once; "all" stands for all of `names`."""
    able = names(task)
    return list(dict.fromkeys(one for name in asked for one in (able if name == ALL else [name])))


def perturbed(
    examined: Examined, name: str, ask: Ask, seed: int
) -> tuple[Perturbed, list[Example]]:
    """Return how the model does on the texts that a perturbation changes, and texts it fails.

    Args:
        examined: The split; what is right stays right, unless the perturbation turns it round.
        name: One of `names`.
        ask: Asks the model, once about all changed texts.
        seed: Of the perturbation; what becomes of a text depends on no other text.
    """
    how = PERTURBATIONS[name]
    texts = [
        how(text, Random(f"{seed} {name} {row}")) for row, text in enumerate(examined.encoded.texts)
    ]
    return measured(examined, texts, name, ask, keeps=how.keeps)


def measured(
    examined: Examined, texts: Sequence[str], name: str, ask: Ask, *, keeps: bool = True
) -> tuple[Perturbed, list[Example]]:
    """Return how the model does on changed texts, and some whose answer became another one.

    Those come first whose answer was right and is no longer. Where the right answer is not known,
    since the meaning or the places in the text have changed, there is no metric.

    Args:
        examined: The split.
        texts: Each of its texts, changed or as it was.
        name: Of the change.
        ask: Asks the model, once about all changed texts.
        keeps: Whether the answer should stay.
    """
    before = examined.encoded.texts
    mask = np.array([a != b for a, b in zip(before, texts, strict=True)], dtype=bool)
    rows = np.flatnonzero(mask).tolist()
    if not rows:
        none = exact(CHANGED, 0.0, 0)
        return Perturbed(
            name=name, keeps=keeps, texts=0, metric=None, difference=None, changed=none
        ), []
    task, sampling = examined.task, examined.sampling.of(mask)
    encoded, logits = ask([texts[row] for row in rows], name, rows)
    then = task.answers(encoded, logits, examined.calibration)
    answered = [examined.answered[row] for row in rows]
    pairs = zip(rows, answered, then, strict=True)
    other = [not alike(task, (before[row], was), (texts[row], now)) for row, was, now in pairs]
    actual = [examined.actual[row] for row in rows]
    known = keeps and (task.pooled or all(len(before[row]) == len(texts[row]) for row in rows))
    compared = compare(task, actual, then, answered, sampling) if known else None
    result = Perturbed(
        name=name,
        keeps=keeps,
        texts=len(rows),
        metric=compared.ours if compared else None,
        difference=compared.difference if compared else None,
        changed=share(CHANGED, np.array(other), sampling),
    )
    shown = [number for number, changed in enumerate(other) if changed]
    shown.sort(key=lambda number: answered[number] != actual[number])
    return result, [
        examined.example(rows[number], texts[rows[number]], then[number])
        for number in shown[:SHOWN]
    ]


def alike(task: Task, one: tuple[str, Answers], other: tuple[str, Answers]) -> bool:
    """Return whether two texts are answered alike.

    Where answers point into the text and the texts differ in length, these are alike when the
    same labels stand in the same order.

    Args:
        task: Which says what answers are.
        one: A text, and what is answered to it.
        other: A text, and what is answered to it.
    """
    (text, answers), (changed, then) = one, other
    if task.pooled or len(text) == len(changed):
        return answers == then
    return [label_of(a) for a in sorted(answers)] == [label_of(a) for a in sorted(then)]
