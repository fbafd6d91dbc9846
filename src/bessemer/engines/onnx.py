"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bessemer.core.errors import CorruptError, needs
from bessemer.engines.base import Engine
from bessemer.tasks.base import Features, Logits


class OnnxEngine(Engine):
    """One session, one thread a call; callers bring as many threads as there are cores.

    Rows run one by one: dynamic int8 takes its activation scale from the whole batch, so
    batch mates would change an answer, and on a CPU padding costs more than batching saves.
    """

    version = 1

    def __init__(self, graph: Path) -> None:
        with needs("serve"):
            import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's errors share no public base
            raise CorruptError(f"{graph} cannot be loaded: {error}.") from error

    def run(self, features: Sequence[Features]) -> list[Logits]:
        """Return the logits of each row; see `Engine.run`."""
        return [
            self._session.run(
                ["logits"],
                {"input_ids": row[None], "attention_mask": np.ones((1, len(row)), np.int64)},
            )[0][0]
            for row in features
        ]
