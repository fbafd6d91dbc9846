"""From trained weights to the ONNX graphs that could serve (PyTorch, onnx)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.torch import load_file
from torch import Tensor, nn

from bessemer.core.errors import ContractError
from bessemer.pretrained.encoder import Encoder
from bessemer.release.packing import pack_table
from bessemer.tasks.base import Task

OPSET = 17
#: Graph names, by engine.
GRAPHS = {"onnx-fp32": "fp32.onnx", "onnx-int8": "int8.onnx"}
#: How far the fp32 graph's logits may be from PyTorch's.
TOLERANCE = 1e-3


class _Graph(nn.Module):
    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(input_ids, attention_mask))
        return logits


def export(
    task: Task,
    *,
    config: dict[str, Any],
    encoder: Path,
    head: Path,
    target: Path,
) -> None:
    """Write `fp32.onnx` and `int8.onnx` into `target`.

    The graphs take `input_ids` and `attention_mask`, int64 [batch, length], and give
    `logits`, float32 [batch, outputs] or [batch, length, outputs]. int8: dynamic, symmetric, per
    channel, of the encoder's matrix products; the head stays fp32.

    Raises:
        ContractError: The graph's answers are not PyTorch's.
    """
    network = task.head(_width(head))
    network.load_state_dict(load_file(head))
    model = _Graph(Encoder(config, encoder, pooled=task.pooled), network).eval()
    ids, mask = torch.arange(1, 19).reshape(2, 9), torch.ones(2, 9, dtype=torch.long)
    with _quiet():
        torch.onnx.export(
            model,
            (ids, mask),
            str(target / GRAPHS["onnx-fp32"]),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={
                "input_ids": {0: "batch", 1: "length"},
                "attention_mask": {0: "batch", 1: "length"},
                "logits": {0: "batch"} if task.pooled else {0: "batch", 1: "length"},
            },
        )
        _quantise(target / GRAPHS["onnx-fp32"], target / GRAPHS["onnx-int8"])
    _compare(model, target / GRAPHS["onnx-fp32"])


def _quantise(graph: Path, target: Path) -> None:
    model = onnx.load(graph)
    pack_table(model)
    quantize_dynamic(
        model,
        target,
        per_channel=True,
        # 7 bits: without VNNI, two products of 8 bits and their sum overflow 16 bits and are
        # cut off, so that processors with and without it would answer differently.
        reduce_range=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
        # What goes into the last matrix of a gated layer has outliers that 8 bits do not hold.
        nodes_to_exclude=[
            node.name
            for node in model.graph.node
            if "/down_proj/" in node.name or node.name.startswith("/head/")
        ],
    )


def _compare(model: nn.Module, graph: Path) -> None:
    """Hold the fp32 graph against PyTorch on another length than it was traced with."""
    from bessemer.engines.onnx import OnnxEngine

    rows = [np.arange(1, 6), np.arange(2, 31)]
    answers = OnnxEngine(graph).run(rows)
    for row, answer in zip(rows, answers, strict=True):
        with torch.inference_mode():
            wanted = model(torch.from_numpy(row[None]), torch.ones(1, len(row), dtype=torch.long))[
                0
            ]
        far = float((wanted - torch.from_numpy(answer)).abs().max())
        if far > TOLERANCE:
            raise ContractError(f"The exported graph's logits are {far:.2g} away from PyTorch's.")


def _width(head: Path) -> int:
    return int(load_file(head)["weight"].shape[1])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's advice about itself; its errors still come through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
