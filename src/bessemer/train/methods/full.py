"""Every encoder layer is trained, from a head that starts at the probe's solution."""

from __future__ import annotations

from bessemer.train.methods.base import Learnt, Lesson, Method
from bessemer.train.options import SupervisedOptions


class FullOptions(SupervisedOptions):
    """Options of `full`."""


class Full(Method):
    """AdamW on all layers, their running average kept, early stopping on validation."""

    version = 1
    Options = FullOptions

    def learn(self, lesson: Lesson, options: FullOptions) -> Learnt:
        """Fit the probe, then train; a crash resumes from the last checkpoint, bit for bit."""
        from bessemer.train.tuning import start_at_probe, tune, untrained

        network, notes = untrained(lesson, options)
        start_at_probe(lesson, network, options)
        return tune(lesson, network, options, notes)
