"""The contract of an inference engine: features in, logits out, nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bessemer.core.catalogue import Catalogue
from bessemer.tasks.base import Features, Logits


class Engine(ABC):
    """One loaded graph. `run` may be called from several threads at once."""

    #: Raised when the same graph would give other numbers.
    version: ClassVar[int]

    @abstractmethod
    def __init__(self, graph: Path) -> None:
        """Load a graph.

        Raises:
            CorruptError: The file cannot be loaded.
        """

    @abstractmethod
    def run(self, features: Sequence[Features]) -> list[Logits]:
        """Return the logits of each row, in their order: [outputs], or [length, outputs].

        A row's answer must not depend on the other rows of the call.
        """


ENGINES: Catalogue[Engine] = Catalogue("engine", "bessemer.engines", Engine, "serve")  # type: ignore[type-abstract]
