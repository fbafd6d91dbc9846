"""A split as every part of an evaluation sees it: what is right, and what the model answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Example, Measurement
from bessemer.measures.intervals import Sampling, bootstrap, of_sums, share
from bessemer.tasks.base import Answers, Calibration, Encoded, Logits, Task

#: Encodes texts and computes their logits on the engine that will serve. Is told what it does, and
#: of which rows of the split the texts are, or None where they are of none.
Ask = Callable[[Sequence[str], str, Sequence[int] | None], tuple[Encoded, list[Logits]]]
#: Examples of one thing that a report shows.
SHOWN = 5


def right(actual: Sequence[Answers], answered: Sequence[Answers]) -> NDArray[np.bool_]:
    """Return whether all that is answered is right, and all that is right is answered, [n]."""
    return np.array([a == b for a, b in zip(actual, answered, strict=True)], dtype=bool)


def headline(
    task: Task, hits: NDArray[np.bool_], tallies: NDArray[np.int64], sampling: Sampling
) -> Measurement:
    """Return the headline metric of some texts.

    Args:
        task: Which says what it is.
        hits: Whether each text is answered rightly, shape [n]; one text at least.
        tallies: Of these texts; see `Task.tallies`.
        sampling: Of these texts.
    """
    name = task.metric_names[0]
    if task.answers_once:
        return share(name, hits, sampling)
    return bootstrap(name, of_sums(tallies, task.score), len(tallies), sampling)


def clusters(cells: Sequence[Any]) -> NDArray[np.int64]:
    """Return the number of each row's cluster; a row without one is a cluster of its own."""
    numbers: dict[Any, int] = {}
    named = [(row,) if cell in (None, "") else cell for row, cell in enumerate(cells)]
    return np.array([numbers.setdefault(one, len(numbers)) for one in named], dtype=np.int64)


@dataclass(frozen=True)
class Examined:
    """The texts of a split, what is right for each, and what the model says."""

    task: Task
    actual: Sequence[Answers]
    encoded: Encoded
    logits: Sequence[Logits]
    #: As it will be served.
    calibration: Calibration
    sampling: Sampling
    #: Number of each row in its source.
    rows: Sequence[int]
    #: The source's other columns that were asked for, by name, a value for each row.
    columns: dict[str, list[Any]]
    #: Such columns of the other splits: of groups that this one may hold nobody of.
    elsewhere: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.actual)

    @cached_property
    def predictions(self) -> list[list[dict[str, Any]]]:
        """Return what is answered to each text, as it is served."""
        return self.task.decode(self.encoded, self.logits, self.calibration, None)

    @cached_property
    def answered(self) -> list[Answers]:
        """Return the answers to each text."""
        return self.task.answers(self.encoded, self.logits, self.calibration)

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """Return how sure the answer to each text is: the lowest score in it, shape [n]."""
        return np.array([self.task.brief(one)[1] for one in self.predictions], dtype=np.float64)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Return whether all that is answered to a text is right, and all that is right is
        answered, shape [n].
        """
        return right(self.actual, self.answered)

    @cached_property
    def tallies(self) -> NDArray[np.int64]:
        """Return what the headline metric is computed from; see `Task.tallies`."""
        return self.task.tallies(self.actual, self.answered)

    def headline(self, mask: NDArray[np.bool_], sampling: Sampling | None = None) -> Measurement:
        """Return the headline metric of some rows.

        Args:
            mask: Of the rows, shape [n]; one at least.
            sampling: Of all rows; by default the split's own.
        """
        some = (sampling or self.sampling).of(mask)
        return headline(self.task, self.right[mask], self.tallies[mask], some)

    def example(self, row: int, changed: str | None = None, then: Answers | None = None) -> Example:
        """Return a text of the split as a report shows it."""
        return Example(
            row=self.rows[row],
            text=self.encoded.texts[row],
            changed=changed,
            actual=self.task.write(self.actual[row]),
            answered=self.task.write(self.answered[row]),
            then=None if then is None else self.task.write(then),
            score=float(self.score[row]),
        )
