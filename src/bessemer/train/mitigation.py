"""What is done to the training rows and their weights so that groups fare alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.errors import DataError, ProjectError
from bessemer.core.project import Project
from bessemer.measures.calibration import log_loss
from bessemer.tasks.base import IGNORED, Answers, Encoded, Target, Task, label_of
from bessemer.train.methods.base import METHODS, Batch, Lesson

#: Those that give rows weights, which a method must heed; the others only change the rows.
WEIGHING = ("reweigh", "group-robust")
#: Rows that a group needs in both splits for its loss to be minimised by itself: of fewer, the
#: loss is mostly chance, and each row would weigh as much as hundreds of others.
LEAST = 10
#: How fast a group's weight grows with its loss in nats. Groups are weighed anew once an epoch or
#: a fit, not once a step as in the paper, so this is 100 of its steps of 0.01.
RATE = 1.0
#: Names the validation loss by which strengths and epochs are chosen where there is a mitigation
#: of groups, and begins the names of the groups' own losses.
CHOOSE_BY, OF_GROUP = "mitigated_log_loss", "log_loss_of_group_"

#: The group of each row, None where it has none.
Groups = Sequence[str | None]
#: A group and a label of it; None stands for its rarer labels.
Cell = tuple[str, Hashable]


def check(project: Project, task: Task, where: str = "") -> None:
    """Refuse a mitigation that lacks what it works on, or that the method cannot follow.

    Args:
        project: What was asked for.
        task: Its task.
        where: Place in the project file, to begin the message with.

    Raises:
        ProjectError: The message says what to do instead.
    """
    name, evaluate = project.train.mitigation, project.evaluate
    if name is None:
        return
    swaps = name == "counterfactual-augmentation"
    needed = "counterfactual" if swaps else "protected"
    if not getattr(evaluate, needed):
        raise ProjectError(
            f"{where}mitigation is {name}, which needs evaluate.{needed}.",
            remedy="Name the lists of terms to swap, as [gender]."
            if swaps
            else "Name the columns that say which group somebody belongs to, as [gender].",
        )
    if swaps and not task.pooled:
        raise ProjectError(
            f"{where}mitigation is {name}, but {project.task} marks places in the text, which a"
            " swap of terms would move.",
            remedy="Write reweigh, balanced-sampling or group-robust, and name evaluate.protected.",
        )
    if name == "group-thresholds" and not (task.pooled and task.answers_once):
        raise ProjectError(
            f"{where}mitigation is {name}, which is for texts with exactly one label.",
            remedy="Write reweigh, balanced-sampling or group-robust.",
        )
    if name == "group-thresholds" and not evaluate.favourable:
        raise ProjectError(
            f"{where}mitigation is {name}, which needs evaluate.favourable.",
            remedy="Name the labels that are good to get, as [approved].",
        )
    method = project.train.method
    if name in WEIGHING and not METHODS.load(method).weighs:
        able = [other for other in METHODS.names() if METHODS.load(other).weighs]
        raise ProjectError(
            f"{where}mitigation is {name}, which gives rows weights; {method} knows none.",
            remedy="Write balanced-sampling or counterfactual-augmentation, or set train.method"
            f" to {' or '.join(able)}.",
        )


def reweigh(lesson: Lesson, groups: Groups, held_out: Groups) -> Lesson:
    """Weigh rows so that group and label are independent (Kamiran & Calders 2012).

    A row weighs P(group) · P(label) / P(group, label), so the mean is 1; one without a group
    weighs 1 and counts for no share. Of several labels or spans, "label" is the set of labels of
    the row; sets that only one row has are taken for one label together. Validation rows are
    weighed by the same rule, so that nothing is chosen by how well it repeats what is mended.

    Args:
        lesson: Its rows are weighed.
        groups: Of the training rows.
        held_out: Of the validation rows.

    Raises:
        DataError: They are not of two groups at least.
    """
    _grouped(groups)
    weights = _independent(lesson.train.answers, groups)
    notes = {"largest_weight": float(weights.max()), "smallest_weight": float(weights.min())}
    train = replace(lesson.train, weights=weights)
    return _with(_chosen_alike(lesson, held_out), train, notes)


def balance(lesson: Lesson, groups: Groups, held_out: Groups) -> Lesson:
    """Repeat rows until each label has equally many of every group that it has at all.

    The group with the most rows of a label keeps these as they are. Of any other, each row stands
    in the result equally often, but for those that are drawn once more to fill up; so no row is
    lost, which drawing all with replacement would. Labels are told apart, and validation rows
    weighed, as in `reweigh`.

    Args:
        lesson: Its training rows are repeated, its seed draws.
        groups: Of the training rows; those of no group stay as they are.
        held_out: Of the validation rows.

    Raises:
        DataError: They are not of two groups at least.
    """
    kinds = _kinds(lesson.train.answers)
    cells: dict[tuple[Hashable, str | None], list[int]] = {}
    for row in _grouped(groups):
        cells.setdefault((kinds[row], groups[row]), []).append(row)
    most: Counter[Hashable] = Counter()
    for (kind, _), rows in cells.items():
        most[kind] = max(most[kind], len(rows))
    draws = np.random.default_rng(lesson.seed)
    added: list[int] = []
    for (kind, _), rows in cells.items():
        times, rest = divmod(most[kind], len(rows))
        added += rows * (times - 1)
        added += [rows[n] for n in sorted(draws.permutation(len(rows))[:rest].tolist())]
    chosen = [*range(len(groups)), *added]
    train = _pick(lesson.train, chosen)
    return _with(_chosen_alike(lesson, held_out), train, {"repeated_rows": len(added)})


def augment(
    lesson: Lesson, swap: Callable[[str], str], encode: Callable[[list[str]], Encoded]
) -> Lesson:
    """Add a copy of each text in which terms can be swapped, with the same answers.

    Counterfactual data augmentation (Lu et al. 2018; Zmigrod et al. 2019): what is learnt can no
    longer lean on a term that both labels' rows hold equally often.

    Args:
        lesson: Its training rows are copied. Its answers point into no text; see `check`.
        swap: Returns a text with its terms swapped, or as it was where it holds none.
        encode: As the lesson's texts are encoded.

    Raises:
        DataError: No training text holds a term.
    """
    train = lesson.train
    swapped = [swap(text) for text in train.encoded.texts]
    rows = [
        row
        for row, (text, other) in enumerate(zip(train.encoded.texts, swapped, strict=True))
        if text != other
    ]
    if not rows:
        raise DataError(
            "No training text holds a term of evaluate.counterfactual: nothing can be swapped.",
            remedy="Add terms that your texts have to evaluate.terms, or leave train.mitigation"
            " out.",
        )
    copies = encode([swapped[row] for row in rows])
    answers = [train.answers[row] for row in rows]
    own, more = train.encoded, lesson.task.targets(copies, answers)
    encoded = Encoded(own.texts + copies.texts, own.features + copies.features)
    whole = Batch(encoded, train.answers + answers, train.targets + more)
    return _with(lesson, whole, {"swapped_rows": len(rows)})


def robust(lesson: Lesson, groups: Groups, held_out: Groups) -> Lesson:
    """Let the method minimise the loss of the group that fares worst (Sagawa et al. 2020).

    As there, those who are told apart are the rows of one group *and* one label: of a group whose
    rows mostly have one label, the few others are those who fare badly. Where a group's rows of a
    label are too few, they are taken together with its other rare ones. Losses are those of the
    validation rows: on rows that it has learnt by heart, a model fares well with every group.

    Args:
        lesson: Whose rows get the number of their group; see `group_weights`.
        groups: Of the training rows.
        held_out: Of the validation rows.

    Raises:
        DataError: Fewer than two groups have enough rows.
    """
    _grouped(groups)
    splits = [
        _cells(lesson.task, split, of)
        for split, of in ((lesson.train, groups), (lesson.validation, held_out))
    ]
    frequent = _frequent(splits)
    splits = [
        [cell if cell is None or cell in frequent else (cell[0], None) for cell in split]
        for split in splits
    ]
    numbers = {cell: number for number, cell in enumerate(_frequent(splits))}
    if len(numbers) < 2:
        raise DataError(
            f"Fewer than two groups have {LEAST} training rows and {LEAST} validation rows:"
            " whose loss is worst cannot be told.",
            remedy="Raise data.split.validation, give more rows, or write reweigh.",
        )
    of_train, of_validation = (
        np.array([numbers.get(cell, -1) if cell else -1 for cell in split], dtype=np.int64)
        for split in splits
    )
    told = [group if kind is None else f"{group}: {_told(kind)}" for group, kind in numbers]
    validation = replace(lesson.validation, groups=of_validation)
    train = replace(lesson.train, groups=of_train)
    return _with(replace(lesson, validation=validation), train, {"groups": told})


def group_weights(
    groups: NDArray[np.int64], losses: Sequence[Sequence[float]]
) -> NDArray[np.float64]:
    """Return what each row weighs after some rounds, shape [n].

    Group g has the share q_g ∝ exp(RATE · the sum of its losses), from equal shares on, and its
    rows divide that among them. The mean weight of the rows in groups is 1, others weigh 1.

    Args:
        groups: Number of each row's group, -1 where it has none, shape [n].
        losses: Of each group, in nats, shape [rounds, groups].
    """
    inside = groups >= 0
    total = RATE * np.asarray(losses, dtype=np.float64).sum(axis=0)
    shares = np.exp(total - total.max())
    sizes = np.bincount(groups[inside], minlength=len(shares))
    each = shares / shares.sum() * inside.sum() / np.maximum(sizes, 1)
    return np.where(inside, each[groups], 1.0)


def judged(
    lesson: Lesson, logits: NDArray[np.floating], targets: NDArray[Any], temperature: float
) -> dict[str, float]:
    """Return what a mitigation of groups measures on validation, in nats; nothing without one.

    `CHOOSE_BY` is the loss of the group that fares worst, with those of all groups beside it, or
    the mean loss of the weighed rows: lower is better.

    Args:
        lesson: Whose validation rows were answered.
        logits: Of the vectors that `Task.flat` makes of these, shape [n, outputs].
        targets: As `Task.flat` returns them.
        temperature: Divides the logits.
    """
    task, split = lesson.task, lesson.validation
    if split.groups is not None:
        groups = flat(task, split.targets, split.groups)
        losses = [
            log_loss(logits[groups == group], targets[groups == group], temperature)
            for group in range(groups.max() + 1)
        ]
        return {CHOOSE_BY: max(losses), **{f"{OF_GROUP}{n}": lost for n, lost in enumerate(losses)}}
    if split.weights is not None:
        weights = flat(task, split.targets, split.weights)
        lost = 0.0
        for weight in np.unique(weights):
            rows = weights == weight
            lost += weight * rows.sum() * log_loss(logits[rows], targets[rows], temperature)
        return {CHOOSE_BY: float(lost / weights.sum())}
    return {}


def losses_of_groups(scores: dict[str, float]) -> list[float]:
    """Return the groups' losses, in their order, from what `judged` returned."""
    return [lost for name, lost in scores.items() if name.startswith(OF_GROUP)]


