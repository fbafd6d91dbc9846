"""The gate's answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bessemer.core.record import Record


class Outcome(Record):
    """What became of one condition of the gate. "not measured" never passes."""

    condition: str
    state: Literal["passed", "failed", "not measured"]
    #: The figure that decided, in words.
    because: str


class Override(Record):
    """An owner's decision to release in spite of the gate."""

    by: str
    at: datetime
    reason: str


class Verdict(Record):
    """The gate's answer: it passes when every outcome has passed."""

    outcomes: tuple[Outcome, ...] = Field(min_length=1)
    #: Who let it pass although an outcome did not, and why.
    override: Override | None = None

    @property
    def passed(self) -> bool:
        """Return whether every condition passed."""
        return all(outcome.state == "passed" for outcome in self.outcomes)

    @property
    def releases(self) -> bool:
        """Return whether there may be a release: it passed, or an owner said so."""
        return self.passed or self.override is not None
