"""Records in a real SQLite file and on a real PostgreSQL: migrations, processes, keys."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import bessemer.store
from bessemer.core.errors import ConflictError, OperatorError, RequestError, UnknownNameError
from bessemer.service import snapshot
from bessemer.service.platform import Platform
from bessemer.store import tables
from bessemer.store.database import HEAD, Database, _engine


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


def test_deployments_of_the_first_version_keep_their_meaning(url: str, tmp_path: Path) -> None:
    migrate(url, "0001")
    engine = _engine(url)
    at = datetime(2026, 11, 1, tzinfo=UTC)
    old = [(1, "a", "p@1", None), (2, "b", "p@1", None), (3, "a", "p@2", 1)]
    with engine.begin() as connection:
        for number in (1, 2):
            values = {"id": f"p@{number}", "project": "p", "number": number, "bundle": f"{number}"}
            connection.execute(sa.insert(tables.releases).values(**values, record={}))
        for id_, route, release, previous in old:
            connection.execute(
                sa.text(
                    "INSERT INTO deployments (id, route, release, previous, at, by)"
                    " VALUES (:id, :route, :release, :previous, :at, 'local')"
                ).bindparams(sa.bindparam("at", type_=sa.DateTime(timezone=True))),
                {"id": id_, "route": route, "release": release, "previous": previous, "at": at},
            )
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT setval('deployments_id_seq', 3)"))
    engine.dispose()
    platform = Platform.open(tmp_path / "home")
    found = platform.deployments.list()
    assert [(d.id, d.route, d.release, d.previous) for d in reversed(found)] == old
    assert {(d.canary, d.share, d.unloaded, d.at) for d in found} == {(None, None, False, at)}
    snapshot.publish(platform.home)
    published = snapshot.read(tmp_path / "home").routes
    assert {name: (s.release, s.previous) for name, s in published.items()} == {
        "a": ("p@2", "p@1"), "b": ("p@1", None),
    }  # fmt: skip
    assert platform.deployments.rollback("a").release == "p@1"
    assert platform.deployments.unload("a").unloaded
    assert platform.aliases.set("front", "a") == platform.aliases.list()[0]
    read = snapshot.read(tmp_path / "home")
    assert read.routes["a"].unloaded
    assert read.aliases == {"front": "a"}
    platform.home.database.close()


def migrate(url: str, version: str) -> None:
    """Bring an empty database to a version as it was."""
    config = Config()
    folder = Path(bessemer.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    engine = _engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


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


def test_a_database_that_another_process_begins_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself fails at once when a file is written to that does not log ahead yet."""
    path = tmp_path / "new.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE beside (x)")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO beside VALUES (1)")
        with ThreadPoolExecutor(1) as pool:
            opened = pool.submit(Database, f"sqlite:///{path}")
            with pytest.raises(TimeoutError):
                opened.result(0.3)
            other.execute("COMMIT")
            opened.result(10).close()


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
