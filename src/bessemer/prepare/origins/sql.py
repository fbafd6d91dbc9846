"""Rows of a database, by a query."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bessemer.core.errors import DataError, MissingExtraError, OperatorError
from bessemer.core.progress import Step
from bessemer.core.project import Data
from bessemer.prepare.credentials import filled, hidden
from bessemer.prepare.origins.base import Fetched, Origin, Place, keep, room
from bessemer.prepare.sources.base import batches
from bessemer.prepare.sources.jsonl import cell

if TYPE_CHECKING:
    import sqlalchemy as sa

#: Rows that the server sends at once.
SENT_ROWS = 1_000
FILE = "rows.parquet"
#: What makes a session read only; where a database knows nothing of the kind, its rights must.
READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


class Sql(Origin):
    """What `data.query` answers, asked each time anew, read through a server-side cursor in a
    session that can only read, and kept as Parquet under the digest of its rows.

    `data.source` is an SQLAlchemy URL; `${NAME}` in it is replaced from the environment.
    """

    schemes = (
        "postgresql://", "sqlite://", "mysql://", "mariadb://", "oracle://", "mssql://",
    )  # fmt: skip
    queried = True

    def fetch(self, name: str, data: Data, place: Place) -> Fetched:
        """Return the rows' file; see `Origin.fetch`."""
        if data.query is None:
            raise DataError(
                f"{name} is a database, and no query says which of its rows.",
                remedy="Write data.query, as SELECT text, label FROM tickets. Only data.source may"
                " be a database; for splits of their own set data.split.column.",
            )
        place.watcher.began("fetch")
        began = time.monotonic()
        with room(place) as aside:
            with _told(name):
                count = _write(name, data.query, aside / FILE, place)
            # Rows that are the same as last time are the same file.
            found = keep(aside / FILE, None, place, "sql")
        told = f"{count:,} rows of {name}"
        place.watcher.ended("fetch", time.monotonic() - began, reused=False, note=told)
        return Fetched(found)


def _write(name: str, query: str, file: Path, place: Place) -> int:
    """Write what a query answers to a Parquet file and return how many rows these are."""
    import pyarrow.parquet as pq

    count = 0
    with _answered(name, query, place) as result:
        if not result.returns_rows:
            raise DataError("data.query answers no rows.", remedy="Write a SELECT.")
        names = list(result.keys())
        found = batches(name, names, _cells(name, names, result))
        first = next(found)
        with pq.ParquetWriter(file, first.schema) as writer:
            for batch in chain([first], found):
                writer.write_batch(batch)
                count += batch.num_rows
                place.watcher.step(Step("fetch", count, 0, "rows", name))
    return count


@contextmanager
def _answered(name: str, query: str, place: Place) -> Iterator[sa.CursorResult[Any]]:
    import sqlalchemy as sa

    url = _url(name, place)
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except ModuleNotFoundError as error:
        if url.get_backend_name() == "postgresql":
            raise MissingExtraError(error.name or "?", "postgres") from error
        raise OperatorError(
            f"{name} needs the Python package {error.name!r}.",
            remedy=f"Install it with: pip install {error.name}",
        ) from error
    options: dict[str, Any] = {"yield_per": SENT_ROWS, "no_parameters": True}
    if engine.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    with engine.connect().execution_options(**options) as connection:
        if engine.dialect.name in READ_ONLY:
            connection.exec_driver_sql(READ_ONLY[engine.dialect.name])
        # As it is written: `:name` and % are the query's own.
        with connection.exec_driver_sql(query) as result:
            yield result


def _url(name: str, place: Place) -> sa.URL:
    """Return the URL with what stands in the environment, and a file's path made whole."""
    import sqlalchemy as sa

    try:
        url = sa.make_url(name)
    except ValueError as error:  # of the port
        raise sa.exc.ArgumentError(str(error)) from error
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    parts: dict[str, Any] = {
        part: filled(value)
        for part in ("username", "password", "host", "database")
        if (value := getattr(url, part))
    }
    query = {
        key: filled(value) if isinstance(value, str) else tuple(map(filled, value))
        for key, value in url.query.items()
    }
    url = url.set(query=query, **parts)
    if url.get_backend_name() == "sqlite":
        path = place.relative_to / Path(url.database or "").expanduser()
        if not path.is_file():
            raise DataError(
                f"{name!r}: there is no file {path}.",
                remedy="Write sqlite:/// and its path.",
            )
        url = url.set(database=str(path))
    return url


def _cells(
    name: str, names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> Iterator[list[str | None]]:
    for number, row in enumerate(rows, start=1):
        yield [_cell(name, number, *one) for one in zip(names, row, strict=True)]


def _cell(name: str, number: int, column: str, value: Any) -> str | None:
    if isinstance(value, (bytes, memoryview, bytearray)):
        raise DataError(
            f"{name}, row {number}: the column {column!r} holds bytes.",
            remedy="Leave it out of data.query, or cast it to text there.",
        )
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return cell(name, number, column, value)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what databases raise into errors that say what to do."""
    import sqlalchemy as sa

    try:
        yield
    except sa.exc.NoSuchModuleError as error:
        raise OperatorError(f"{name}: {error}.", remedy="Install its driver with pip.") from error
    except sa.exc.ArgumentError as error:
        raise DataError(
            f"{name!r} is no URL of a database.",
            remedy="Write it as postgresql://user:${PASSWORD}@host/database.",
        ) from error
    except sa.exc.DBAPIError as error:
        told = hidden(str(error.orig), name).strip().partition("\n")[0].rstrip(".")
        away = isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
        if away and not name.startswith("sqlite"):
            raise OperatorError(
                f"{name} did not answer to the end: {told}.",
                remedy="Check the database, and the name and password given to it; nothing was"
                " kept.",
            ) from error
        raise DataError(
            f"{name} refused data.query: {told}.", remedy="Mend the query; nothing was kept."
        ) from error
