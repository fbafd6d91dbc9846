"""Gradient training: pieces on every core, a running average, early stopping, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bessemer.core.errors import OperatorError
from bessemer.core.progress import Step
from bessemer.train import checkpoints
from bessemer.train.cores import Cores
from bessemer.train.curriculum import Curriculum
from bessemer.train.events import Events
from bessemer.train.gradient import Gradient
from bessemer.train.methods.base import Lesson
from bessemer.train.mitigation import CHOOSE_BY
from bessemer.train.network import Network
from bessemer.train.options import LoopOptions

#: Trained tensors by parameter name.
Weights = dict[str, Tensor]


@dataclass
class State:
    """Where training stands, beside weights and optimizer."""

    #: Padded tokens of a piece.
    budget: int
    step: int = 0
    epoch: int = 0
    #: Batches of the current epoch that are done.
    batch: int = 0
    #: What `Curriculum.validate` returned before the first step and after each epoch; empty where
    #: nothing is validated.
    history: list[dict[str, float]] = field(default_factory=list)

    def best_epoch(self, choose_by: str) -> int:
        """Return the epoch whose weights are kept; 0 is before the first step.

        Args:
            choose_by: See `Curriculum`; what is not asked for decides a tie.
        """
        if not self.history:
            return self.epoch

        def worth(epoch: int) -> tuple[float, ...]:
            scores = self.history[epoch]
            pair = (scores["score"], -scores["log_loss"])
            if choose_by == CHOOSE_BY:
                return -scores[CHOOSE_BY], *pair
            return pair if choose_by == "score" else pair[::-1]

        return max(range(len(self.history)), key=worth)

    def idle_epochs(self, since: int) -> int:
        """Return how many epochs behind `since` and behind the last better one have passed."""
        if not self.history:
            return 0
        losses = [scores.get(CHOOSE_BY, scores["log_loss"]) for scores in self.history]
        heights = [scores["score"] for scores in self.history]
        last = max(losses.index(min(losses)), heights.index(max(heights)))
        return self.epoch - max(last, since)


@dataclass
class Training:
    """One training from its first step, or its last checkpoint, to the kept weights."""

    lesson: Lesson
    network: Network
    options: LoopOptions
    curriculum: Curriculum
    state: State = field(init=False)
    #: Best average so far, and the running one.
    best: Weights = field(init=False)
    average: Weights = field(init=False)

    def run(self) -> State:
        """Train until the epochs are done or validation gets no better.

        What is validated and kept is a running average of the weights (Polyak & Juditsky
        1992): on little data single steps scatter around what they average to.

        Returns:
            The final state. The network wears the best average; the weights before the first
            step count too.

        Raises:
            OperatorError: The loss is no number any more, or memory does not hold one text.
        """
        self.network.set_dropout(None, added=True)
        self.accelerator = Accelerator(cpu=self.lesson.device == "cpu")
        self.network.to(self.lesson.device)
        self.optimizer = _optimizer(self.network, self.options)
        with Cores(self.lesson.device) as self.cores, Events(self.lesson.events) as self.events:
            self._resume()
            self.gradient = Gradient(
                self.network,
                self.network.at_epoch(self.state.epoch),
                self.cores,
                self.state.budget,
                (self.accelerator.process_index, self.accelerator.num_processes),
                lambda tensor: self.accelerator.reduce(tensor, "sum"),
            )
            if not self.state.batch:
                self._tell()  # it was saved, but perhaps not told before the process ended
            # Asked anew after a resume.
            # Patience begins when every layer has its turn.
            turn = self.network.unfreeze_after or 0
            while (
                self.state.epoch < self.options.epochs
                and self.state.idle_epochs(turn) < self.curriculum.patience
            ):
                self._epoch()
        for name, tensor in _live(self.network).items():
            tensor.copy_(self.best[name])
        return self.state

    def _tell(self) -> None:
        """Tell whoever searches what the last epoch came to."""
        if self.state.epoch and self.state.history:
            self.lesson.told(self.state.epoch, self.state.history[-1]["log_loss"])

    def _epoch(self) -> None:
        state, options = self.state, self.options
        self.curriculum.begin(state.history)
        batches = self.curriculum.batches(state.epoch)
        self.gradient.parameters = self.network.at_epoch(state.epoch)
        features = self.lesson.train.encoded.features
        if self.network.could_remember(features):
            self.network.encode(features, self.cores, self.lesson.progress, remember=True)
        began, done = time.monotonic(), 0
        total = len(batches) * options.epochs
        known = f" · validation {state.history[-1]['score']:.4f}" if state.history else ""
        for rows in batches[state.batch :]:
            rate = _schedule(self.optimizer, options, state.step, total)
            loss = self._step(rows)
            state.step, state.batch = state.step + 1, state.batch + 1
            _average(self.average, self.network, options.averaging, state.step)
            self.events.scalars(state.step, {"train/loss": loss, "train/learning_rate": rate})
            done += len(rows)
            note = f"loss {loss:.3f} · {done / (time.monotonic() - began):.0f} examples/s{known}"
            self.lesson.progress(Step("train", state.step, total, "steps", note))
            if state.step % options.checkpoint_every == 0:
                self._save()
        state.epoch, state.batch = state.epoch + 1, 0
        self._validate()
        self._save()
        self._tell()

    def _step(self, rows: list[int]) -> float:
        """Move the weights by one step and return the loss."""
        state = self.state
        self.network.train()
        seed = self.lesson.seed * 1_000_003 + state.step
        gradients, loss, halved = self.gradient.compute(
            rows, self.curriculum.pieces, seed, self._loss
        )
        if halved:
            state.budget = self.gradient.budget
            note = f"memory ran out: {state.budget} tokens are computed at once from now on"
            self.lesson.progress(Step("train", state.step, 0, "steps", note))
        for parameter, gradient in zip(self.gradient.parameters, gradients, strict=True):
            parameter.grad = gradient
        norm = nn.utils.clip_grad_norm_(self.gradient.parameters, self.options.clip_norm)
        if not (math.isfinite(loss) and bool(norm.isfinite())):
            raise OperatorError(
                f"The loss is {loss:g} and its gradient's norm {float(norm):g} at step"
                f" {state.step + 1} (epoch {state.epoch + 1}, batch {state.batch + 1}, rows"
                f" {', '.join(map(str, sorted(rows)[:5]))} … of the training split).",
                remedy="Lower train.learning_rate or train.head_learning_rate. The last good"
                " checkpoint is kept.",
            )
        self.optimizer.step()
        return loss

    def _loss(self, part: list[int]) -> tuple[Tensor, float]:
        return self.curriculum.loss(self.network, part)

    def _validate(self) -> None:
        """Measure the average and keep it if it is the best so far."""
        state = self.state
        with _wearing(self.network, self.average):
            scores = self.curriculum.validate(self.network, self.cores)
        if scores is not None:
            state.history.append(scores)
            self.events.scalars(state.step, {f"validation/{n}": v for n, v in scores.items()})
        if self.curriculum.confusion is not None:
            self.events.confusion(state.step, self.curriculum.confusion)
        if state.best_epoch(self.curriculum.choose_by) == state.epoch:
            self.best = _copy(self.average)

    def _resume(self) -> None:
        """Take up the last checkpoint, or begin."""
        found = checkpoints.load(self.lesson.work, self.lesson.identity)
        if found is None:
            scores = self.curriculum.validate(self.network, self.cores)
            self.state = State(self.options.micro_tokens, history=[scores] if scores else [])
            self.best, self.average = _copy(_live(self.network)), _copy(_live(self.network))
            return
        checkpoints.scatter(found.tensors, self.network.trained(), self.optimizer)
        self.state = State(**found.values)
        self.best, self.average = (
            {
                name.removeprefix(kind): tensor.to(self.network.device)
                for name, tensor in found.tensors.items()
                if name.startswith(kind)
            }
            for kind in ("best.", "average.")
        )
        self.events.resume(self.state.step)

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        tensors = checkpoints.gather(self.network.trained(), self.optimizer)
        for kind, weights in {"best": self.best, "average": self.average}.items():
            tensors |= {f"{kind}.{name}": tensor for name, tensor in weights.items()}
        found = checkpoints.Checkpoint(tensors, vars(self.state), self.lesson.identity)
        checkpoints.save(self.lesson.work, found)


def _optimizer(network: Network, options: LoopOptions) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms are not decayed, and the head learns at its own rate."""
    trained = network.trained()
    encoder = [p for name, p in trained.items() if name.startswith("encoder.")]
    head: list[Tensor] = [p for name, p in trained.items() if name.startswith("head.")]
    kinds: list[tuple[list[Tensor], float, float]] = [
        ([p for p in encoder if p.ndim > 1], options.learning_rate, options.weight_decay),
        ([p for p in encoder if p.ndim <= 1], options.learning_rate, 0.0),
        (head, options.head_learning_rate, 0.0),
    ]
    groups: list[dict[str, Any]] = [
        {"params": parameters, "base": rate, "weight_decay": decay}
        for parameters, rate, decay in kinds
        if parameters
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)


def _schedule(
    optimizer: torch.optim.Optimizer, options: LoopOptions, step: int, total: int
) -> float:
    """Set each group's rate: linear warm-up, then half a cosine to 0. Return the encoder's."""
    warmup = max(1, round(options.warmup * total))
    factor = min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor
    return options.learning_rate * factor


def _live(network: Network) -> Weights:
    """Return the trained parameters themselves, by name."""
    return {name: p.detach() for name, p in network.trained().items()}


def _copy(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}


def _average(average: Weights, network: Network, averaging: float, step: int) -> None:
    """Move the average towards the weights; the first steps, which it does not know, faster."""
    kept = min(averaging, step / (step + 9))
    for name, parameter in network.trained().items():
        if parameter.requires_grad:
            average[name].lerp_(parameter.detach(), 1 - kept)


@contextmanager
def _wearing(network: Network, weights: Weights) -> Iterator[None]:
    """Give the network other weights for a while."""
    live = _live(network)
    own = _copy(live)
    for name, tensor in live.items():
        tensor.copy_(weights[name])
    try:
        yield
    finally:
        for name, tensor in live.items():
            tensor.copy_(own[name])
