"""What the data plane answers, and what it tells of itself.

What is made for each request is a named tuple: a frozen dataclass takes four times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bessemer.tasks.base import Task


class Timings(NamedTuple):
    """Where the time of one request went, in seconds."""

    tokenising: float
    #: Until the turn of its first text came.
    queue: float
    #: From then until all were computed.
    computing: float


class Answer(NamedTuple):
    """What one request is answered with."""

    call: str
    release: str
    #: Of all texts.
    tokens: int
    timings: Timings
    #: Of the release that answered; the route may serve another one by now.
    task: Task
    #: For each text its predictions; see `Task.decode`.
    predictions: list[list[dict[str, Any]]]
    #: The same as flat tensors by name, where they were asked for.
    tensors: dict[str, list[Any]]


class Embedded(NamedTuple):
    """What one request for vectors is answered with."""

    call: str
    release: str
    tokens: int
    timings: Timings
    #: For each text what the route's head reads: a unit vector, shape [width].
    vectors: list[NDArray[np.float32]]


class Wanted(NamedTuple):
    """What a request wants to be told of each text."""

    #: Predictions; 0 for all, None for the answer alone.
    top_k: int | None = None
    #: How often the set of labels that is told instead must hold the right one; or None.
    coverage: float | None = None
    #: Group whose thresholds apply, where the release has some; or None.
    group: str | None = None
    #: Whether the answer is wanted as tensors, too.
    tensors: bool = False
    #: Whether vectors are wanted, and no predictions.
    vectors: bool = False


@dataclass(frozen=True)
class LoadedBase:
    """An encoder in memory."""

    name: str
    engine: str
    #: How many releases stand on it, by tier: 0 a head alone, 1 an adapter, 2 weights of its own.
    tasks: dict[int, int]
    #: Of adapters.
    slots_used: int
    slots: int
