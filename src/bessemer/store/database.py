"""One database: SQLite in WAL mode here, PostgreSQL by its URL elsewhere; the same SQL."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bessemer.core.errors import OperatorError, StorageError, needs

#: The newest migration; a test compares it with the folder.
HEAD = "0005"
#: Seconds that a transaction waits for its turn on SQLite.
BUSY_SECONDS = 10
#: Number of the lock under which transactions take turns on PostgreSQL.
LOCK = 0x42455353


class Database:
    """Connections to one database whose schema is at `HEAD`.

    Args:
        url: An SQLAlchemy URL.

    Raises:
        OperatorError: It cannot be opened, or was made by a newer Bessemer.
        MissingExtraError: It is PostgreSQL and its driver is not installed.
        StorageError: The disk is full or refuses.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection in a transaction, committed at the end unless the block raises."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            text = str(error.orig)
            if "full" in text or "disk I/O" in text or "readonly" in text:
                raise StorageError(
                    f"The database could not be written: {text}.",
                    remedy="Free some space and repeat the command.",
                ) from error
            raise OperatorError(
                f"The database did not answer: {text}.",
                remedy="Repeat the command; if it stays so, look for a process that holds it.",
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self.begin() as connection:
            if self._version(connection) == HEAD:
                return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(files("bessemer.store") / "migrations"))
        config.set_main_option("path_separator", "os")
        with self.begin() as connection:
            # Read again inside the writing transaction: of two processes that start at
            # once, the second waits here and then finds the work done.
            found = self._version(connection)
            if found is not None and found > HEAD:
                raise OperatorError(
                    f"The database is of version {found}, this Bessemer knows {HEAD}.",
                    remedy="Install the newer Bessemer that made it.",
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @staticmethod
    def _version(connection: Connection) -> str | None:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(
            sa.text("SELECT version_num FROM alembic_version")
        ).scalar()
        return found


def utc(value: Any) -> datetime:
    """Return a time read from the database with its zone, which SQLite does not keep."""
    assert isinstance(value, datetime)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _engine(url: str) -> Engine:
    """Return an engine whose transactions take turns, readers included, on either database.

    Two writers then wait for each other and do not fail half-way. Nothing waits long: no
    transaction here spans work.
    """
    parsed = sa.engine.make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    with needs("postgres"):
        engine = sa.create_engine(parsed)
    if engine.dialect.name == "sqlite":
        _turns_in_sqlite(engine)
    else:
        _turns_in_postgresql(engine)
    return engine


def _turns_in_sqlite(engine: Engine) -> None:
    if engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        # The driver must not begin transactions by itself: BEGIN IMMEDIATE below does.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _write_ahead(connection: Any) -> None:
    """Let SQLite log ahead, which a new database must be told while nobody writes to it.

    For this one statement SQLite does not wait for a writer: of processes that start at once, the
    others would fail.
    """
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > ends:
                raise
            time.sleep(0.01)


def _turns_in_postgresql(engine: Engine) -> None:
    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
