"""Measurements with their uncertainty, and the report made of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from bessemer.core.notebook import interval, table, told
from bessemer.core.record import Record
from bessemer.core.verdict import Verdict

#: How an interval was made. "exact" is none: the value is a count, not a sample's.
Interval = Literal[
    "wilson",
    "newcombe",
    "bootstrap",
    "simultaneous",
    "inverted test",
    "order statistic",
    "exact",
]


#: Metrics of which less is better. On an axis with the others they would lie at its other end, and
#: leave no room to tell any interval from another.
ERRORS = frozenset({"calibration_error"})


class Measurement(Record):
    """One value with its interval: what was measured, on how many examples."""

    name: str
    value: float
    #: Lower and upper end of the confidence interval.
    low: float
    high: float
    #: How many examples the value rests on.
    count: int
    interval: Interval


#: The group of rows whose protected column is empty; no gap is measured to it.
NOT_GIVEN = "(not given)"


def cell_name(value: Any) -> str:
    """Return a cell of a table as slices, groups and conditions name it; "" where it is empty.

    The same value has one name, whatever file it came from: 1.0 of a Parquet file is "1", and
    `true` of the project file is "true".
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def stands_for(value: Any, name: str) -> bool:
    """Return whether a value of the project file is that of cells of this name.

    A number or truth value is so however it is spelt: a CSV file may hold 1.0 or True.
    """
    if isinstance(value, bool):
        return name.lower() == cell_name(value)
    if isinstance(value, int | float):
        with suppress(ValueError):
            return float(name) == value
    return name == cell_name(value)


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


class Slice(Record):
    """Some of the test rows, and how the model does on them."""

    #: As "channel = web", "5 to 9 tokens", "cluster 1: card, lost, stolen".
    name: str
    kind: Literal["column", "length", "language", "confidence", "cluster"]
    #: Column and value, where it is of a column: what a gate's `within` names.
    column: str | None
    value: str | None
    #: The headline metric in it.
    metric: Measurement
    #: That, less the headline metric of all other rows; of a slice by confidence, less what its
    #: answers' confidence promises.
    difference: Measurement | None
    #: Probability of so low a value if the slice were like the rest, all slices that were looked
    #: at corrected for; see `evaluate.slices.weakness`.
    p: float
    #: Whether it is worse than the rest beyond what chance explains.
    weak: bool


class Bin(Record):
    """Answers of about the same confidence: how sure they are, how many of them are right."""

    confidence: float
    right: Measurement


class Point(Record):
    """One point of a risk-coverage curve."""

    #: Answers that are less sure than this are withheld.
    threshold: float
    #: Share of the texts that are answered, and share of wrong answers among these.
    coverage: float
    risk: float


class Selective(Record):
    """What it takes to be right as often as wanted: which answers are given at all."""

    #: Share of right answers that is wanted among those that are given.
    precision: float
    #: The confidence it takes, chosen on validation; None where no threshold reaches it.
    threshold: float | None
    #: On the test split: share of the texts that are answered, and of right answers among them.
    coverage: Measurement | None
    reached: Measurement | None


class LabelSet(Record):
    """Sets of labels that hold the right one as often as promised (split conformal)."""

    #: The coverage that is promised, and the probability from which a label is in the set.
    wanted: float
    threshold: float
    #: On the test split: share of the sets that hold the right label.
    coverage: Measurement
    #: Labels in a set on average, and share of the sets that are empty.
    size: float
    empty: float


class CalibrationReport(Record):
    """How far the scores can be believed, and what can be promised by them."""

    temperature: float
    #: Calibration error as the logits came, and at that temperature.
    before: Measurement
    after: Measurement
    #: The reliability picture, at that temperature; surest last.
    bins: tuple[Bin, ...]
    curve: tuple[Point, ...] = ()
    selective: tuple[Selective, ...] = ()
    sets: tuple[LabelSet, ...] = ()


class Perturbed(Record):
    """How the model does on the same texts, changed by one perturbation or swap of terms."""

    name: str
    #: Whether the answer should stay: not so where the change turns the meaning round.
    keeps: bool
    #: Texts that the change does something to; the measurements are of these.
    texts: int
    #: Headline metric on the changed texts, and that less the one on the same texts unchanged.
    metric: Measurement | None
    difference: Measurement | None
    #: Share of the texts whose answer is another one.
    changed: Measurement


class Behaviour(Record):
    """What became of one behavioural test of the project."""

    name: str
    must: Literal["keep", "change", "be"]
    #: Share of its cases that passed; a count of cases, not a sample.
    passed: Measurement


class Group(Record):
    """Rows that share the values of protected columns."""

    #: Value of each column, as {"gender": "f"}.
    where: dict[str, str]
    count: int
    #: By name; empty where there are too few rows to measure.
    metrics: dict[str, Measurement]


