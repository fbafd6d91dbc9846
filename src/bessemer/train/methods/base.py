"""The contract of a training method: from examples to an encoder's and a head's weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bessemer.core.block import Block
from bessemer.core.catalogue import Catalogue
from bessemer.core.progress import Progress
from bessemer.tasks.base import Answers, Encoded, Target, Task

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The encoded examples of one split, what is right for each, and what is learnt from it."""

    encoded: Encoded
    answers: list[Answers]
    targets: list[Target]
    #: How much each row counts in the loss, or, in validation, where something is chosen by it,
    #: shape [n]; None where all count alike.
    weights: NDArray[np.float64] | None = None
    #: Number of each row's group, -1 where it has none, shape [n]: set where the loss of the group
    #: that fares worst is what is minimised.
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.targets)


def _nobody(epoch: int, score: float) -> None:
    """Is told of an epoch by default."""


@dataclass(frozen=True)
class Lesson:
    """Everything a method is given."""

    task: Task
    train: Batch
    validation: Batch
    #: The base: its checked configuration and its safetensors file.
    config: dict[str, Any]
    weights: Path
    seed: int
    #: Folder that outlives a crash: checkpoints lie here.
    work: Path
    #: Folder for TensorBoard event files.
    events: Path
    progress: Progress
    #: What determines the outcome, by name: a checkpoint of another recipe is refused.
    identity: dict[str, str] = field(default_factory=dict)
    #: The base's mask token, if it has one.
    mask_token: int | None = None
    #: Where gradients are computed: "cpu", "cuda" …
    device: str = "cpu"
    #: Is told the validation log-loss after every epoch, and may raise to end a search's trial.
    told: Callable[[int, float], None] = _nobody
    #: What was done to the rows before, worth keeping with what is learnt from them.
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Learnt:
    """What a method returns. `encoder` is None where the base was left as it was."""

    head: dict[str, Tensor]
    encoder: dict[str, Tensor] | None = None
    #: LoRA matrices by PEFT's names, where the encoder is the base plus these.
    adapter: dict[str, Tensor] | None = None
    #: PEFT's configuration of the adapter.
    adapter_config: dict[str, Any] = field(default_factory=dict)
    #: Log-loss of exactly these weights on the validation split, in nats, after temperature
    #: scaling: whoever loads them later can tell whether they are the ones that were trained.
    log_loss: float = float("nan")
    #: Choices and figures worth keeping: the regularisation, the best epoch …
    notes: dict[str, Any] = field(default_factory=dict)


class Method(ABC):
    """A training method. Importing one loads no torch; `learn` does."""

    #: Raised when the same examples would give other weights.
    version: ClassVar[int]
    #: What may stand in the project's `train` block beside `method`.
    Options: ClassVar[type[Block]]
    #: Whether it heeds `Batch.weights` and `Batch.groups`; else no training rows have any.
    weighs: ClassVar[bool] = False

    @abstractmethod
    def learn(self, lesson: Lesson, options: Any) -> Learnt:
        """Train; the same lesson and options give the same bits, also after a crash.

        Args:
            lesson: What to learn from.
            options: An instance of `Options`.

        Raises:
            ProjectError: The method cannot learn this task.
        """


METHODS: Catalogue[Method] = Catalogue("training method", "bessemer.train.methods", Method, "train")  # type: ignore[type-abstract]
