"""Batches of pairs of one label, and the loss that draws them together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bessemer.core.errors import DataError
from bessemer.tasks.base import IGNORED
from bessemer.train.cores import Cores
from bessemer.train.curriculum import Curriculum
from bessemer.train.gradient import LEAST_PIECES
from bessemer.train.methods.base import Lesson
from bessemer.train.network import Network

#: Pairs of a piece: fewer would leave too little to tell a partner from.
LEAST_PAIRS = 8


class Contrast(Curriculum):
    """Pairs of rows of one label, other labels' rows beside them.

    Args:
        lesson: Each of its training rows has one label.
        batch_size: Rows a step.
        temperature: Of the loss.

    Raises:
        DataError: Fewer than two labels have two rows.
    """

    def __init__(self, lesson: Lesson, batch_size: int, temperature: float) -> None:
        self._lesson = lesson
        self._labels = np.array(lesson.train.targets)
        self._temperature = temperature
        rows = {
            int(label): np.flatnonzero(self._labels == label) for label in np.unique(self._labels)
        }
        self._rows = [r for label, r in rows.items() if label != IGNORED and len(r) > 1]
        if len(self._rows) < 2:
            raise DataError(
                f"{len(self._rows)} labels have two training rows or more.",
                remedy="few-shot needs two such labels; give more rows.",
            )
        self._pairs = min(batch_size // 2, len(self._rows))
        self._steps = -(-len(lesson.train) // (2 * self._pairs))

    def batches(self, epoch: int) -> list[list[int]]:
        """Return pairs one after the other, no label twice in a step."""
        return [self._draw(epoch, step) for step in range(self._steps)]

    def _draw(self, epoch: int, step: int) -> list[int]:
        draws = np.random.default_rng([self._lesson.seed, epoch, step])
        chosen = draws.choice(len(self._rows), self._pairs, replace=False)
        pairs = [draws.choice(self._rows[label], 2, replace=False) for label in chosen]
        return [int(row) for pair in pairs for row in pair]

    def pieces(self, rows: list[int], budget: int) -> list[list[int]]:
        """Cut a step into parts that keep pairs together and contrast within themselves."""
        lengths = [len(self._lesson.train.encoded.features[row]) for row in rows]
        pairs = len(rows) // 2
        wanted = max(LEAST_PIECES, -(-max(lengths) * len(rows) // budget))
        count = max(1, min(wanted, pairs // LEAST_PAIRS))
        bounds = [2 * (pairs * number // count) for number in range(count + 1)]
        return [rows[a:b] for a, b in pairwise(bounds)]

    def loss(self, network: Network, rows: list[int]) -> tuple[Tensor, float]:
        """Return how unlikely each row's partner is among all others of the piece, summed."""
        vectors = network.vectors(*network.batch(self._lesson.train.encoded.features, rows))
        likeness = vectors @ vectors.T / self._temperature
        likeness = likeness.masked_fill(
            torch.eye(len(rows), dtype=torch.bool, device=likeness.device), -1e9
        )
        partner = torch.arange(len(rows)) ^ 1
        lost = torch.nn.functional.cross_entropy(
            likeness, partner.to(likeness.device), reduction="sum"
        )
        return lost, float(len(rows))

    def validate(self, network: Network, cores: Cores) -> None:
        """Return nothing: there is no head yet whose answers could be held against labels."""
