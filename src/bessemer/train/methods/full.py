"""Every encoder layer is trained, from a head that starts at the probe's solution."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bessemer.core.errors import ProjectError
from bessemer.train.methods.base import Learnt, Lesson, Method
from bessemer.train.options import SupervisedOptions


class FullOptions(SupervisedOptions):
    """Options of `full`."""

    unfreeze_after: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Epochs in which only train_layers layers are trained; after them all layers"
        " are (gradual unfreezing). Without it the lower ones stay as they are.",
    )


class Full(Method):
    """AdamW on all layers, their running average kept, early stopping on validation.

    The lower layers may wait for their turn (Howard & Ruder 2018, in two steps): until then what
    they give is computed once.
    """

    version = 3
    Options = FullOptions
    weighs = True

    def learn(self, lesson: Lesson, options: FullOptions) -> Learnt:
        """Fit the probe, then train; a crash resumes from the last checkpoint, bit for bit."""
        from bessemer.train.tuning import start_at_probe, tune, untrained

        after = options.unfreeze_after
        layers = options.train_layers
        if after is not None and (layers is None or after >= options.epochs):
            given = "not set" if layers is None else layers
            raise ProjectError(
                f"train.unfreeze_after is {after}, train.train_layers is {given} and train.epochs"
                f" {options.epochs}.",
                remedy="Set train_layers to the layers that begin, and epochs above unfreeze_after;"
                " or leave unfreeze_after out.",
            )
        network, notes = untrained(lesson, options, after)
        start_at_probe(lesson, network, options)
        return tune(lesson, network, options, notes)
