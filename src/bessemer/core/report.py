"""Measurements with their uncertainty, and the report and verdict made of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bessemer.core.record import Record


class Measurement(Record):
    """One value with its interval: what was measured, on how many examples."""

    name: str
    value: float
    #: Lower and upper end of the confidence interval.
    low: float
    high: float
    #: How many examples the value rests on.
    count: int
    #: How the interval was made: "wilson" or "bootstrap".
    interval: Literal["wilson", "bootstrap"]


class ClassReport(Record):
    """Precision and recall of one label; a value is None where nothing could be counted."""

    label: str
    support: int
    precision: Measurement | None
    recall: Measurement | None


class Confusion(Record):
    """How often one true label was answered with another."""

    actual: str
    predicted: str
    #: Share of the actual label's examples, with its interval.
    share: Measurement


class Report(Record):
    """What a model is worth on a held-out split, measured on the engine that will serve it."""

    split: str
    confidence: float
    engine: str
    #: The metric by which models of this task are compared.
    headline: str
    metrics: dict[str, Measurement]
    classes: tuple[ClassReport, ...]
    confusions: tuple[Confusion, ...]


class Outcome(Record):
    """What became of one condition of the gate. "not measured" never passes."""

    condition: str
    state: Literal["passed", "failed", "not measured"]
    #: The figure that decided, in words.
    because: str


class Verdict(Record):
    """The gate's answer: it passes when every outcome has passed."""

    outcomes: tuple[Outcome, ...] = Field(min_length=1)

    @property
    def passed(self) -> bool:
        """Return whether every condition passed."""
        return all(outcome.state == "passed" for outcome in self.outcomes)
