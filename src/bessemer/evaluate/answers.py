"""What an engine answers to many texts, each computed alone as it will be served."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bessemer.core.progress import Progress, Step
from bessemer.tasks.base import Features, Logits

CHUNK = 64


def answers(
    run: Callable[[Sequence[Features]], list[Logits]],
    features: Sequence[Features],
    progress: Progress,
    what: str,
) -> list[Logits]:
    """Return the logits of each text, in the order of `features`.

    Args:
        run: The engine's; it is called from as many threads as there are cores.
        features: At least one row.
        progress: Is told after every chunk.
        what: What the watcher is told is being done.
    """
    chunks = [features[start : start + CHUNK] for start in range(0, len(features), CHUNK)]
    results: list[Logits] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(run, chunks):
            results += part
            progress(Step(what, len(results), len(features), "texts"))
    return results
