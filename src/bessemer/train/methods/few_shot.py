"""Contrastive learning on pairs, then a head: for labels with a handful of examples each."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from bessemer.core.errors import ProjectError
from bessemer.train.methods.base import Learnt, Lesson, Method
from bessemer.train.options import ClassWeight, LoopOptions


class FewShotOptions(LoopOptions):
    """Options of `few-shot`."""

    epochs: int = Field(8, ge=1, le=1000, description="As many texts as there are are drawn, each.")
    batch_size: int = Field(64, ge=4, le=4096, description="Texts a step, in pairs of one label.")
    averaging: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Share of the averaged weights that a step keeps; 0 takes the last weights.",
    )
    strength: float = Field(
        20.0,
        gt=0,
        description="Inverse regularisation of the head; few validation rows could not choose it.",
    )
    class_weight: ClassWeight = Field(
        "none", description="balanced: rare labels weigh as much as frequent ones in the head."
    )
    contrast: float = Field(
        0.07, gt=0, description="Temperature of the contrastive loss: lower, harder negatives."
    )


class FewShot(Method):
    """Texts of one label are drawn together, others pushed apart (Khosla et al. 2020), as SetFit
    does with pairs (Tunstall et al. 2022); then a head is fitted as `probe` does.

    Pairs are drawn anew for every step; no list of them is ever made.
    """

    version = 3
    Options = FewShotOptions

    def learn(self, lesson: Lesson, options: FewShotOptions) -> Learnt:
        """Train the encoder on pairs, then fit the head on its vectors."""
        if not lesson.task.pooled or lesson.task.link != "softmax":
            raise ProjectError(
                "few-shot cannot learn this: it needs one label for each text.",
                remedy="Set train.method to full, lora or probe.",
            )
        if options.train_layers == 0:
            raise ProjectError(
                "few-shot cannot learn with train.train_layers 0: it trains the encoder.",
                remedy="Raise it, or set train.method to probe.",
            )
        from bessemer.train.contrast import Contrast
        from bessemer.train.embed import embed
        from bessemer.train.loop import Training
        from bessemer.train.methods.probe import ProbeOptions, fit
        from bessemer.train.tuning import announce, saved, told, untrained

        network, notes = untrained(lesson, options)
        announce(lesson, network, notes)
        curriculum = Contrast(lesson, options.batch_size, options.contrast)
        state = Training(lesson, network, options, curriculum).run()
        # Before the encoder is used, which may round it.
        encoder = saved(network.encoder.transformer.state_dict())
        both = lesson.train.encoded.features + lesson.validation.encoded.features
        vectors = embed(network.encoder, both, lesson.progress, "encode", lesson.device)
        count = len(lesson.train)
        head = ProbeOptions(strengths=(options.strength,), class_weight=options.class_weight)
        fitted = fit(lesson, vectors[:count], vectors[count:], head)
        return replace(
            fitted,
            encoder=encoder,
            notes={**notes, **told(state, curriculum.choose_by), **fitted.notes},
        )
