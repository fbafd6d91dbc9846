"""Sentence vectors of many texts by a frozen encoder (PyTorch)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from bessemer.core.progress import Progress, Step
from bessemer.pretrained.encoder import Encoder, has_bf16, pad
from bessemer.tasks.base import TokenIds

BATCH = 32


def embed(
    encoder: Encoder, token_ids: TokenIds, progress: Progress, what: str
) -> NDArray[np.float32]:
    """Return unit vectors, shape [n, width], in the order of `token_ids`.

    Texts are sorted by length, so that little is padded, and computed in bfloat16 where the
    CPU multiplies it in hardware. Each core computes batches of its own: 1.3 times the texts
    of cores that share one, and the same bits on any number of cores.
    """
    encoder.eval()
    if has_bf16():
        encoder.transformer.to(torch.bfloat16)
    order = sorted(range(len(token_ids)), key=lambda row: len(token_ids[row]))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    vectors = np.empty((len(token_ids), encoder.width), dtype=np.float32)
    cores = torch.get_num_threads()

    def compute(rows: list[int]) -> int:
        with torch.inference_mode():
            vectors[rows] = encoder(*pad([token_ids[row] for row in rows])).numpy()
        return len(rows)

    done = 0
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for count in pool.map(compute, batches):
                done += count
                progress(Step(what, done, len(order), "texts"))
    finally:
        torch.set_num_threads(cores)
    return vectors
