"""Records in a real SQLite file and on a real PostgreSQL: migrations, processes, keys."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests import postgres

import bessemer.store
from bessemer.core.errors import ConflictError, OperatorError, RequestError, UnknownNameError
from bessemer.service import snapshot
from bessemer.service.platform import Platform
from bessemer.store import tables
from bessemer.store.database import HEAD, Database


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres.server(tmp_path_factory.mktemp("postgresql") / "server") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty database, which homes opened in the test use as well."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path / 'b.db'}"
    else:
        server, name = request.getfixturevalue("postgresql"), f"t{secrets.token_hex(4)}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        found = f"{server}/{name}"
    monkeypatch.setenv("BESSEMER_DATABASE", found)
    return found


def test_the_migrations_make_the_tables(url: str) -> None:
    database = Database(url)
    with database.begin() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []
    folder = Path(bessemer.store.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [HEAD]
    database.close()


def test_a_newer_database_is_refused(url: str) -> None:
    database = Database(url)
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(OperatorError, match="version 9999"):
        Database(url)


def test_a_database_that_does_not_answer_is_told() -> None:
    with pytest.raises(OperatorError, match="did not answer"):
        Database("postgresql://nobody@127.0.0.1:9/nothing")


def _open_and_add(root: str, start: float, count: int) -> None:
    time.sleep(max(0.0, start - time.time()))
    platform = Platform.open(root)
    for number in range(count):
        platform.keys.create(f"{os.getpid()} {number}")


def test_processes_that_start_at_once_lose_nothing(url: str, tmp_path: Path) -> None:
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


def test_keys(url: str, tmp_path: Path) -> None:
    platform = Platform.open(tmp_path)
    first = platform.keys.first()
    assert first is not None
    assert platform.keys.first() is None
    with platform.home.database.begin() as connection:
        kept = [connection.execute(sa.select(t)).all() for t in (tables.keys, tables.events)]
    assert first.id in str(kept)
    assert first.secret.rpartition("_")[2] not in str(kept)
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
