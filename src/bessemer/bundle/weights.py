"""What a task adds to its base: a linear head, and perhaps a LoRA adapter (numpy)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.bundle.format import ADAPTER, ADAPTER_CONFIG, HEAD
from bessemer.core.errors import CorruptError, needs

#: What peft puts before and after the name of a matrix that it adapts.
_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Head:
    """A linear head: weight of shape [outputs, width] and bias of shape [outputs], float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, shape [..., outputs], of vectors, shape [..., width].

        Not a BLAS product: that would bring threads of its own into every engine thread.
        """
        logits: NDArray[np.float32] = np.einsum("...w,ow->...o", vectors, self.weight)
        return logits + self.bias


@dataclass(frozen=True)
class Adapter:
    """LoRA matrices (Hu et al. 2022): to what a matrix makes of x, x @ down @ up is added.

    By the matrix' name in the transformer: down of shape [in, rank] and up of shape [rank, out],
    float32, the scale multiplied in.
    """

    matrices: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

    @property
    def rank(self) -> int:
        """Return the highest rank of its matrices."""
        return max((down.shape[1] for down, _ in self.matrices.values()), default=0)


def attachable(config: Mapping[str, Any]) -> bool:
    """Return whether an adapter of this peft configuration only adds low-rank products.

    DoRA scales the columns of the base's own matrices: its tasks need weights of their own.
    """
    return not (config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"))


def has_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter that is to be attached; see `attachable`."""
    path = folder / ADAPTER_CONFIG
    try:
        return path.exists() and attachable(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError) as error:
        raise CorruptError(f"{path} is no configuration of an adapter: {error}.") from error


def read_head(folder: Path) -> Head:
    """Return the head that lies in a bundle or in a training's output.

    Raises:
        CorruptError: The file holds no head.
    """
    tensors = _tensors(folder / HEAD)
    if tensors.keys() != {"weight", "bias"}:
        raise CorruptError(f"{folder / HEAD} holds {', '.join(sorted(tensors))}; no linear head.")
    return Head(tensors["weight"], tensors["bias"])


def read_adapter(folder: Path) -> Adapter:
    """Return the adapter that lies in a bundle or in a training's output.

    Raises:
        CorruptError: The files hold no adapter that can be attached.
    """
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptError(
            f"{folder / ADAPTER_CONFIG} is no configuration of an adapter: {error}."
        ) from error
    scale = np.float32(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))
    tensors = _tensors(folder / ADAPTER)
    matrices = {}
    for name, down in tensors.items():
        if name.endswith(_DOWN):
            module = name.removesuffix(_DOWN)
            up = tensors.get(module + _UP)
            if up is None or down.shape[0] != up.shape[1]:
                raise CorruptError(f"{folder / ADAPTER} holds only a part of {module}.")
            shown = module.removeprefix(_PREFIX)
            matrices[shown] = (np.ascontiguousarray(down.T), np.ascontiguousarray(up.T) * scale)
    return Adapter(matrices)


def _tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    with needs("serve"):
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    try:
        found: dict[str, NDArray[np.float32]] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptError(f"{path} cannot be read: {error}.") from error
    return {name: np.asarray(value, dtype=np.float32) for name, value in found.items()}
