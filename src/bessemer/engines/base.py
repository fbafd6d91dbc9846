"""The contract of an inference engine: token ids in, states out, each row with its own adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bessemer.bundle.weights import Adapter
from bessemer.core.catalogue import Catalogue
from bessemer.core.errors import ContractError
from bessemer.tasks.base import Features

#: What an encoder makes of one text: a vector for each token, shape [length, width], or pooled to
#: one unit vector, shape [width].
States = NDArray[np.float32]


class Engine(ABC):
    """One encoder in memory, shared by all tasks on it. Every method may be called at any time,
    from several threads.
    """

    #: Raised when the same files would give other numbers.
    version: ClassVar[int]
    #: Files of a bundle that it reads: where they are equal, one engine serves both bundles.
    files: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Load the encoder whose `files` lie in a folder.

        Raises:
            CorruptError: The files cannot be loaded.
        """

    @abstractmethod
    def run(
        self, features: Sequence[Features], adapters: Sequence[str | None], *, pooled: bool
    ) -> list[States]:
        """Return the states of each row, in their order.

        Rows are computed together, padded to the longest: it is for the caller to bring rows of
        about the same length. A row's states are those that it gets alone, to the bit.

        Args:
            features: One row at least.
            adapters: Of each row the adapter that it is computed with, or None.
            pooled: Whether one vector a row is wanted instead of one a token; see `pool`.

        Raises:
            UnknownNameError: An adapter is not attached.
        """

    def attach(self, name: str, load: Callable[[], Adapter]) -> None:
        """Let rows be computed with an adapter.

        Args:
            name: What rows will call it.
            load: Reads it, now and whenever it is needed after it had to make room for others.

        Raises:
            ContractError: This encoder takes no adapters.
            CorruptError: The adapter does not fit the encoder.
        """
        raise ContractError(f"{name} cannot be attached: the encoder was exported without places.")

    def detach(self, name: str) -> None:  # noqa: B027
        """Forget an adapter; rows that are being computed with it keep it."""

    @property
    def slots(self) -> tuple[int, int]:
        """Return how many adapters are in memory, and how many could be."""
        return 0, 0


def pool(states: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """Return a unit vector for each row, shape [rows, width]: the mean of its states, normalised.

    (Reimers & Gurevych 2019.) Each is what the row gets alone, to the bit: a row is added up from
    its first token to its last, and to add the padding's zeros changes nothing.

    Args:
        states: Shape [rows, longest, width]; what is beyond a row's length is set to 0.
        lengths: Of each row.
    """
    longest = states.shape[1]
    for row, length in zip(states, lengths, strict=True):
        if length < longest:
            row[length:] = 0
    means = np.add.reduce(states, axis=1) / np.array(lengths, np.float32)[:, None]
    norms = np.sqrt(np.add.reduce(means * means, axis=1, keepdims=True))
    vectors: NDArray[np.float32] = means / np.maximum(norms, np.float32(1e-12))
    return vectors


ENGINES: Catalogue[Engine] = Catalogue("engine", "bessemer.engines", Engine, "serve")  # type: ignore[type-abstract]
