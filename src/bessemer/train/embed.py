"""Sentence vectors of many texts by a frozen encoder (PyTorch)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bessemer.core.progress import Progress, Step
from bessemer.pretrained.encoder import Encoder, has_bf16, pad
from bessemer.tasks.base import TokenIds

BATCH = 64


def embed(
    encoder: Encoder, token_ids: TokenIds, progress: Progress, what: str
) -> NDArray[np.float32]:
    """Return unit vectors, shape [n, width], in the order of `token_ids`.

    Texts are sorted by length, so that little is padded, and computed in bfloat16 where the
    CPU multiplies it in hardware.
    """
    encoder.eval()
    if has_bf16():
        encoder.transformer.to(torch.bfloat16)
    order = sorted(range(len(token_ids)), key=lambda row: len(token_ids[row]))
    vectors = np.empty((len(token_ids), encoder.width), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            vectors[rows] = encoder(*pad([token_ids[row] for row in rows])).numpy()
            progress(Step(what, min(start + BATCH, len(order)), len(order), "texts"))
    return vectors
