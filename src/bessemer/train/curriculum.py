"""What a training learns from, in which order, by which loss, and how it is validated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bessemer.tasks.base import Logits, Target
from bessemer.train import mitigation
from bessemer.train.batching import length_buckets
from bessemer.train.cores import Cores
from bessemer.train.embed import outputs
from bessemer.train.gradient import pieces
from bessemer.train.methods.base import Batch, Lesson
from bessemer.train.network import Network
from bessemer.train.options import SupervisedOptions


class Curriculum(ABC):
    """What is learnt from in which order, and by which loss."""

    #: Epochs without a better validation before stopping, and what is better: a lower
    #: "log_loss", or a higher "score"; or a lower `mitigation.CHOOSE_BY` before both.
    patience: float = math.inf
    choose_by: str = "log_loss"
    #: Tokens of every training row.
    lengths: list[int]
    #: How often each output was answered with which at the last validation, [actual, answered].
    confusion: NDArray[np.int64] | None = None

    def begin(self, history: Sequence[dict[str, float]]) -> None:  # noqa: B027  (few ask)
        """Is told before every epoch, also after a resume, what `validate` has returned so far."""

    @abstractmethod
    def batches(self, epoch: int) -> list[list[int]]:
        """Return the row numbers of every step of an epoch; `epoch` and a seed determine them."""

    def pieces(self, rows: list[int], budget: int) -> list[list[int]]:
        """Cut a step's rows into parts of about `budget` padded tokens that stand by themselves."""
        return pieces(rows, self.lengths, budget)

    @abstractmethod
    def loss(self, network: Network, rows: list[int]) -> tuple[Tensor, float]:
        """Return the summed loss of a piece of a step, and the weight that it is a sum over."""

    @abstractmethod
    def validate(self, network: Network, cores: Cores) -> dict[str, float] | None:
        """Return "log_loss" (lower is better) and "score" on validation, or None for no stop."""


class Supervised(Curriculum):
    """Every row once an epoch, in batches of like length, by the task's own loss."""

    def __init__(self, lesson: Lesson, options: SupervisedOptions) -> None:
        self._lesson = lesson
        self._options = options
        self.lengths = [len(row) for row in lesson.train.encoded.features]
        self.patience, self.choose_by = options.patience, options.choose_by
        self._weights = None
        if options.class_weight == "balanced":
            self._weights = torch.from_numpy(class_weights(lesson)).to(lesson.device)
        self._rows = lesson.train.weights
        split = lesson.validation
        if split.weights is not None or split.groups is not None:
            self.choose_by = mitigation.CHOOSE_BY

    def begin(self, history: Sequence[dict[str, float]]) -> None:
        """Weigh the groups, if there are some, by what has been lost on each.

        A resumed training finds the same history and so the same weights.
        """
        groups = self._lesson.train.groups
        if groups is not None:
            losses = [mitigation.losses_of_groups(scores) for scores in history]
            self._rows = mitigation.group_weights(groups, losses)

    def batches(self, epoch: int) -> list[list[int]]:
        """Return length buckets; see `train.batching`."""
        size, seed = self._options.batch_size, self._lesson.seed
        return length_buckets(self.lengths, size, seed=seed, epoch=epoch)

    def loss(self, network: Network, rows: list[int]) -> tuple[Tensor, float]:
        """Return the task's loss."""
        train, task = self._lesson.train, self._lesson.task
        logits = network(*network.batch(train.encoded.features, rows))
        targets = [train.targets[row] for row in rows]
        each = None
        if self._rows is not None:
            each = torch.tensor(self._rows[rows], dtype=torch.float32, device=logits.device)
        return task.loss(logits, targets, self._options.label_smoothing, self._weights, each)

    def validate(self, network: Network, cores: Cores) -> dict[str, float]:
        """Return log-loss after temperature scaling, in nats, and the headline metric.

        With what a mitigation of groups measures, if there is one.
        """
        found = logits(network, self._lesson.validation, cores)
        self.confusion = _confusion(self._lesson, found)
        return {**scores(self._lesson, found), **_mitigated(self._lesson, found)}


def scores(lesson: Lesson, found: Sequence[Logits]) -> dict[str, float]:
    """Return "log_loss" after temperature scaling, in nats, and the headline "score".

    Args:
        lesson: Whose validation split was answered.
        found: The logits of each of its rows.
    """
    task, split = lesson.task, lesson.validation
    calibration = task.calibrate(split.encoded, found, split.answers, None)
    answered = task.answers(split.encoded, found, calibration)
    return {
        "log_loss": task.log_loss(found, split.targets, calibration["temperature"]),
        "score": float(task.score(task.tallies(split.answers, answered).sum(axis=0))),
    }


def _mitigated(lesson: Lesson, found: Sequence[Logits]) -> dict[str, float]:
    task, split = lesson.task, lesson.validation
    if split.weights is None and split.groups is None:
        return {}
    temperature = task.temperature(found, split.targets)
    return mitigation.judged(lesson, *task.flat(found, split.targets), temperature)


def _confusion(lesson: Lesson, found: Sequence[Logits]) -> NDArray[np.int64] | None:
    if lesson.task.link == "sigmoid":
        return None
    values, targets = lesson.task.flat(found, lesson.validation.targets)
    matrix = np.zeros((values.shape[1],) * 2, dtype=np.int64)
    np.add.at(matrix, (targets, values.argmax(axis=1)), 1)
    return matrix


def logits(network: Network, split: Batch, cores: Cores) -> list[Logits]:
    """Return the logits of each row, in order, without dropout."""
    network.eval()

    def compute(ids: Tensor, mask: Tensor, rows: list[int]) -> Tensor:
        found: Tensor = network(ids.to(network.device), mask.to(network.device))
        return found

    return list(outputs(compute, split.encoded.features, cores, lambda step: None, "validate"))


def class_weights(lesson: Lesson) -> NDArray[np.float32]:
    """Return weights that make rare outputs count as much as frequent ones; see `Task.loss`.

    n / (k × n_k); where each output is decided by itself, n / 2 over the rows without and with it.
    """
    _, targets = lesson.task.flat(_nothing(lesson.train.targets), lesson.train.targets)
    count = len(lesson.task.outputs)
    if targets.ndim == 2:
        seen = np.stack([len(targets) - targets.sum(axis=0), targets.sum(axis=0)])
        return np.asarray(len(targets) / (2 * np.maximum(seen, 1)), dtype=np.float32)
    seen = np.bincount(targets, minlength=count)
    return np.asarray(len(targets) / (count * np.maximum(seen, 1)), dtype=np.float32)


def _nothing(targets: Sequence[Target]) -> list[NDArray[np.float32]]:
    return [np.zeros((max(target.size, 1), 1), dtype=np.float32) for target in targets]
