"""The contract of a data source: it reads rows into one Arrow table of strings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from bessemer.core.catalogue import Catalogue
from bessemer.core.project import Data

#: A cell larger than this is taken for a broken file, not for a text.
MOST_CELL_BYTES = 1_000_000


class Source(ABC):
    """One kind of source. Stateless."""

    #: Raised when the same bytes would give other rows.
    version: ClassVar[int]
    #: File endings that choose this source, with the dot.
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path, data: Data) -> pa.Table:
        """Return all rows; every column is of type string, an absent value is null.

        Raises:
            DataError: The file is not of this kind; the message names the line.
        """


SOURCES: Catalogue[Source] = Catalogue("source", "bessemer.prepare.sources", Source)  # type: ignore[type-abstract]
