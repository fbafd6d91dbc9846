"""What may be a campaign, an item of one, and an answer in one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bessemer.core.errors import DataError, RequestError, UnknownNameError
from bessemer.core.labelling import NewCampaign, NewItem, Vote
from bessemer.core.project import Labels
from bessemer.tasks.base import TASKS, label_of

#: Characters of an item's text, and of its key, which stands in an index.
MOST_TEXT, MOST_KEY = 1_000_000, 500
#: Characters of a name, a label and a reason.
MOST_NAME = 200
#: Labels of a campaign, annotators of an item.
MOST_LABELS, MOST_OVERLAP = 10_000, 100
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_BROKEN = re.compile("[\0\ud800-\udfff]")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Rules:
    """What a campaign's answers may be.

    Args:
        campaign: Whose task and labels they are.

    Raises:
        UnknownNameError: There is no such task.
        RequestError: The task has no rule of a separator.
    """

    def __init__(self, campaign: NewCampaign) -> None:
        task = TASKS.load(campaign.task)
        if campaign.separator is not None and "separator" not in task.label_rules:
            raise RequestError(f"The task {campaign.task} knows no separator.")
        self.task = task(Labels(separator=campaign.separator), campaign.labels)
        self._known = frozenset(campaign.labels)

    def label(self, text: str, cell: str) -> str:
        """Return an answer as it is kept: one spelling for what means the same.

        Args:
            text: The item's.
            cell: As in a label column.

        Raises:
            RequestError: It says nothing that the task understands, or points outside the text.
            UnknownNameError: The campaign has no such label.
        """
        try:
            answers = self.task.parse(text, cell)
        except ValueError as error:
            raise RequestError(f"The answer is not understood: {error}.") from error
        for label in sorted({label_of(answer) for answer in answers}):
            self.known(label)
        return self.task.write(answers)

    def known(self, label: str) -> None:
        """Raise `UnknownNameError`, with the nearest one, unless there is such a label."""
        if label not in self._known:
            raise UnknownNameError("label", label, self._known, where="In this campaign ")


def checked(rules: Rules, text: str, vote: Vote) -> Vote:
    """Return a vote on a text as it is kept.

    Raises:
        UserError: It is none that can be given.
    """
    check_name("annotator", vote.annotator)
    reason = vote.skipped.strip()
    if (vote.label is None) != bool(reason):
        raise RequestError(
            "An answer is either a label or a reason for skipping.", remedy="Give one of the two."
        )
    if reason:
        check_name("reason", reason)
    if not (math.isfinite(vote.seconds) and vote.seconds >= 0):
        raise RequestError(f"{vote.seconds} seconds is no length of time.")
    label = None if vote.label is None else rules.label(text, vote.label)
    at = vote.at if vote.at.utcoffset() == timedelta(0) else _in_utc(vote.at)
    if (label, reason) == (vote.label, vote.skipped) and at is vote.at:
        return vote
    return vote.model_copy(update={"label": label, "skipped": reason, "at": at})


def _in_utc(at: datetime) -> datetime:
    """Return a time in UTC, which one without a zone is taken to be: SQLite keeps no zone."""
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError as error:
        raise RequestError(f"The time {at} is none of the calendar's.") from error


def check_name(kind: str, name: str) -> None:
    """Raise `RequestError` unless something may be called so."""
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable() or not name.strip():
        raise RequestError(
            f"The {kind} {name[:80]!r} is not 1 to {MOST_NAME} printable characters."
        )


def check_campaign(asked: NewCampaign) -> Rules:
    """Return a new campaign's rules.

    Raises:
        UserError: It is none that can be begun.
    """
    if not _PROJECT.fullmatch(asked.project):
        raise RequestError(
            f"{asked.project[:80]!r} is no name of a project.",
            remedy="Take lower case letters, digits and dashes.",
        )
    rules = Rules(asked)
    if not 1 <= len(asked.labels) <= MOST_LABELS:
        raise RequestError(
            f"There are {len(asked.labels)} labels to choose from.",
            remedy=f"Give 1 to {MOST_LABELS:,}.",
        )
    count = Counter(asked.labels)
    for label in asked.labels:
        check_name("label", label)
        if label != label.strip() or count[label] > 1:
            raise RequestError(f"The label {label!r} stands there twice or has blanks around it.")
    if not 1 <= asked.overlap <= MOST_OVERLAP:
        raise RequestError(
            f"Each item would get {asked.overlap} annotators.", remedy=f"Take 1 to {MOST_OVERLAP}."
        )
    for budget in (asked.budget_labels, asked.budget_minutes):
        if budget is not None and not (math.isfinite(budget) and budget > 0):
            raise RequestError(f"A budget of {budget} is none.", remedy="Give more than 0.")
    return rules


def check_guideline(text: str) -> None:
    """Raise `RequestError` unless annotators may be told so."""
    if not text.strip() or len(text) > MOST_TEXT or _BROKEN.search(text):
        raise RequestError(
            f"A guideline has 1 to {MOST_TEXT:,} characters; NUL and lone surrogates are none."
        )


def check_items(rules: Rules, items: Sequence[NewItem]) -> list[NewItem]:
    """Return new items as they are kept.

    Raises:
        DataError: One of them cannot be asked; the message names it.
    """
    return [_item(rules, item) for item in items]


def _item(rules: Rules, item: NewItem) -> NewItem:
    where = f"The item {item.key[:80]!r}"
    if not 1 <= len(item.key) <= MOST_KEY:
        raise DataError(f"{where}: its key is not 1 to {MOST_KEY} characters.")
    if len(item.text) > MOST_TEXT:
        raise DataError(f"{where} has {len(item.text):,} characters of {MOST_TEXT:,} allowed.")
    if _BROKEN.search(item.key) or _BROKEN.search(item.text):
        raise DataError(f"{where} holds a NUL or half a character (a lone surrogate).")
    if not item.text.strip() and item.image is None:
        raise DataError(f"{where} has neither text nor image.")
    if item.image is not None and not _DIGEST.fullmatch(item.image):
        raise DataError(f"{where}: {item.image[:80]!r} is no SHA-256 of an image.")
    for hint in item.suggestions:
        place = hint.start is None and hint.end is None
        if hint.start is not None and hint.end is not None:
            place = 0 <= hint.start < hint.end <= len(item.text)
        if not place or not math.isfinite(hint.score):
            raise DataError(f"{where}: the suggestion {hint!r} points nowhere or has no score.")
    try:
        gold = None if item.gold is None else rules.label(item.text, item.gold)
        for label in {hint.label for hint in item.suggestions}:
            rules.known(label)
    except (RequestError, UnknownNameError) as error:
        raise DataError(f"{where}: {error}") from error
    return item if gold == item.gold else item.model_copy(update={"gold": gold})