class Gap(Record):
    """The largest difference between any two groups in one respect."""

    #: "demographic_parity", "equal_opportunity", "equalised_odds", or the headline metric's name.
    name: str
    #: None where fewer than two groups have examples enough.
    measurement: Measurement | None
    #: The groups that lie farthest apart, lowest first, and of which label.
    between: tuple[str, ...] = ()
    label: str | None = None
    #: Why it was not measured, or what was left out.
    because: str = ""


class Fairness(Record):
    """How groups compare that one protected column, or several together, divide the rows into."""

    #: Columns, one or more.
    across: tuple[str, ...]
    groups: tuple[Group, ...]
    gaps: tuple[Gap, ...]


class Mitigated(Record):
    """What a mitigation changed, and its price: against the same model trained without it."""

    mitigation: str
    #: Headline metric without and with it, and the second less the first, on the same rows.
    before: Measurement
    after: Measurement
    price: Measurement
    #: Gaps without it, in the order of `Report.fairness`.
    fairness: tuple[Fairness, ...]
    #: What should be asked before it is used; "" where there is nothing to.
    caution: str = ""


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
    #: Worst first.
    slices: tuple[Slice, ...] = ()
    #: Columns that were asked for and make no slice: none of their values has rows enough.
    unsliced: tuple[str, ...] = ()
    calibration: CalibrationReport | None = None
    robustness: tuple[Perturbed, ...] = ()
    behaviour: tuple[Behaviour, ...] = ()
    #: Of each protected column, then of several together.
    fairness: tuple[Fairness, ...] = ()
    #: Terms of each list swapped.
    counterfactual: tuple[Perturbed, ...] = ()
    mitigated: Mitigated | None = None
    #: Share of the split's rows whose text stands in an earlier split as well, to the letter or
    #: nearly: what is learnt by heart there is measured here.
    leaked: Measurement | None = None
    #: What serving costs: "latency_ms", "size_mb", "memory_mb".
    costs: dict[str, Measurement] = Field(default_factory=dict)

    def _repr_html_(self) -> str:
        """Return the metrics with pictures of their intervals, and weak slices, for a notebook."""
        rows = [(m.name, told(m), interval(m), str(m.count)) for m in self.metrics.values()]
        weak = [one for one in self.slices if one.weak]
        rows += [(f"weak: {s.name}", told(s.metric), interval(s.metric), str(s.metric.count))
                 for s in weak]  # fmt: skip
        caption = f"{self.split} split, {self.engine}, {self.confidence:.0%} intervals"
        return table(caption, ("", "value", "", "examples"), rows)


class Example(Record):
    """A test text that a part of the report shows."""

    #: Number of the row in its source, from 1, or None where the text stands in the project file.
    row: int | None
    text: str
    #: The text as it was changed, where it was.
    changed: str | None
    #: As in the label column: what is right ("" where that is not known), what was answered, and
    #: what was answered to the changed text.
    actual: str
    answered: str
    then: str | None
    score: float


class Examples(Record):
    """Texts that a report shows; they lie beside it and go into no record."""

    #: By "actual → predicted".
    confusions: dict[str, tuple[Example, ...]] = Field(default_factory=dict)
    #: By the name of the slice, perturbation, behavioural test, list of terms.
    slices: dict[str, tuple[Example, ...]] = Field(default_factory=dict)
    robustness: dict[str, tuple[Example, ...]] = Field(default_factory=dict)
    behaviour: dict[str, tuple[Example, ...]] = Field(default_factory=dict)
    counterfactual: dict[str, tuple[Example, ...]] = Field(default_factory=dict)


class Comparison(Record):
    """Two models on the test rows that both were measured on."""

    #: What is compared, as run or release ids.
    first: str
    second: str
    #: The headline metric of each on these rows.
    headline: str
    ours: Measurement
    theirs: Measurement
    #: The first less the second, paired.
    difference: Measurement
    #: Rows that only one of them answers rightly, and McNemar's p of so uneven a split.
    only_first: int
    only_second: int
    p: float
    #: Test rows of the first that the second was not measured on.
    left_out: int

    def _repr_html_(self) -> str:
        """Return both values and their difference with pictures, for a notebook."""
        gain = self.difference
        width = max(abs(gain.low), abs(gain.high), 0.01)
        rows = [(name, told(m), interval(m)) for name, m in
                ((self.first, self.ours), (self.second, self.theirs))]  # fmt: skip
        rows.append(("difference", told(gain, "+"), interval(gain, -width, width)))
        return table(f"{self.headline} on {gain.count} test rows", ("", "value", ""), rows)


class ReportDocument(Record):
    """A report with the texts that it shows and what became of it: the JSON beside the page."""

    run: str
    project: str
    release: str | None
    at: datetime
    #: By name: task, base and method, and the data set with its source.
    about: dict[str, str]
    report: Report
    examples: Examples
    verdict: Verdict | None
    #: Models that the test split has judged so far, and how many may be.
    judged: int | None
    limit: int

    def _repr_html_(self) -> str:
        """Return the report as a notebook shows it."""
        return self.report._repr_html_()
