"""What a network gives for many texts, batch by batch on every core (PyTorch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bessemer.core.progress import Progress
from bessemer.pretrained.encoder import Encoder, has_bf16, pad
from bessemer.tasks.base import Features
from bessemer.train.cores import Cores


def embed(
    encoder: Encoder,
    features: Sequence[Features],
    progress: Progress,
    what: str,
    device: str = "cpu",
) -> list[NDArray[np.float32]]:
    """Return a frozen encoder's vectors of each text: shape [width], or [length, width] unpooled.

    They are computed in bfloat16 where the processor multiplies it in hardware.
    """
    encoder.to(device).eval()
    if device == "cpu" and has_bf16():
        encoder.transformer.to(torch.bfloat16)

    def compute(ids: Tensor, mask: Tensor, rows: list[int]) -> Tensor:
        found: Tensor = encoder(ids.to(device), mask.to(device))
        return found

    with Cores(device) as cores:
        return outputs(compute, features, cores, progress, what)


def outputs(
    compute: Callable[[Tensor, Tensor, list[int]], Tensor],
    features: Sequence[Features],
    cores: Cores,
    progress: Progress,
    what: str,
) -> list[NDArray[np.float32]]:
    """Return what is computed for each text, in order; what comes by token without the padding.

    Texts are sorted by length, so that little is padded.

    Args:
        compute: Maps ids, mask and row numbers of a batch to shape [batch, n] or
            [batch, length, n]; is called in several threads at once, without gradients.
        features: Token ids of each text.
        cores: Where it runs.
        progress: Is told after every batch.
        what: What it is told is being done.
    """
    found: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)] * len(features)

    def one(rows: list[int]) -> int:
        with torch.inference_mode():
            values = compute(*pad([features[row] for row in rows]), rows).float().cpu().numpy()
        for value, row in zip(values, rows, strict=True):
            found[row] = value[: len(features[row])].copy() if value.ndim == 2 else value
        return len(rows)

    cores.over(one, features, progress, what)
    return found
