"""How long work tells whoever watches how far it is."""

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


def silent(step: Step) -> None:
    """Ignore progress: the default of every function that takes a `Progress`."""
