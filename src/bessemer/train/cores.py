"""Work on many rows at once: each core computes batches of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from bessemer.core.progress import Progress, Step

Done = TypeVar("Done")
BATCH = 32


class Cores:
    """Threads that each compute with one core: two batches beside each other take 1.3 times less
    than two after each other on both cores. On a graphics card there is one thread.

    Results do not depend on the number of cores.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._before = torch.get_num_threads()
        alone = device != "cpu"
        threads = self._before if alone else 1
        self._pool = ThreadPoolExecutor(
            1 if alone else self._before, initializer=torch.set_num_threads, initargs=(threads,)
        )

    def __enter__(self) -> Cores:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self._before)

    def map(self, compute: Callable[[int], Done], numbers: Iterable[int]) -> Iterator[Done]:
        """Yield `compute` of each number, in their order, as they are done."""
        return self._pool.map(compute, numbers)

    def over(
        self,
        compute: Callable[[list[int]], int],
        rows: Sequence[Sequence[int] | object],
        progress: Progress,
        what: str,
    ) -> None:
        """Call `compute` with lists of row numbers of like length until all rows are done.

        Args:
            compute: Returns how many rows it has computed.
            rows: Anything with a length each.
            progress: Is told after every batch.
            what: What it is told is being done.
        """
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))  # type: ignore[arg-type]
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        done = 0
        for count in self._pool.map(compute, batches):
            done += count
            progress(Step(what, done, len(order), "texts"))
