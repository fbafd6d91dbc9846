"""The contract of a data source: it reads rows as Arrow batches of strings, in flat memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import ClassVar

import pyarrow as pa

from bessemer.core.catalogue import Catalogue
from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.text import ending

#: A cell larger than this is taken for a broken file, not for a text.
MOST_CELL_BYTES = 1_000_000
MOST_COLUMNS = 2_000
#: A batch ends with the row that reaches one of these.
BATCH_ROWS, BATCH_CHARACTERS = 10_000, 4_000_000


class Source(ABC):
    """One kind of source. Stateless."""

    #: Raised when the same bytes would give other rows.
    version: ClassVar[int]
    #: Endings that choose this source, with the dot; `/` stands for a folder.
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path, data: Data) -> Iterator[pa.RecordBatch]:
        """Yield all rows in batches of some 10,000, at least one batch, of one schema.

        Every column is of type string, an absent value is null.

        Raises:
            DataError: The file is not of this kind; the message names the line.
        """


SOURCES: Catalogue[Source] = Catalogue("source", "bessemer.prepare.sources", Source)  # type: ignore[type-abstract]


def source_for(path: PurePath) -> tuple[str, type[Source]]:
    """Return the name and class of the source that reads a folder, or files with this ending.

    A pure path is a name without a file.

    Raises:
        DataError: No source reads it.
    """
    wanted = "/" if isinstance(path, Path) and path.is_dir() else ending(path)
    endings: list[str] = []
    for name in SOURCES.names():
        part = SOURCES.load(name)
        if wanted in part.suffixes:
            return name, part
        endings += part.suffixes
    raise DataError(
        f"{path}: the ending {wanted!r} is of no known kind of source.",
        remedy=f"Known endings: {', '.join(sorted(set(endings) - {'/'}))}; text may be compressed,"
        " as .csv.gz.",
    )


def batches(
    where: Path | str, names: Sequence[str], rows: Iterable[Sequence[str | None]]
) -> Iterator[pa.RecordBatch]:
    """Yield rows as batches of strings, at least one.

    Args:
        where: The file, for messages.
        names: Of the columns.
        rows: A cell for each of them, or None.

    Raises:
        DataError: A column is named twice, or there are too many.
    """
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise DataError(
            f"{where} names the column {twice!r} twice.", remedy="Give each a name of its own."
        )
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{where}: the name of the column {name!r} holds half a character.",
                remedy="Write whole Unicode characters.",
            ) from error
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{where} has more than {MOST_COLUMNS:,} columns.",
            remedy="Leave out those that are neither text nor label.",
        )
    schema = pa.schema([(name, pa.string()) for name in names])
    held: list[Sequence[str | None]] = []
    characters, empty = 0, True
    for row in rows:
        held.append(row)
        characters += sum(map(len, filter(None, row)))
        if len(held) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield _batch(held, schema)
            held, characters, empty = [], 0, False
    if held or empty:
        yield _batch(held, schema)


def _batch(rows: list[Sequence[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [() for _ in schema]
    return pa.record_batch([pa.array(cells, pa.string()) for cells in columns], schema=schema)
