"""Every encoder layer is trained, from a head that starts at the probe's solution."""

from __future__ import annotations

from pydantic import Field

from bessemer.core.project import Block
from bessemer.train.methods.base import Learnt, Lesson, Method


class FullOptions(Block):
    """Options of `full`."""

    epochs: int = Field(5, ge=1, le=1000, description="Passes over the training rows, at most.")
    batch_size: int = Field(32, ge=1, le=4096, description="Texts a step.")
    learning_rate: float = Field(5e-5, gt=0, lt=1, description="Peak rate of the encoder.")
    head_learning_rate: float = Field(1e-3, gt=0, lt=1, description="Peak rate of the head.")
    weight_decay: float = Field(0.01, ge=0, lt=1, description="Of matrices; AdamW.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps that warm up.")
    averaging: float = Field(
        0.995,
        ge=0,
        lt=1,
        description="Share of the averaged weights that a step keeps; 0 takes the last weights.",
    )
    patience: int = Field(
        2, ge=1, description="Epochs without a lower log-loss on validation before stopping."
    )
    train_word_embeddings: bool = Field(
        False, description="Word embeddings are half of a small encoder; by default they are kept."
    )
    checkpoint_every: int = Field(200, ge=1, description="Steps between checkpoints.")


class Full(Method):
    """AdamW on all layers, their running average kept, early stopping on validation."""

    version = 1
    Options = FullOptions

    def learn(self, lesson: Lesson, options: FullOptions) -> Learnt:
        """Fit the probe, then train; a crash resumes from the last checkpoint, bit for bit."""
        import torch

        from bessemer.pretrained.encoder import Encoder
        from bessemer.train import checkpoints, loop
        from bessemer.train.methods.probe import Probe, ProbeOptions

        torch.manual_seed(lesson.seed)
        encoder = Encoder(lesson.config, lesson.weights)
        head = lesson.task.head(encoder.width, lesson.labels)
        if checkpoints.load(lesson.work) is None:
            head.load_state_dict(Probe().learn(lesson, ProbeOptions()).head)
        if not options.train_word_embeddings:
            encoder.word_embeddings().requires_grad_(False)
        settings = options.model_dump(exclude={"train_word_embeddings"})
        best, state = loop.run(lesson, loop.Model(encoder, head), loop.Settings(**settings))
        weights = encoder.transformer.state_dict()
        prefix = "encoder.transformer."
        weights |= {n.removeprefix(prefix): t for n, t in best.items() if n.startswith(prefix)}
        return Learnt(
            head={n.removeprefix("head."): t for n, t in best.items() if n.startswith("head.")},
            encoder=weights,
            notes={
                "best_epoch": state.best_epoch,
                "steps": state.step,
                "validation": state.history,
            },
        )