def flat(task: Task, targets: Sequence[Target], values: NDArray[Any]) -> NDArray[Any]:
    """Return a value of each row for each of the vectors that `Task.flat` makes of it.

    Args:
        task: Whose head reads a vector a row, or one a position.
        targets: Of the rows.
        values: One a row, shape [n].
    """
    return np.repeat(values, [_vectors(task, target) for target in targets])


def _vectors(task: Task, target: Target) -> int:
    """Return how many vectors are learnt from of a row with this target."""
    return 1 if task.link == "sigmoid" else int(np.count_nonzero(target != IGNORED))


def _kinds(answers: Sequence[Answers]) -> list[Hashable]:
    """Return what counts as each row's label: its set of labels, or () where no other has it."""
    sets = [frozenset(label_of(answer) for answer in row) for row in answers]
    seen = Counter(sets)
    return [labels if seen[labels] > 1 else () for labels in sets]


def _independent(answers: Sequence[Answers], groups: Groups) -> NDArray[np.float64]:
    """Return the weights that make group and label independent; see `reweigh`."""
    kinds = _kinds(answers)
    rows = [row for row, group in enumerate(groups) if group is not None]
    by_group = Counter(groups[row] for row in rows)
    by_kind = Counter(kinds[row] for row in rows)
    by_both = Counter((groups[row], kinds[row]) for row in rows)
    weights = np.ones(len(groups))
    for row in rows:
        group, kind = groups[row], kinds[row]
        weights[row] = by_group[group] * by_kind[kind] / (len(rows) * by_both[group, kind])
    return weights


