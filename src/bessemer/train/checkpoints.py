"""Training state that survives kill -9: whole, digest-checked, without pickle."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    #: Digests of what determines the training, by name.
    identity: dict[str, str] = field(default_factory=dict)


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
        state = {"values": checkpoint.values, "identity": checkpoint.identity}
        (aside / STATE).write_text(json.dumps(state), encoding="utf-8")
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


def load(path: Path, identity: dict[str, str] | None = None) -> Checkpoint | None:
    """Return the newest whole checkpoint under `path`, or None; a damaged one is passed over.

    Args:
        path: Where `save` put it.
        identity: What determines the training that goes on from it; None to ask nothing.

    Raises:
        CorruptError: It belongs to another training; the message says what differs.
    """
    for candidate in sorted(path.glob("step-*"), reverse=True):
        try:
            folder.check(candidate)
        except CorruptError:
            continue
        state = json.loads((candidate / STATE).read_text(encoding="utf-8"))
        found = Checkpoint(load_file(candidate / TENSORS), state["values"], state["identity"])
        if identity is not None:
            _refuse_other(candidate, found.identity, identity)
        return found
    return None


def _refuse_other(path: Path, theirs: dict[str, str], ours: dict[str, str]) -> None:
    other = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    if other:
        told = "; ".join(
            f"{name} is {theirs.get(name, 'absent')[:12]} there, {ours.get(name, 'absent')[:12]}"
            " here"
            for name in other
        )
        raise CorruptError(
            f"{path} is a checkpoint of another training: {told}.",
            remedy="Remove that folder, and training begins anew.",
        )


def gather(trained: dict[str, nn.Parameter], optimizer: Optimizer) -> dict[str, Tensor]:
    """Return copies of trained weights and their optimizer state.

    No random state: every draw is made from a seed and the number of its step.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in trained.items():
        tensors[f"weight.{name}"] = parameter.detach().clone()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value.detach().clone()
    return tensors


def scatter(
    tensors: dict[str, Tensor], trained: dict[str, nn.Parameter], optimizer: Optimizer
) -> None:
    """Put what `gather` returned back into parameters and an optimizer of the same shapes."""
    for name, parameter in trained.items():
        parameter.data.copy_(tensors[f"weight.{name}"])
        state = {
            key.split(".", 2)[1]: value.to(parameter.device)
            for key, value in tensors.items()
            if key.startswith("optimizer.") and key.split(".", 2)[2] == name
        }
        if state:
            optimizer.state[parameter] = state
