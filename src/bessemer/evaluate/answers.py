"""What an engine answers to many texts, each computed alone as it will be served."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bessemer.core.progress import Progress, Step
from bessemer.tasks.base import TokenIds

CHUNK = 64


def answers(
    run: Callable[[TokenIds], NDArray[np.float32]],
    token_ids: TokenIds,
    progress: Progress,
    what: str,
) -> NDArray[np.float32]:
    """Return logits, shape [n, labels], in the order of `token_ids`.

    Args:
        run: The engine's; it is called from as many threads as there are cores.
        token_ids: At least one row.
        progress: Is told after every chunk.
        what: What the watcher is told is being done.
    """
    chunks = [token_ids[start : start + CHUNK] for start in range(0, len(token_ids), CHUNK)]
    results: list[NDArray[np.float32]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = 0
        for part in pool.map(run, chunks):
            results.append(part)
            done += len(part)
            progress(Step(what, done, len(token_ids), "texts"))
    return np.concatenate(results)
