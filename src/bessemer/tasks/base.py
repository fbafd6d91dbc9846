"""The contract of a task family: what is learnt, from which columns, judged by what."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bessemer.core.catalogue import Catalogue
from bessemer.core.report import ClassReport, Confusion, Measurement

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

TokenIds = list[list[int]]


class Task(ABC):
    """A task family. Stateless; importing one loads neither torch nor transformers."""

    #: Raised when the same examples would give other results.
    version: ClassVar[int]
    #: Roles that the project's `columns` block must map to columns of the source.
    roles: ClassVar[tuple[str, ...]]
    #: Names of the metrics that `metrics` returns; the gate may name these.
    metric_names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def targets(self, values: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
        """Return what the loss is computed against, from the label column."""

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> TokenIds:
        """Return token ids, special tokens included, at most `max_length` a text."""

    @abstractmethod
    def head(self, width: int, labels: Sequence[str]) -> nn.Module:
        """Return an untrained head: [batch, width] to [batch, len(labels)] logits."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar."""

    @abstractmethod
    def decode(
        self, logits: NDArray[np.float32], labels: Sequence[str], temperature: float, top_k: int
    ) -> list[list[dict[str, Any]]]:
        """Return for each row its `top_k` predictions, as they appear in an answer."""

    @abstractmethod
    def metrics(
        self,
        targets: NDArray[np.int64],
        logits: NDArray[np.float32],
        labels: Sequence[str],
        *,
        temperature: float,
        confidence: float,
        resamples: int,
        seed: int,
    ) -> tuple[dict[str, Measurement], list[ClassReport], list[Confusion]]:
        """Return the metrics by name, per label, and the confusions, each with its interval."""


TASKS: Catalogue[Task] = Catalogue("task", "bessemer.tasks", Task)  # type: ignore[type-abstract]
