"""Which waiting rows are computed together. Several ways, so that the choice is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from bessemer.serve.waiting import Row, Waiting

#: Rows of one batch, at most.
MOST_ROWS = 64
#: Rows that are looked at for a batch, the nearest by length.
WINDOW = 256
#: Padded tokens of one batch. A call of MiniLM's graph costs as much as ten tokens on a CPU with
#: AVX2 and as thirty on one with VNNI; beyond this, no larger batch is quicker on either.
BUDGET = 256


class Policy(ABC):
    """Chooses the rows of the next batch."""

    name: ClassVar[str]

    @abstractmethod
    def choose(self, waiting: Waiting, now: float) -> list[Row]:
        """Return rows of one lane; none only if none wait or the policy bides its time."""

    def wakes_at(self, waiting: Waiting) -> float:
        """Return when a policy that bides its time wants to be asked again."""
        return float("inf")


class Single(Policy):
    """Each row alone, in the order of arrival."""

    name = "none"

    def choose(self, waiting: Waiting, now: float) -> list[Row]:
        """Return the oldest row."""
        oldest = waiting.oldest()
        return [oldest] if oldest else []


@dataclass(frozen=True)
class CountAndTimeout(Policy):
    """As LitServe, MLServer and TorchServe do: so many rows, or what came within so long."""

    name = "count+timeout"
    rows: int = 32
    seconds: float = 0.005

    def choose(self, waiting: Waiting, now: float) -> list[Row]:
        """Return the oldest rows of a lane once there are enough or they have waited enough."""
        oldest = waiting.oldest()
        if oldest is None:
            return []
        found = _first(waiting.in_order(oldest.lane), self.rows, float("inf"))
        late = now >= self.wakes_at(waiting)
        return found if late or len(found) == self.rows else []

    def wakes_at(self, waiting: Waiting) -> float:
        """Return when the oldest row has waited enough."""
        oldest = waiting.oldest()
        return oldest.arrived + self.seconds if oldest else float("inf")


@dataclass(frozen=True)
class FifoTokenBudget(Policy):
    """As text-embeddings-inference does: in the order of arrival, up to so many padded tokens."""

    name = "fifo-token-budget"
    tokens: int = BUDGET

    def choose(self, waiting: Waiting, now: float) -> list[Row]:
        """Return the oldest rows of a lane."""
        oldest = waiting.oldest()
        return _first(waiting.in_order(oldest.lane), MOST_ROWS, self.tokens) if oldest else []


@dataclass(frozen=True)
class LengthWindow(Policy):
    """The row whose turn it is, and those of about its length."""

    name = "length-window"
    tokens: int = BUDGET
    #: Who has had so many tokens more than the one whose turn it is fills no gaps of that one's.
    lead: float = 4 * BUDGET
    #: Padding that a row may cost, in tokens: one that costs more is better computed with others.
    slack: float = 4
    #: Every so many batches the oldest row of all is next: rows that fill gaps count for their
    #: tenant, and could put off the turn in which its rows of another length are computed.
    every: int = 8

    def choose(self, waiting: Waiting, now: float) -> list[Row]:
        """Return rows of like length."""
        aged = waiting.batches % self.every == self.every - 1
        head = waiting.oldest() if aged else waiting.next_in_turn()
        if head is None:
            return []
        near = islice(waiting.alike(head), WINDOW)
        fair = (row for row in near if waiting.lead(row, head) <= self.lead)
        return _first(fair, MOST_ROWS, self.tokens, self.slack)


POLICIES: dict[str, type[Policy]] = {
    policy.name: policy for policy in (Single, CountAndTimeout, FifoTokenBudget, LengthWindow)
}


def batches(lengths: Sequence[int], tokens: int = BUDGET) -> list[list[int]]:
    """Return the numbers of rows in batches of like length, for when nobody waits for one."""
    found: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = lengths[number]
        if found and len(found[-1]) < MOST_ROWS and longest * (len(found[-1]) + 1) <= tokens:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def _first(rows: Iterable[Row], most: int, tokens: float, slack: float = float("inf")) -> list[Row]:
    """Return the first rows that fit into so many padded tokens; one at least."""
    found: list[Row] = []
    longest = 0
    for row in rows:
        before, longest = longest, max(longest, row.tokens)
        padding = longest * (len(found) + 1) - before * len(found) - row.tokens
        if found and (longest * (len(found) + 1) > tokens or padding > slack):
            break
        found.append(row)
        if len(found) == most or longest >= tokens:
            break
    return found
