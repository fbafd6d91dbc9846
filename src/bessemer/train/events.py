"""TensorBoard event files: scalars, and confusions as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

#: Side of the picture in points, about.
SIDE = 640
#: From no examples to all of a row's.
LIGHT, DARK = np.array([247, 251, 255]), np.array([8, 48, 107])


class Events:
    """Writes into a folder; the files are opened with the first event."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._step = 0
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def resume(self, step: int) -> None:
        """Let what was written after `step`, before a crash, be forgotten."""
        self._step = step

    @property
    def writer(self) -> SummaryWriter:
        """Return the open writer."""
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=self._step)
        return self._writer

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write one number each."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def confusion(self, step: int, matrix: NDArray[np.int64]) -> None:
        """Draw how often each output (a row) was answered with which (a column)."""
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        colours = LIGHT + share[:, :, None] * (DARK - LIGHT)
        cell = max(1, SIDE // len(matrix))
        picture = colours.astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)
        self.writer.add_image("validation/confusion", picture, step, dataformats="HWC")
