"""Gradient training of encoder and head: bucketed batches, early stopping, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from bessemer.core.progress import Step
from bessemer.measures.calibration import fit_temperature, log_loss
from bessemer.pretrained.encoder import Encoder, has_bf16, pad
from bessemer.tasks.base import TokenIds
from bessemer.train import checkpoints
from bessemer.train.batching import length_buckets
from bessemer.train.methods.base import Batch, Lesson

CLIP_NORM = 1.0

#: Trained tensors by parameter name.
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """How to step; see the options of `train.methods.full` for the meaning of each."""

    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup: float
    averaging: float
    patience: int
    checkpoint_every: int


class Model(nn.Module):
    """Encoder and head as one module."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits, float32, shape [batch, labels]."""
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            vectors = self.encoder(input_ids, attention_mask)
        logits: Tensor = self.head(vectors.float())
        return logits


@dataclass
class State:
    """Where training stands, beside weights and optimizer."""

    step: int = 0
    epoch: int = 0
    #: Batches of the current epoch that are done.
    batch: int = 0
    #: Lowest log-loss on validation, and after which epoch; 0 is before the first step.
    best: float = math.inf
    best_epoch: int = 0
    #: For each epoch {"accuracy", "log_loss"} on validation.
    history: list[dict[str, float]] = field(default_factory=list)


def run(lesson: Lesson, model: Model, settings: Settings) -> tuple[Weights, State]:
    """Train until the epochs are done or the log-loss on validation stops falling.

    What is validated and returned is a running average of the weights (Polyak & Juditsky
    1992): on little data single steps scatter around what they average to.

    Returns:
        The average with the lowest log-loss on validation after temperature scaling (the
        weights before the first step count too), by parameter name, and the final state.
    """
    optimizer = _optimizer(model, settings)
    state, best, average = _resume(lesson, model, optimizer)
    lengths = [len(ids) for ids in lesson.train.token_ids]
    per_epoch = math.ceil(len(lengths) / settings.batch_size)
    total = per_epoch * settings.epochs
    began, begun_at = time.monotonic(), state.step
    with SummaryWriter(str(lesson.events), purge_step=state.step) as writer:
        while state.epoch < settings.epochs and not _tired(state, settings):
            batches = length_buckets(
                lengths, settings.batch_size, seed=lesson.seed, epoch=state.epoch
            )
            for batch in batches[state.batch :]:
                rate = _schedule(optimizer, settings, state.step, total)
                loss = _step(lesson, model, optimizer, batch)
                state.step, state.batch = state.step + 1, state.batch + 1
                _average(average, model, settings, state.step)
                writer.add_scalar("train/loss", loss, state.step)
                writer.add_scalar("train/learning_rate", rate, state.step)
                done = (state.step - begun_at) * settings.batch_size
                speed = done / (time.monotonic() - began)
                note = f"loss {loss:.3f} · {speed:.0f} examples/s · validation {state.best:.4f}"
                lesson.progress(Step("train", state.step, total, "steps", note))
                if state.step % settings.checkpoint_every == 0:
                    _save(lesson, model, optimizer, state, best=best, average=average)
            state.epoch, state.batch = state.epoch + 1, 0
            with _wearing(model, average):
                scores = validate(model, lesson.validation)
            state.history.append(scores)
            for name, value in scores.items():
                writer.add_scalar(f"validation/{name}", value, state.step)
            if scores["log_loss"] < state.best:
                state.best, state.best_epoch = scores["log_loss"], state.epoch
                best = _copy(average)
            _save(lesson, model, optimizer, state, best=best, average=average)
    return best, state


def _tired(state: State, settings: Settings) -> bool:
    """Return whether the last epochs brought nothing; asked anew after a resume."""
    return state.epoch - state.best_epoch >= settings.patience


def validate(model: Model, split: Batch) -> dict[str, float]:
    """Return accuracy and log-loss after temperature scaling, in nats, without dropout."""
    found = logits(model, split.token_ids)
    return {
        "accuracy": float((found.argmax(axis=1) == split.targets).mean()),
        "log_loss": log_loss(found, split.targets, fit_temperature(found, split.targets)),
    }


def logits(model: Model, token_ids: TokenIds, batch_size: int = 64) -> NDArray[np.float32]:
    """Return logits, shape [n, labels], in the order of `token_ids`."""
    model.eval()
    order = sorted(range(len(token_ids)), key=lambda row: len(token_ids[row]))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            parts.append(model(*pad([token_ids[row] for row in rows])).numpy())
    result = np.concatenate(parts)
    return result[np.argsort(order)]


def _step(lesson: Lesson, model: Model, optimizer: torch.optim.Optimizer, rows: list[int]) -> float:
    model.train()
    targets = torch.from_numpy(lesson.train.targets[rows])
    loss = lesson.task.loss(model(*pad([lesson.train.token_ids[row] for row in rows])), targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], CLIP_NORM)
    optimizer.step()
    return float(loss.detach())


def _optimizer(model: Model, settings: Settings) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms are not decayed, and the head learns at its own rate."""
    encoder = [p for p in model.encoder.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in encoder if p.ndim > 1],
            "base": settings.learning_rate,
            "weight_decay": settings.weight_decay,
        },
        {
            "params": [p for p in encoder if p.ndim <= 1],
            "base": settings.learning_rate,
            "weight_decay": 0.0,
        },
        {
            "params": list(model.head.parameters()),
            "base": settings.head_learning_rate,
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, settings: Settings, step: int, total: int) -> float:
    """Set each group's rate: linear warm-up, then half a cosine to 0. Return the encoder's."""
    warmup = max(1, round(settings.warmup * total))
    factor = min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor
    return settings.learning_rate * factor


def _live(model: Model) -> Weights:
    """Return the trained parameters themselves, by name."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def _copy(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}


def _average(average: Weights, model: Model, settings: Settings, step: int) -> None:
    """Move the average towards the weights; the first steps, which it does not know, faster."""
    kept = min(settings.averaging, step / (step + 9))
    for name, tensor in _live(model).items():
        average[name].lerp_(tensor, 1 - kept)


@contextmanager
def _wearing(model: Model, weights: Weights) -> Iterator[None]:
    """Give the model other weights for a while."""
    live = _live(model)
    own = _copy(live)
    for name, tensor in live.items():
        tensor.copy_(weights[name])
    yield
    for name, tensor in live.items():
        tensor.copy_(own[name])


def _resume(
    lesson: Lesson, model: Model, optimizer: torch.optim.Optimizer
) -> tuple[State, Weights, Weights]:
    """Return where training stands, the best weights, and the average."""
    found = checkpoints.load(lesson.work)
    if found is None:
        torch.manual_seed(lesson.seed)
        state = State(best=validate(model, lesson.validation)["log_loss"])
        return state, _copy(_live(model)), _copy(_live(model))
    checkpoints.scatter(found.tensors, model, optimizer)
    kept = {
        kind: {
            name.removeprefix(kind): tensor
            for name, tensor in found.tensors.items()
            if name.startswith(kind)
        }
        for kind in ("best.", "average.")
    }
    return State(**found.values), kept["best."], kept["average."]


def _save(
    lesson: Lesson,
    model: Model,
    optimizer: torch.optim.Optimizer,
    state: State,
    **kept: Weights,
) -> None:
    tensors = checkpoints.gather(model, optimizer)
    for kind, weights in kept.items():
        tensors |= {f"{kind}.{name}": tensor for name, tensor in weights.items()}
    checkpoints.save(lesson.work, checkpoints.Checkpoint(tensors, vars(state)))
