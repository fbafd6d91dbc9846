"""Labels that people gave in campaigns: put in the place of the source's, or added as rows."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pyarrow as pa

from bessemer.core.dataset import ROW
from bessemer.core.project import Columns
from bessemer.prepare import checks
from bessemer.prepare.desk import LABELS, Desk
from bessemer.prepare.digests import Digests
from bessemer.prepare.duplicates import digests
from bessemer.prepare.rows import Mask, cells
from bessemer.prepare.splits import LEAST
from bessemer.tasks.base import label_of

#: Columns of the file that the answers of all campaigns are in.
COLUMNS = Columns(text="text", label="label", annotator="annotator")
#: Those that are kept of it; an added row says from which campaign it is.
KEPT = ["text", "label", "annotator", "campaign"]
#: Labels that a finding tells.
TOLD = 5


class Corrections:
    """What people said of texts.

    Labels that differ from a source's in case or blanks only are taken for the source's. One that
    no source has is left out where only one answer has it: nothing can be learnt from that.

    Args:
        read: Their answers as they were read.
        mended: What is left of them after the checks; of a text's rows the last one counts.
        known: The labels that sources have; none where they have no labels yet.
        desk: Of the answers.
    """

    def __init__(self, read: pa.Table, mended: pa.Table, known: frozenset[str], desk: Desk) -> None:
        if known:
            mended = _known(mended, known, desk)
        texts = dict(zip(read[ROW].to_pylist(), digests(read, "text").tolist(), strict=True))
        labels = zip(mended[ROW].to_pylist(), mended["label"].to_pylist(), strict=True)
        self._labels = {texts[row]: label for row, label in labels}
        self._mended = mended
        own = [texts[row] for row in mended[ROW].to_pylist()]
        #: Place of each text's last row.
        self._last = {text: place for place, text in enumerate(own)}
        self._used: set[int] = set()

    def put(self, table: pa.Table, desk: Desk) -> pa.Table:
        """Return a source's rows, as they were read, with these labels where they have them."""
        found: Digests = digests(table, "text")
        texts, told = table["text"].to_pylist(), table["label"].to_pylist()
        odd = np.zeros(len(told), dtype=bool)
        for place, digest in enumerate(found.tolist()):
            if digest in self._labels:
                self._used.add(digest)
                odd[place] = _written(texts[place], told[place], desk) != self._labels[digest]
                told[place] = self._labels[digest]
        if not odd.any():
            return table
        desk.ledger.found("labelled by people", "relabelled", desk.named(table, odd), lost=0)
        at = table.column_names.index("label")
        return table.set_column(at, "label", pa.array(told, pa.string()))

    def rest(self, desk: Desk) -> pa.Table:
        """Return the rows of texts that no source has; they are learnt from."""
        new = np.zeros(self._mended.num_rows, dtype=bool)
        new[[place for text, place in self._last.items() if text not in self._used]] = True
        used = desk.named(self._mended, ~new)
        desk.ledger.found("said of a source's text", "joined", used, lost=len(used.rows))
        return desk.shop.where(self._mended, new)


def _written(text: str | None, cell: str | None, desk: Desk) -> str | None:
    """Return a source's cell as the task writes it, None where it says nothing."""
    try:
        return desk.task.write(desk.task.parse(text or "", cell or "")) if cell else None
    except ValueError:
        return None


def labels_of(table: pa.Table, desk: Desk) -> frozenset[str]:
    """Return the labels of a source's rows as they were read, those that can be read."""
    found: set[str] = set()
    for text, cell in cells(table, "text", "label"):
        with suppress(ValueError):
            if cell and cell.strip():
                found |= {label_of(answer).strip() for answer in desk.task.parse(text or "", cell)}
    return frozenset(found)


def _known(mended: pa.Table, known: frozenset[str], desk: Desk) -> pa.Table:
    """Return answers by the sources' spellings, without new labels of which there is one."""
    spelt = {" ".join(label.split()).casefold(): label for label in sorted(known)}
    counts = desk.sets.counts(mended[LABELS].to_numpy())
    names = {label: spelt.get(" ".join(label.split()).casefold(), label) for label in counts}
    mended = checks.renamed(mended, {old: new for old, new in names.items() if old != new}, desk)
    numbers = mended[LABELS].to_numpy()
    counts = desk.sets.counts(numbers)
    new = {label for label in counts if label not in known}
    alone = {label for label in new if counts[label] < LEAST}

    def having(labels: set[str]) -> Mask:
        found: Mask = np.array([bool(one & labels) for one in desk.sets.sets])[numbers]
        return found

    told = ", ".join(sorted(new - alone)[:TOLD])
    rows = desk.named(mended, having(new - alone) & ~having(alone))
    desk.ledger.found("label that only people gave", "kept", rows, detail=told)
    rows = desk.named(mended, having(alone))
    desk.ledger.found(
        "label of one answer", "dropped", rows, detail=", ".join(sorted(alone)[:TOLD])
    )
    return desk.shop.where(mended, ~having(alone))
