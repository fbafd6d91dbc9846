"""Triton Inference Server with its Python backend, through PyTriton."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
from bench.peers.minilm import Model, Settings, free_ports
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from tritonclient.utils import InferenceServerException


class Classifier:
    """One instance: texts as a BYTES tensor of shape [n, 1] in, label and score out."""

    def __init__(self, settings: Settings) -> None:
        self._model = Model(settings)

    @batch
    def __call__(self, text: np.ndarray) -> dict[str, np.ndarray]:
        told = self._model.classify([row[0].decode() for row in text])
        labels = [[one["label"].encode()] for one in told]
        return {
            "label": np.array(labels, dtype=np.object_),
            "score": np.array([[one["score"]] for one in told]),
        }


def main() -> None:
    settings = Settings.of_command_line()
    try:
        serve(settings)
    except InferenceServerException:
        # At the start an instance may ask the first one for its socket too early: once more.
        os.execv(sys.executable, [sys.executable, *sys.argv])


def serve(settings: Settings) -> None:
    # Triton's Python process must be of the very Python whose library it reads.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    grpc_port, metrics_port = free_ports(2)
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=settings.port,
        grpc_address="127.0.0.1",
        grpc_port=grpc_port,
        metrics_address="127.0.0.1",
        metrics_port=metrics_port,
        allow_gpu_metrics=False,
        allow_cpu_metrics=False,
    )
    batcher = DynamicBatcher(max_queue_delay_microseconds=round(settings.wait_ms * 1000))
    workspace = Path(tempfile.mkdtemp(dir=Path.cwd())) / "triton"
    with Triton(config=config, workspace=workspace) as triton:
        triton.bind(
            model_name="minilm",
            infer_func=[Classifier(settings) for _ in range(settings.workers)],
            inputs=[Tensor(name="text", dtype=bytes, shape=(1,))],
            outputs=[
                Tensor(name="label", dtype=bytes, shape=(1,)),
                Tensor(name="score", dtype=np.float64, shape=(1,)),
            ],
            config=ModelConfig(max_batch_size=settings.batch, batcher=batcher),
            strict=False,
        )
        triton.serve()


if __name__ == "__main__":
    main()
