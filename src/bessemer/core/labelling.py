"""Labelling: campaigns, their items, what annotators said of them, and how far they agree."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bessemer.core.record import Record
from bessemer.core.report import Measurement


class Suggestion(Record):
    """A label that a model would give an item, or a part of its text."""

    label: str
    #: Probability that it is right, as the model sees it.
    score: float
    #: Characters of a labelled part, `text[start:end]`; None where the whole item is meant.
    start: int | None = None
    end: int | None = None


class NewItem(Record):
    """Something to be labelled, as a campaign is given it."""

    #: Names its row in the source; an item that a campaign has already is not asked again.
    key: str
    text: str
    #: SHA-256 of the image that is shown with the text, a file of the home's `blobs/`.
    image: str | None = None
    #: What a model would say, the most probable first.
    suggestions: tuple[Suggestion, ...] = ()
    #: The right answer where it is known, by which annotators are tested; as in a label column.
    gold: str | None = None


class Item(NewItem):
    """An item in its place: low numbers are asked first."""

    number: int
    #: Annotators who have it before them now.
    leased_to: tuple[str, ...] = ()


class Guideline(Record):
    """What annotators are told; each change is a new version, and every answer names one."""

    version: int
    text: str
    at: datetime
    by: str


class NewCampaign(Record):
    """A campaign to be begun."""

    #: Name of the project that learns from it.
    project: str
    #: Task family, which says what an answer is.
    task: str = "text-classification"
    #: Labels that can be chosen.
    labels: tuple[str, ...]
    #: Stands between the labels of an item that may have several, or None.
    separator: str | None = None
    #: How many annotators each item gets.
    overlap: int = 1
    #: It ends when so many labels were given, or annotators have worked so long; None: never.
    budget_labels: int | None = None
    budget_minutes: float | None = None


class Campaign(NewCampaign):
    """A set of items that people label for a project."""

    #: Name of the project and a number: `support-intents@2`.
    id: str
    state: Literal["open", "closed"]
    created_at: datetime
    by: str


class Vote(Record):
    """What an annotator called an item, or that they skipped it."""

    annotator: str
    #: As in a label column; None where the item was skipped.
    label: str | None = None
    #: Why it was skipped, or "".
    skipped: str = ""
    #: From the item's appearance to the answer.
    seconds: float = 0.0
    #: Whether suggestions were shown.
    suggested: bool = False
    #: Whether it settles what annotators differ about.
    final: bool = False
    #: Version of the guideline that was shown; 0 where there was none.
    guideline: int = 0
    at: datetime


class Said(Vote):
    """A vote in its place in a campaign."""

    #: Later votes have higher numbers.
    id: int
    #: The item's number.
    item: int


class Labelled(NewItem):
    """An item and its votes, as they are exported and imported."""

    votes: tuple[Vote, ...] = ()


class Imported(Record):
    """What was new in a file that was imported."""

    items: int
    votes: int


class Disagreement(Record):
    """An item that annotators called differently."""

    item: Item
    said: tuple[Said, ...]


class Annotator(Record):
    """What one annotator has done, and how well."""

    name: str
    labelled: int
    skipped: int
    #: Median seconds of an answer.
    seconds: float | None
    #: Items whose answer was known: how many were labelled, how many of them rightly.
    gold: int
    gold_right: int
    #: Probability of a right label, by Dawid and Skene's estimate; None without overlap.
    accuracy: float | None


class Pair(Record):
    """How far two annotators agree beyond chance (Cohen's kappa)."""

    first: str
    second: str
    #: Items that both labelled.
    both: int
    kappa: float | None


class Progress(Record):
    """Where a campaign stands."""

    campaign: Campaign
    #: The current one.
    guideline: Guideline | None
    #: Items, those whose answer was known left out; so are they in all that is counted below.
    items: int
    #: Items that have all their answers, or are settled.
    done: int
    #: Labels that were given.
    answers: int
    #: Items that are tests of the annotators.
    gold: int
    skipped: int
    #: Items that annotators called differently and nobody has settled.
    disputed: int
    minutes: float
    #: Krippendorff's alpha, or None where no item has two labels.
    alpha: float | None
    annotators: tuple[Annotator, ...]
    pairs: tuple[Pair, ...]
    #: How many items have each label, the commonest first.
    labels: dict[str, int] = Field(default_factory=dict)


class Forecast(Record):
    """What the next labels are likely to add to a model, from its learning curve so far."""

    #: Labels that it has learnt from, and how accurate it is with them.
    labels: int
    accuracy: Measurement
    #: Where that was measured: on the validation split; or without one on the labelled rows, by
    #: models that did not learn from them. Rows that were chosen since they are hard lower that.
    measured: Literal["validation", "out of fold"]
    #: Labels that would be given next, and what they would add to the accuracy.
    more: int
    gain: Measurement
    #: What they must add to be worth it, and whether even the interval's upper end is below.
    least: float
    stop: bool


class Round(Record):
    """What was put up for labelling at once."""

    campaign: str
    #: How the items were chosen.
    strategy: str
    #: Items that are new in the campaign, and how many of them test the annotators.
    items: int
    gold: int
    #: Labels that there are so far, and texts that are left in the pool.
    labels: int
    pool: int
    #: None where there are too few labels to tell, or no model.
    forecast: Forecast | None
