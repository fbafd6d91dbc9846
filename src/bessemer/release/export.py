"""From trained weights to the ONNX graphs that could serve (PyTorch, onnx)."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from bessemer.bundle.format import GRAPH, GRAPH_WEIGHTS
from bessemer.core.errors import ContractError
from bessemer.engines.onnx import STATES
from bessemer.pretrained.encoder import Encoder
from bessemer.release.adapting import add_places
from bessemer.release.packing import pack_table
from bessemer.release.quantising import quantise

OPSET = 17
#: Folders with a graph and its weights, named like the engine that reads them.
FP32, INT8 = "onnx-fp32", "onnx-int8"
#: Smaller tensors stay in the graph's own file.
LARGE_BYTES = 1024
#: How far the fp32 graph's states may be from PyTorch's, of the largest.
TOLERANCE = 1e-4


def export(
    config: dict[str, Any], weights: Path, target: Path, *, adapted: Collection[str] = ()
) -> None:
    """Write an encoder as ONNX graphs into `FP32` and `INT8`, folders of `target`.

    The graphs take `input_ids` and `attention_mask`, int64 [batch, length], and give `states`,
    float32 [batch, length, width]; for places of adapters see `adapting.add_places`. A row's
    states are the same to the bit whatever it is computed with. Weights lie beside a graph in a
    file of their own, which is the same with and without places.

    Args:
        config: The encoder's configuration.
        weights: Its safetensors file.
        target: An empty folder.
        adapted: Names of the matrices that get a place.

    Raises:
        ContractError: The graph's answers are not PyTorch's.
    """
    encoder = Encoder(config, weights, pooled=False).eval()
    ids, mask = torch.arange(1, 19).reshape(2, 9), torch.ones(2, 9, dtype=torch.long)
    whole = target / "whole.onnx"
    both = {0: "batch", 1: "length"}
    with _quiet():
        torch.onnx.export(
            encoder,
            (ids, mask),
            str(whole),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=[STATES],
            dynamic_axes={"input_ids": both, "attention_mask": both, STATES: both},
        )
    model = onnx.load(whole)
    whole.unlink()
    # What goes into the last matrix of a gated layer has outliers that 8 bits do not hold.
    kept = frozenset(node.name for node in model.graph.node if "/down_proj/" in node.name)
    add_places(model, adapted)
    _save(model, target / FP32)
    pack_table(model)
    quantise(model, kept)
    _save(model, target / INT8)
    _compare(encoder, target / FP32)


def _save(model: onnx.ModelProto, target: Path) -> None:
    """Write a graph, and its larger tensors into a file beside it, in the order of their names."""
    target.mkdir()
    model = copy.deepcopy(model)
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    onnx.save(
        model,
        target / GRAPH,
        save_as_external_data=True,
        location=GRAPH_WEIGHTS,
        size_threshold=LARGE_BYTES,
    )


def _compare(encoder: Encoder, graph: Path) -> None:
    """Hold the fp32 graph against PyTorch on other lengths than it was traced with."""
    from bessemer.engines.onnx import OnnxEngine

    rows = [np.arange(1, 6), np.arange(2, 31)]
    answers = OnnxEngine(graph).run(rows, [None, None], pooled=False)
    for row, answer in zip(rows, answers, strict=True):
        with torch.inference_mode():
            wanted = encoder(torch.from_numpy(row[None]), torch.ones(1, len(row), dtype=torch.long))
        far = float((wanted[0] - torch.from_numpy(answer)).abs().max() / wanted.abs().max())
        if far > TOLERANCE:
            raise ContractError(f"The exported graph's states are {far:.2g} away from PyTorch's.")


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
