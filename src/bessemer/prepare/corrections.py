"""Labels that people gave in campaigns: put in the place of the source's, or added as rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from bessemer.core.dataset import ROW
from bessemer.core.project import Columns
from bessemer.prepare.desk import Desk
from bessemer.prepare.duplicates import Digests, digests

#: Role of the file that the answers of all campaigns are in, and its columns.
LABELLED = "labels"
COLUMNS = Columns(text="text", label="label", annotator="annotator")
#: Those that are kept of it; an added row says from which campaign it is.
KEPT = ["text", "label", "annotator", "campaign"]


class Corrections:
    """What people said of texts.

    Args:
        read: Their answers as they were read.
        mended: What is left of them after the checks; of a text's rows the last one counts.
    """

    def __init__(self, read: pa.Table, mended: pa.Table) -> None:
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
        cells = table["label"].to_pylist()
        odd = np.zeros(len(cells), dtype=bool)
        for place, text in enumerate(found.tolist()):
            if text in self._labels:
                self._used.add(text)
                odd[place] = cells[place] != self._labels[text]
                cells[place] = self._labels[text]
        if not odd.any():
            return table
        desk.ledger.found("labelled by people", "relabelled", desk.named(table, odd))
        at = table.column_names.index("label")
        return table.set_column(at, "label", pa.array(cells, pa.string()))

    def rest(self, desk: Desk) -> pa.Table:
        """Return the rows of texts that no source has; they are learnt from."""
        new = np.zeros(self._mended.num_rows, dtype=bool)
        new[[place for text, place in self._last.items() if text not in self._used]] = True
        return desk.shop.where(self._mended, new)
