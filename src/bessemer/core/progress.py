"""How work tells whoever watches what it does and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One report of progress.

    Reports of one piece of work share `what`; `total` is 0 while it is unknown.
    """

    what: str
    done: int
    total: int
    #: What is counted, in the plural: "texts", "steps".
    unit: str
    #: Anything worth a glance beside the bar: a loss, an accuracy.
    note: str = ""


Progress = Callable[[Step], None]


class Watcher:
    """Is told of stages and steps; this one ignores everything."""

    def began(self, stage: str) -> None:
        """A stage begins to work."""

    def step(self, step: Step) -> None:
        """The stage at work is a little further."""

    def ended(self, stage: str, seconds: float, *, reused: bool, note: str) -> None:
        """A stage's output is there: made in `seconds`, or reused."""
