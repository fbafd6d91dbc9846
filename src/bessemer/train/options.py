"""Options that every method with gradient steps shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bessemer.core.block import Block

Share = Annotated[float, Field(ge=0, lt=1)]
ClassWeight = Literal["none", "balanced"]


class LoopOptions(Block):
    """How `train.loop` steps."""

    epochs: int = Field(4, ge=1, le=1000, description="Passes over the training rows, at most.")
    batch_size: int = Field(32, ge=1, le=4096, description="Texts a step.")
    learning_rate: float = Field(1e-4, gt=0, lt=1, description="Peak rate of the encoder.")
    head_learning_rate: float = Field(1e-3, gt=0, lt=1, description="Peak rate of the head.")
    weight_decay: Share = Field(0.01, description="Of matrices; AdamW.")
    warmup: Share = Field(0.1, description="Share of the steps that warm up; then half a cosine.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of a step's gradient.")
    averaging: Share = Field(
        0.995,
        description="Share of the averaged weights that a step keeps; 0 takes the last weights.",
    )
    dropout: Share | None = Field(
        None, description="Of hidden states while training; else as the base's configuration says."
    )
    word_embeddings: Literal["auto", "train", "freeze"] = Field(
        "auto",
        description="Half of a small encoder's parameters. auto freezes them below 100,000 rows.",
    )
    train_layers: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="How many layers are trained, from the top; what lies below is computed once.",
    )
    micro_tokens: int = Field(
        512,
        ge=16,
        description="Padded tokens that are computed at once; a step is made of as many such"
        " pieces as it needs, each on a core of its own.",
    )
    checkpoint_every: int = Field(200, ge=1, description="Steps between checkpoints.")


class SupervisedOptions(LoopOptions):
    """Options of methods that step by the task's own loss."""

    batch_size: int = Field(16, ge=1, le=4096, description="Texts a step.")
    token_dropout: Share = Field(
        0.1,
        description="Share of each text's tokens that a step hides behind the base's mask token;"
        " none while lower layers are frozen, and none of a base without one.",
    )
    label_smoothing: Share = Field(
        0.1, description="Share of each target that is spread over all labels."
    )
    class_weight: ClassWeight = Field(
        "none",
        description="balanced: rare labels weigh as much as frequent ones, for when the rows to"
        " come are spread over the labels more evenly than the training rows.",
    )
    patience: int = Field(
        2,
        ge=1,
        description="Epochs with neither a higher score nor a lower log-loss before stopping.",
    )
    choose_by: Literal["log_loss", "score"] = Field(
        "score",
        description="What decides which epoch is kept: the metric that comes first in the report,"
        " on validation, or the log-loss there after temperature scaling. The other decides a tie.",
    )
