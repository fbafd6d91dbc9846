"""The contract of a training method: from examples to an encoder's and a head's weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bessemer.core.catalogue import Catalogue
from bessemer.core.progress import Progress
from bessemer.core.project import Block
from bessemer.tasks.base import Task, TokenIds

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Encoded examples of one split: token ids and class numbers, equally many."""

    token_ids: TokenIds
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Lesson:
    """Everything a method is given."""

    task: Task
    labels: tuple[str, ...]
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


@dataclass(frozen=True)
class Learnt:
    """What a method returns. `encoder` is None where the base was left as it was."""

    head: dict[str, Tensor]
    encoder: dict[str, Tensor] | None = None
    #: Choices and figures worth keeping: the regularisation, the best epoch …
    notes: dict[str, Any] = field(default_factory=dict)


class Method(ABC):
    """A training method. Importing one loads no torch; `learn` does."""

    #: Raised when the same examples would give other weights.
    version: ClassVar[int]
    #: What may stand in the project's `train` block beside `method`.
    Options: ClassVar[type[Block]]

    @abstractmethod
    def learn(self, lesson: Lesson, options: Any) -> Learnt:
        """Train; the same lesson and options give the same bits, also after a crash.

        Args:
            lesson: What to learn from.
            options: An instance of `Options`.
        """


METHODS: Catalogue[Method] = Catalogue("training method", "bessemer.train.methods", Method, "train")  # type: ignore[type-abstract]
