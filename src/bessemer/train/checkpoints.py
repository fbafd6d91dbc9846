"""Training state that survives kill -9: whole, digest-checked, without pickle."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from bessemer.core import folder
from bessemer.core.errors import CorruptError, StorageError

TENSORS, STATE = "state.safetensors", "state.json"


@dataclass
class Checkpoint:
    """Where training stands: tensors by dotted name, and plain JSON values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at `path`; after a crash the old or the new one is there, whole.

    The old folder is removed only when the new one is there.

    Raises:
        StorageError: The disk is full or refuses.
    """
    path.mkdir(parents=True, exist_ok=True)
    # A step that ends an epoch is saved twice; a name is never used again.
    name = f"step-{checkpoint.values['step']:09d}-{checkpoint.values['epoch']:05d}"
    with folder.atomic_folder(path / name) as aside:
        write(aside / TENSORS, checkpoint.tensors)
        (aside / STATE).write_text(json.dumps(checkpoint.values), encoding="utf-8")
    for other in path.iterdir():
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)


def write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors.

    Raises:
        StorageError: The disk is full or refuses.
    """
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        raise StorageError(
            f"{path} could not be written: {error}.",
            remedy="Free some space and run the same command again; finished stages are kept.",
        ) from error


def load(path: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint under `path`, or None; a damaged one is passed over."""
    for candidate in sorted(path.glob("step-*"), reverse=True):
        try:
            folder.check(candidate)
        except CorruptError:
            continue
        return Checkpoint(
            tensors=load_file(candidate / TENSORS),
            values=json.loads((candidate / STATE).read_text(encoding="utf-8")),
        )
    return None


def gather(module: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return copies of trainable weights, their optimizer state and the RNG's state."""
    tensors = {"rng": torch.get_rng_state()}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            tensors[f"weight.{name}"] = parameter.detach().clone()
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value.detach().clone()
    return tensors


def scatter(tensors: dict[str, Tensor], module: nn.Module, optimizer: Optimizer) -> None:
    """Put what `gather` returned back into a module and an optimizer of the same shapes."""
    torch.set_rng_state(tensors["rng"])
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        parameter.data.copy_(tensors[f"weight.{name}"])
        state = {
            key.split(".", 2)[1]: value
            for key, value in tensors.items()
            if key.startswith("optimizer.") and key.split(".", 2)[2] == name
        }
        if state:
            optimizer.state[parameter] = state
