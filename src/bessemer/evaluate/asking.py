"""An engine asked about many texts, each computed alone as it will be served."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bessemer.core.progress import Progress, Step
from bessemer.tasks.base import Features

CHUNK = 64
Result = TypeVar("Result")


def computed(
    run: Callable[[Sequence[Features]], list[Result]],
    features: Sequence[Features],
    progress: Progress,
    what: str,
) -> list[Result]:
    """Return what an engine makes of each text, in the order of `features`.

    Args:
        run: The engine's; it is called from as many threads as there are cores.
        features: At least one row.
        progress: Is told after every chunk.
        what: What the watcher is told is being done.
    """
    chunks = [features[start : start + CHUNK] for start in range(0, len(features), CHUNK)]
    results: list[Result] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(run, chunks):
            results += part
            progress(Step(what, len(results), len(features), "texts"))
    return results
