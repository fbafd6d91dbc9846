"""Batches, the fit, and choices that training makes."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bessemer.core.errors import StorageError
from bessemer.measures.calibration import probabilities
from bessemer.train import checkpoints
from bessemer.train.batching import length_buckets
from bessemer.train.methods.probe import UNIT, choose


@given(st.lists(st.integers(1, 100), min_size=1, max_size=300), st.integers(1, 40))
def test_each_row_once_in_every_epoch(lengths: list[int], size: int) -> None:
    for epoch in range(2):
        batches = length_buckets(lengths, size, seed=1, epoch=epoch)
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert max(map(len, batches)) <= size


def test_buckets_waste_less_padding_than_chance() -> None:
    lengths = np.random.default_rng(0).integers(3, 80, 3000).tolist()

    def padding(batches: list[list[int]]) -> int:
        return sum(max(lengths[r] for r in b) * len(b) for b in batches) - sum(lengths)

    bucketed = length_buckets(lengths, 32, seed=0, epoch=0)
    order = np.random.default_rng(0).permutation(3000)
    by_chance = [order[start : start + 32].tolist() for start in range(0, 3000, 32)]
    assert padding(bucketed) < 0.15 * padding(by_chance)
    assert length_buckets(lengths, 32, seed=0, epoch=1) != bucketed
    assert length_buckets(lengths, 32, seed=0, epoch=0) == bucketed


@pytest.mark.parametrize("classes", [2, 4])
def test_the_fit_learns_and_chooses_on_validation(classes: int) -> None:
    draws = np.random.default_rng(0)
    centres = draws.normal(size=(classes, 16))

    def sample(count: int) -> tuple[np.ndarray, np.ndarray]:
        targets = np.arange(count) % classes
        vectors = centres[targets] + draws.normal(size=(count, 16))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4"), targets

    train, validation = sample(400), sample(200)
    told: list[str] = []
    (weights, biases), notes = choose(
        train,
        validation,
        classes,
        UNIT,
        balanced=False,
        progress=lambda step: told.append(step.note),
    )
    assert weights.shape == (classes, 16)
    chances = probabilities(validation[0] @ weights.T + biases)
    assert (chances.argmax(axis=1) == validation[1]).mean() > 0.9
    losses = {float(c): loss for c, loss in notes["validation"].items()}
    assert notes["strength"] == min(losses, key=losses.__getitem__)
    assert len(told) == len(UNIT)


def test_weights_that_do_not_fit_on_the_disk_are_told_of(tmp_path: Path) -> None:
    """A real limit of the operating system; the library's error is of a kind of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"weights could not be written"):
            checkpoints.write(tmp_path / "weights", {"weight": torch.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
