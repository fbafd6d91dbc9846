"""Vectors of many texts by a frozen encoder (PyTorch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

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
    """Return the vectors of each text, in order: shape [width], or [length, width] unpooled.

    Texts are sorted by length, so that little is padded, and computed in bfloat16 where the
    processor multiplies it in hardware.
    """
    encoder.to(device).eval()
    if device == "cpu" and has_bf16():
        encoder.transformer.to(torch.bfloat16)
    vectors: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)] * len(features)

    def compute(rows: list[int]) -> int:
        ids, mask = pad([features[row] for row in rows])
        with torch.inference_mode():
            found = encoder(ids.to(device), mask.to(device)).cpu().numpy()
        for vector, row in zip(found, rows, strict=True):
            vectors[row] = vector if encoder.pooled else vector[: len(features[row])].copy()
        return len(rows)

    with Cores(device) as cores:
        cores.over(compute, features, progress, what)
    return vectors
