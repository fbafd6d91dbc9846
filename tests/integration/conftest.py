"""Both databases, for tests of what is kept in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests import postgres


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