def _chosen_alike(lesson: Lesson, held_out: Groups) -> Lesson:
    """Return a lesson with weighed validation rows."""
    weights = _independent(lesson.validation.answers, held_out)
    return replace(lesson, validation=replace(lesson.validation, weights=weights))


def _told(kind: Any) -> str:
    return ", ".join(sorted(kind)) or "rare"


def _grouped(groups: Groups) -> list[int]:
    """Return the rows that belong to a group."""
    rows = [row for row, group in enumerate(groups) if group is not None]
    if len({groups[row] for row in rows}) < 2:
        raise DataError(
            "The training rows do not show two groups of evaluate.protected: there is nothing to"
            " make alike.",
            remedy="Look at the column, or leave train.mitigation out.",
        )
    return rows


def _cells(task: Task, split: Batch, groups: Groups) -> list[Cell | None]:
    """Return group and label of each row; None of one that nothing is learnt from."""
    return [
        None if group is None or not _vectors(task, target) else (group, kind)
        for group, kind, target in zip(groups, _kinds(split.answers), split.targets, strict=True)
    ]


def _frequent(splits: Sequence[Sequence[Cell | None]]) -> list[Cell]:
    """Return, in the order of their first rows, the cells with `LEAST` rows in each split."""
    counts = [Counter(split) for split in splits]
    return [cell for cell in counts[0] if cell and all(c[cell] >= LEAST for c in counts)]


def _pick(batch: Batch, rows: list[int]) -> Batch:
    encoded = batch.encoded
    places = None if encoded.places is None else [encoded.places[row] for row in rows]
    texts, features = [encoded.texts[r] for r in rows], [encoded.features[r] for r in rows]
    answers, targets = [batch.answers[r] for r in rows], [batch.targets[r] for r in rows]
    return Batch(Encoded(texts, features, places), answers, targets)


def _with(lesson: Lesson, train: Batch, notes: dict[str, Any]) -> Lesson:
    return replace(lesson, train=train, notes={**lesson.notes, **notes})
