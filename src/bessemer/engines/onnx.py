"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bessemer.bundle.format import GRAPH, GRAPH_WEIGHTS
from bessemer.bundle.weights import Adapter
from bessemer.core.errors import CorruptError, UnknownNameError, needs
from bessemer.engines.base import Engine, States, pool
from bessemer.engines.lora.slots import DOWN, UP, Slots
from bessemer.tasks.base import Features

#: The graph's input with the slot of each row, where it has places for adapters.
ADAPTER_INPUT = "adapter"
#: The graph's output.
STATES = "states"


class OnnxEngine(Engine):
    """One session, one thread a call; callers bring as many threads as there are cores.

    A graph without places for adapters is another session on the same file of weights, which the
    operating system maps into memory once: rows without an adapter pay nothing for them.
    """

    version = 2
    files = (GRAPH, GRAPH_WEIGHTS)

    def __init__(self, folder: Path) -> None:
        self._session = _session(folder / GRAPH)
        inputs = {found.name: found.shape for found in self._session.get_inputs()}
        shapes = {
            name.removesuffix(DOWN): (shape[1], inputs[name.removesuffix(DOWN) + UP][2])
            for name, shape in inputs.items()
            if name.endswith(DOWN)
        }
        self._slots = Slots(shapes) if shapes else None

    def run(
        self, features: Sequence[Features], adapters: Sequence[str | None], *, pooled: bool
    ) -> list[States]:
        """Return the states of each row; see `Engine.run`. Equal rows are computed once."""
        places: dict[tuple[bytes, str | None], int] = {}
        row_of = [
            places.setdefault((row.tobytes(), name), len(places))
            for row, name in zip(features, adapters, strict=True)
        ]
        first = {place: number for number, place in reversed(list(enumerate(row_of)))}
        rows = [features[first[place]] for place in range(len(places))]
        feeds = _padded(rows)
        if self._slots is None:
            if named := [name for name in adapters if name is not None]:
                raise UnknownNameError("adapter", named[0], ())
            [found] = self._session.run([STATES], feeds)
        else:
            with self._slots.held([name for _, name in places]) as (numbers, stacks):
                feeds |= {ADAPTER_INPUT: numbers, **stacks.arrays}
                [found] = self._session.run([STATES], feeds)
        if pooled:
            vectors = pool(found, [len(row) for row in rows])
            return [vectors[place] for place in row_of]
        return [found[place, : len(row)] for place, row in zip(row_of, features, strict=True)]

    def attach(self, name: str, load: Callable[[], Adapter]) -> None:
        """Write an adapter into a slot; see `Engine.attach`."""
        if self._slots is None:
            super().attach(name, load)
        else:
            self._slots.attach(name, load)

    def detach(self, name: str) -> None:
        """Free an adapter's slot; see `Engine.detach`."""
        if self._slots is not None:
            self._slots.detach(name)

    @property
    def slots(self) -> tuple[int, int]:
        """Return how many adapters are in memory, and how many could be."""
        return (0, 0) if self._slots is None else (self._slots.used, self._slots.count - 1)


def _session(graph: Path) -> Any:
    with needs("serve"):
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no public base
        raise CorruptError(f"{graph} cannot be loaded: {error}.") from error


def _padded(rows: Sequence[Features]) -> dict[str, np.ndarray[Any, Any]]:
    """Return token ids and attention mask, int64 [batch, longest], padded with 0.

    Two columns at least: a matrix of one row is multiplied in another order than others.
    """
    ids = np.zeros((len(rows), max(2, *map(len, rows))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}
