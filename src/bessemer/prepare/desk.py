"""What every check of one source's rows is given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bessemer.core.dataset import ROW
from bessemer.core.project import Prepare
from bessemer.prepare.ledger import Ledger, Named
from bessemer.prepare.presidio import Names
from bessemer.prepare.rows import Mask, Workshop
from bessemer.tasks.base import Task

#: Role of the file that the answers of all campaigns are in.
LABELLED = "labels"
#: Columns that are of use in here only: where the project names them, what `select` takes for the
#: group, the split and the annotator; and the number of a row's set of labels.
GROUP, SPLIT, ANNOTATOR, LABELS = "split group", "split name", "_annotator", "label set"
HELPERS = frozenset({GROUP, SPLIT, ANNOTATOR, LABELS})


class LabelSets:
    """The sets of labels that rows have, numbered as they come."""

    def __init__(self) -> None:
        self.sets: list[frozenset[str]] = []
        self._numbers: dict[frozenset[str], int] = {}

    def number(self, labels: frozenset[str]) -> int:
        """Return the number of a set."""
        found = self._numbers.setdefault(labels, len(self.sets))
        if found == len(self.sets):
            self.sets.append(labels)
        return found

    def counts(self, numbers: NDArray[np.int32]) -> Counter[str]:
        """Return how many rows have each label, of rows with sets of these numbers."""
        found: Counter[str] = Counter()
        for labels, count in zip(self.sets, np.bincount(numbers).tolist(), strict=False):
            for label in labels if count else ():
                found[label] += count
        return found


@dataclass(frozen=True)
class Desk:
    """What every check of one source's rows is given."""

    task: Task
    rules: Prepare
    ledger: Ledger
    shop: Workshop
    #: Role of the source: "source", "test" …, and its name in messages.
    source: str
    where: str
    sets: LabelSets = field(default_factory=LabelSets)
    #: Finds names in texts, where the project asks for it.
    names: Names | None = None

    @property
    def may_be_empty(self) -> bool:
        """Return whether no rows may be left: of what people said, unlike of a source."""
        return self.source == LABELLED

    def named(self, table: pa.Table, mask: Mask) -> Named:
        """Return the numbers of some rows."""
        return Named.of(self.source, table[ROW].to_numpy()[mask])
