"""What methods that change the encoder share: how they begin, and what they hand back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bessemer.core.errors import ProjectError
from bessemer.core.progress import Step
from bessemer.pretrained.encoder import Encoder
from bessemer.train import checkpoints
from bessemer.train.cores import Cores
from bessemer.train.curriculum import Supervised, logits, scores
from bessemer.train.loop import State, Training
from bessemer.train.methods.base import Learnt, Lesson
from bessemer.train.methods.probe import ProbeOptions, fit
from bessemer.train.network import Network, without_attention_dropout
from bessemer.train.options import LoopOptions, SupervisedOptions

#: With fewer training rows word embeddings are left alone: most words never occur, and those
#: that do would move away from their synonyms.
FEW_ROWS = 100_000


def start_at_probe(lesson: Lesson, network: Network, options: SupervisedOptions) -> None:
    """Put the head at the probe's solution, unless a checkpoint will be taken up."""
    if lesson.mask_token is not None:
        network.token_dropout, network.mask_token = options.token_dropout, lesson.mask_token
    if checkpoints.load(lesson.work, lesson.identity) is None:
        network.to(lesson.device)
        train, validation = lesson.train.encoded.features, lesson.validation.encoded.features
        with Cores(lesson.device) as cores:
            known = network.encode(train, cores, lesson.progress, remember=True)
            held_out = network.encode(validation, cores, lesson.progress)
        weight = ProbeOptions(class_weight=options.class_weight)
        network.head.load_state_dict(fit(lesson, known, held_out, weight).head)


def untrained(
    lesson: Lesson, options: LoopOptions, unfreeze_after: int | None = None
) -> tuple[Network, dict[str, Any]]:
    """Return encoder and a random head, and what was frozen.

    Args:
        lesson: Whose base it is.
        options: What is trained.
        unfreeze_after: See `Network.freeze`.

    Raises:
        ProjectError: The options contradict each other.
    """
    torch.manual_seed(lesson.seed)
    config = without_attention_dropout(lesson.config)
    encoder = Encoder(config, lesson.weights, pooled=lesson.task.pooled)
    part = options.train_layers is not None
    if options.word_embeddings == "train" and part and unfreeze_after is None:
        raise ProjectError(
            "train.word_embeddings is train, but train.train_layers leaves the lower layers alone.",
            remedy="Remove one of them.",
        )
    network = Network(encoder, lesson.task.head(encoder.width))
    network.set_dropout(options.dropout)
    auto = len(lesson.train) < FEW_ROWS
    frozen = options.word_embeddings == "freeze" or (options.word_embeddings == "auto" and auto)
    network.freeze(options.train_layers, word_embeddings=frozen, unfreeze_after=unfreeze_after)
    kept = frozen or (part and unfreeze_after is None)
    return network, {"word_embeddings": "frozen" if kept else "trained"}


def announce(lesson: Lesson, network: Network, notes: dict[str, Any]) -> None:
    """Count what is trained, for the notes and whoever watches."""
    notes["trained_parameters"] = sum(p.numel() for p in network.trained().values())
    notes["parameters"] = sum(p.numel() for p in network.parameters())
    told = f"{notes['trained_parameters']:,} of {notes['parameters']:,} parameters are trained;"
    told += f" word embeddings: {notes['word_embeddings']}"
    lesson.progress(Step("train", 0, 0, "steps", told))


def tune(
    lesson: Lesson, network: Network, options: SupervisedOptions, notes: dict[str, Any]
) -> Learnt:
    """Train and return the weights as they will be read again: the transformer's own names."""
    announce(lesson, network, notes)
    curriculum = Supervised(lesson, options)
    state = Training(lesson, network, options, curriculum).run()
    with Cores(lesson.device) as cores:
        found = scores(lesson, logits(network, lesson.validation, cores))
    return Learnt(
        head=saved(network.head.state_dict()),
        encoder=saved(network.encoder.transformer.state_dict()),
        log_loss=found["log_loss"],
        notes={**notes, **told(state, curriculum.choose_by), "validation_score": found["score"]},
    )


def told(state: State, choose_by: str) -> dict[str, Any]:
    """Return what a run keeps of a training's course."""
    best = state.best_epoch(choose_by)
    return {"best_epoch": best, "steps": state.step, "validation": state.history}


def saved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as they are written to a file."""
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}
