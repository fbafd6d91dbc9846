"""What many tests stand on: a small real table, a project, and one finished release."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bessemer.service.platform import Platform

if TYPE_CHECKING:
    from tests.server import Server

# Two workers share two cores: before torch is loaded, each is told that it has one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = ROOT / "examples" / "support-intents" / "messages.csv"
INTENTS = ("gift_card", "double_charge", "warranty_repair", "stock_availability")
EACH = 30


def small_rows() -> list[tuple[str, str]]:
    """Return text and label of the first messages of four intents of the shipped data set."""
    chosen: dict[str, list[str]] = {intent: [] for intent in INTENTS}
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            texts = chosen.get(row["intent"])
            if texts is not None and len(texts) < EACH and row["text"].strip():
                texts.append(row["text"])
    return [(text, intent) for intent, texts in chosen.items() for text in texts]


def write_csv(path: Path, rows: list[tuple[str, str]], header: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_project(folder: Path, text: str = "", *, name: str = "small") -> Path:
    """Write a table and a project file that learns from it; `text` is added to the file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "table.csv", small_rows(), ("text", "label"))
    data = "data: {source: table.csv, split: {test: 0.3, validation: 0.3}}\n"
    evaluate = "evaluate: {resamples: 100}\n"
    (folder / "bessemer.yaml").write_text(f"name: {name}\n{data}{evaluate}{text}")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of a project of four intents."""
    return write_project(tmp_path / "project")


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of this test run see."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextlib.contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, how)
        yield


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Let a test that is `timed` run while the other workers wait."""
    how = fcntl.LOCK_EX if request.node.get_closest_marker("timed") else fcntl.LOCK_SH
    with locked(shared_folder(tmp_path_factory) / "quiet.lock", how):
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with one release of `small`, deployed; tests copy it, never change it."""
    place = shared_folder(tmp_path_factory) / "finished"
    with locked(place.with_suffix(".lock"), fcntl.LOCK_EX):
        if not place.exists():
            platform = Platform.open(place / "home")
            done = platform.run(write_project(place / "project"))
            assert done.state == "succeeded"
            platform.home.database.close()
    return place


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a base of two layers with random weights."""
    from tests.families import tiny_base

    place = shared_folder(tmp_path_factory) / "tiny"
    with locked(place.with_suffix(".lock"), fcntl.LOCK_EX):
        return place if place.exists() else tiny_base(place)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a PostgreSQL server, without a database's name."""
    from tests import postgres

    with postgres.server(tmp_path_factory.mktemp("postgresql") / "server") as url:
        yield url


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished home that a test may change."""
    return copy_home(finished / "home", tmp_path / "home")


def copy_home(source: Path, target: Path) -> Path:
    """Copy a home; stage outputs are hard links: change one with `overwrite` only."""

    def copy(one: str, other: str) -> None:
        (os.link if "/stages/" in one else shutil.copyfile)(one, other)

    return shutil.copytree(source, target, copy_function=copy)


def overwrite(path: Path, content: bytes) -> None:
    """Give a file new content and leave its hard links alone."""
    path.unlink()
    path.write_bytes(content)


@pytest.fixture
def platform(home: Path) -> Platform:
    """Return a platform on a home with one live release."""
    opened = Platform.open(home)
    yield opened
    opened.home.database.close()


@pytest.fixture
def server(platform: Platform) -> Iterator[Server]:
    """Return a running server that a test may change."""
    from tests.server import running

    with running(platform) as found:
        yield found


@pytest.fixture(scope="module")
def shared(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server for tests that change nothing."""
    from tests.server import running

    home = tmp_path_factory.mktemp("shared") / "home"
    platform = Platform.open(copy_home(finished / "home", home))
    with running(platform) as found:
        yield found
    platform.home.database.close()
