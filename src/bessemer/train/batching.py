"""Batches of texts of like length, in an order that seed and epoch determine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: How many batches' worth of texts are drawn at random before they are sorted by length.
WINDOW = 50


def length_buckets(
    lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int
) -> list[list[int]]:
    """Return row numbers in batches: each row once, batches shuffled.

    Rows are shuffled, cut into windows of `WINDOW` batches, sorted by length inside each
    window and cut into batches: little padding, and other batch mates in every epoch.
    """
    draws = np.random.default_rng([seed, epoch])
    order = draws.permutation(len(lengths))
    size = batch_size * WINDOW
    windows = [
        sorted(order[start : start + size].tolist(), key=lambda row: lengths[row])
        for start in range(0, len(order), size)
    ]
    batches = [
        window[start : start + batch_size]
        for window in windows
        for start in range(0, len(window), batch_size)
    ]
    return [batches[number] for number in draws.permutation(len(batches))]
