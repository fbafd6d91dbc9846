"""Records in a real SQLite file: migrations, two processes, keys, snapshots."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import bessemer.store
from bessemer.core.errors import ConflictError, OperatorError, RequestError, UnknownNameError
from bessemer.service import snapshot
from bessemer.service.platform import Platform
from bessemer.store import tables
from bessemer.store.database import HEAD, Database


def url(path: Path) -> str:
    return f"sqlite:///{path / 'b.db'}"


def test_the_migrations_make_the_tables(tmp_path: Path) -> None:
    database = Database(url(tmp_path))
    with database.begin() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []
    folder = Path(bessemer.store.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [HEAD]
    database.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    Database(url(tmp_path)).close()
    with sqlite3.connect(tmp_path / "b.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(OperatorError, match="version 9999"):
        Database(url(tmp_path))


def _open_and_add(root: str, start: float, count: int) -> None:
    time.sleep(max(0.0, start - time.time()))
    platform = Platform.open(root)
    for number in range(count):
        platform.keys.create(f"{os.getpid()} {number}")


def test_processes_that_start_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = time.time() + 3
    arguments = (str(tmp_path / "home"), start, 10)
    processes = [context.Process(target=_open_and_add, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    platform = Platform.open(tmp_path / "home")
    assert len(platform.keys.list()) == 30
    assert len(snapshot.read(tmp_path / "home").keys) == 30
    with platform.home.database.begin() as connection:
        numbers = connection.execute(sa.select(tables.events.c.number)).scalars().all()
    assert sorted(numbers) == list(range(1, 31))
    platform.home.database.close()


def test_keys(tmp_path: Path) -> None:
    platform = Platform.open(tmp_path)
    first = platform.keys.first()
    assert first is not None
    assert platform.keys.first() is None
    assert first.secret.rpartition("_")[2] not in (tmp_path / "bessemer.db").read_bytes().decode(
        "latin-1"
    )
    with pytest.raises(ConflictError, match="last owner"):
        platform.keys.revoke(first.id)
    with pytest.raises(UnknownNameError):
        platform.keys.revoke("0" * 12)
    for name in ("", "x" * 101, "a\nb"):
        with pytest.raises(RequestError):
            platform.keys.create(name)
    with pytest.raises(RequestError, match="owner, caller"):
        platform.keys.create("a", "king")  # type: ignore[arg-type]
    assert (tmp_path / "snapshot.json").stat().st_mode & 0o077 == 0
    platform.home.database.close()


def _hold(root: str) -> None:
    Platform.open(root).runs.begin("small", "recipe", {})
    time.sleep(60)


def test_a_run_whose_process_is_gone_was_interrupted(tmp_path: Path) -> None:
    platform = Platform.open(tmp_path)
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(tmp_path),))
    process.start()
    deadline = time.monotonic() + 20
    while not platform.runs.list():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert platform.runs.list()[0].state == "running"
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert platform.runs.list()[0].state == "interrupted"
    platform.home.database.close()
