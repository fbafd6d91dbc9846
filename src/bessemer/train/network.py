"""Encoder and head as one module to be trained: what is frozen, what is remembered, dropout."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bessemer.core.errors import ProjectError
from bessemer.core.progress import Progress
from bessemer.pretrained.encoder import Encoder, has_bf16, pad
from bessemer.tasks.base import Features
from bessemer.train.cores import Cores
from bessemer.train.embed import outputs

#: Frozen layers are computed once if what they give takes no more memory than this.
MOST_REMEMBERED_BYTES = 2_000_000_000
#: Dropout of attention weights has no generator of its own in transformers, so it is off.
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


class _Thread(threading.local):
    """What each computing thread has of its own."""

    noise: torch.Generator | None = None
    #: Hidden states that stand for the output of the frozen layers, or None to compute them.
    recalled: Tensor | None = None
    #: What the topmost frozen layer gave last.
    seen: Tensor | None = None


class Dropout(nn.Module):
    """Dropout from a generator that the computing thread brings: two cores may compute two
    pieces of a step in any order and draw the same masks.
    """

    def __init__(self, share: float, thread: _Thread, *, added: bool) -> None:
        super().__init__()
        self.p = share
        self._thread = thread
        #: Whether a method has added it; the base's own frozen parts drop nothing.
        self._added = added

    def forward(self, values: Tensor) -> Tensor:
        """Return `values` with a share of them set to 0, the others scaled up."""
        if not self.training or self.p == 0 or not (self._added or values.requires_grad):
            return values
        # Four draws of 16 bits come from one of 64, which takes 0.4 of the time.
        words = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device)
        draws = words.random_(-(2**63), None, generator=self._thread.noise).view(torch.int16)
        kept = draws[: values.numel()].view(values.shape) >= round(self.p * 2**16) - 2**15
        return values * kept.to(values.dtype).div_(1 - self.p)


class Network(nn.Module):
    """Encoder and head. `forward` may be called from several threads at once.

    Args:
        encoder: Its parameters are all trained until `freeze` is called.
        head: Reads the encoder's vectors.
    """

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.thread = _Thread()
        #: How many layers, from the lowest, are frozen now, and after how many epochs no more.
        self.frozen = 0
        self.unfreeze_after: int | None = None
        self._lower: list[nn.Parameter] = []
        self._remembered: list[NDArray[np.float32]] | None = None
        #: Share of the tokens that are hidden while training, and what hides them.
        self.token_dropout, self.mask_token = 0.0, 0

    @property
    def device(self) -> torch.device:
        """Return where the parameters lie."""
        return next(self.parameters()).device

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits, float32, shape [batch, outputs] or [batch, length, outputs]."""
        logits: Tensor = self.head(self.vectors(input_ids, attention_mask))
        return logits

    def vectors(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return what the head reads, float32."""
        kind = self.device.type
        half = has_bf16() if kind == "cpu" else kind == "cuda" and torch.cuda.is_bf16_supported()
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            found: Tensor = self.encoder(input_ids, attention_mask)
        return found.float()

    def batch(self, features: Sequence[Features], rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the padded ids and mask of some rows; their frozen layers are recalled."""
        ids, mask = pad([features[row] for row in rows])
        if self._remembered is not None:
            states = np.zeros((*ids.shape, self.encoder.width), dtype=np.float32)
            for place, row in zip(states, rows, strict=True):
                place[: len(self._remembered[row])] = self._remembered[row]
            self.thread.recalled = torch.from_numpy(states).to(self.device)
        ids, mask = ids.to(self.device), mask.to(self.device)
        if self.training and self.token_dropout and not self.frozen:
            ids = self._hidden(ids, mask)
        return ids, mask

    def _hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return ids of which some are hidden, but for the first and the last of each row."""
        draws = torch.rand(ids.shape, generator=self.thread.noise, device=ids.device)
        inner = mask.roll(-1, dims=1) * mask
        inner[:, 0] = inner[:, -1] = 0
        return ids.masked_fill((draws < self.token_dropout) & (inner > 0), self.mask_token)

    def set_dropout(self, share: float | None, *, added: bool = False) -> None:
        """Replace every dropout module by one that draws from the thread's generator."""
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Dropout):
                    kept = child.p if share is None or child.p == 0 else share
                    setattr(module, name, Dropout(kept, self.thread, added=added))

    def freeze(
        self,
        train_layers: int | None,
        *,
        word_embeddings: bool,
        unfreeze_after: int | None = None,
    ) -> None:
        """Leave the word embeddings, or all but the upper layers, as they are.

        Args:
            train_layers: How many layers are trained, from the top; None for all.
            word_embeddings: Whether these are frozen where every layer is trained.
            unfreeze_after: Epochs after which the lower layers are trained too; None for never.

        Raises:
            ProjectError: There are fewer layers.
        """
        if word_embeddings:
            self.encoder.word_embeddings().requires_grad_(False)
        if train_layers is None:
            return
        layers = self.encoder.layers()
        if train_layers > len(layers):
            raise ProjectError(
                f"train.train_layers is {train_layers}, the base has {len(layers)} layers.",
                remedy=f"Write a number from 0 to {len(layers)}, or leave it out to train all.",
            )
        upper = layers[len(layers) - train_layers :]
        trained = {id(p) for layer in upper for p in layer.parameters()}
        lower = [p for p in self.encoder.parameters() if p.requires_grad and id(p) not in trained]
        for parameter in lower:
            parameter.requires_grad_(False)
        self.frozen, self.unfreeze_after = len(layers) - train_layers, unfreeze_after
        if unfreeze_after is not None:
            self._lower = lower
        for layer in layers[: self.frozen]:
            _recall_instead(layer, self.thread)
        if self.frozen:
            layers[self.frozen - 1].register_forward_hook(self._see)

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that are trained in some epoch, by name."""
        later = set(map(id, self._lower))
        named = self.named_parameters()
        return {name: p for name, p in named if p.requires_grad or id(p) in later}

    def at_epoch(self, epoch: int) -> list[Tensor]:
        """Unfreeze the lower layers if it is time, and return what is trained from now on."""
        if self.unfreeze_after is not None and epoch >= self.unfreeze_after:
            self.frozen, self._remembered = 0, None
            for parameter in self._lower:
                parameter.requires_grad_(True)
        return [p for p in self.parameters() if p.requires_grad]

    def _see(self, layer: nn.Module, given: Any, output: Any) -> None:
        self.thread.seen = output[0] if isinstance(output, tuple) else output

    def could_remember(self, features: Sequence[Features]) -> bool:
        """Return whether there are frozen layers whose results are not kept, but could be."""
        size = sum(len(row) for row in features) * self.encoder.width * 4
        return self.frozen > 0 and self._remembered is None and size <= MOST_REMEMBERED_BYTES

    def encode(
        self,
        features: Sequence[Features],
        cores: Cores,
        progress: Progress,
        *,
        remember: bool = False,
    ) -> list[NDArray[np.float32]]:
        """Return what the head reads of each row: shape [width], or [length, width] unpooled.

        Args:
            features: The rows.
            cores: Where it runs.
            progress: Is told after every batch.
            remember: These are the training rows: what the frozen layers give is kept, if there
                are some and there is room.
        """
        remember = remember and self.could_remember(features)
        states: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)] * len(features)

        def compute(ids: Tensor, mask: Tensor, rows: list[int]) -> Tensor:
            found = self.vectors(ids.to(self.device), mask.to(self.device))
            if remember:
                assert self.thread.seen is not None
                seen = self.thread.seen.float().cpu().numpy()
                for state, row in zip(seen, rows, strict=True):
                    states[row] = state[: len(features[row])].copy()
            self.thread.seen = None
            return found

        self.eval()
        found = outputs(compute, features, cores, progress, "encode")
        self._remembered = states if remember else self._remembered
        return found

    @contextmanager
    def training_piece(self, seed: int) -> Iterator[None]:
        """Draw dropout from `seed` in this thread; forget what was recalled afterwards."""
        self.thread.noise = torch.Generator(self.device).manual_seed(seed)
        try:
            yield
        finally:
            self.thread.noise = self.thread.recalled = self.thread.seen = None


def _recall_instead(layer: nn.Module, thread: _Thread) -> None:
    """Let a frozen layer pass on what was remembered of the topmost one, where something was."""
    compute = layer.forward
    wrapped = False

    def forward(hidden: Tensor, *args: Any, **options: Any) -> Any:
        nonlocal wrapped
        if thread.recalled is not None:
            return (thread.recalled,) if wrapped else thread.recalled
        output = compute(hidden, *args, **options)
        wrapped = isinstance(output, tuple)
        return output

    layer.forward = forward


def without_attention_dropout(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration whose attention weights are not dropped; see `ATTENTION_DROPOUT`."""
    return {**config, **dict.fromkeys(ATTENTION_DROPOUT, 0.0)}
