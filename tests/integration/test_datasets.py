"""Data sets of a real home: named, listed, compared, exported here and over HTTP."""

from __future__ import annotations

import csv
import io
import json
import resource
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from tests.conftest import overwrite, small_rows, write_csv, write_project
from tests.server import Server

from bessemer.cli.main import run as command
from bessemer.client import Client
from bessemer.core import folder
from bessemer.core.errors import (
    BessemerError,
    ConflictError,
    CorruptError,
    RequestError,
    StorageError,
    UnknownNameError,
)
from bessemer.service.platform import Platform


def second(platform: Platform, place: Path) -> None:
    """Prepare `small` again, with one row more, one less and one that has another label."""
    project = write_project(place)
    rows = small_rows()
    rows[3] = (rows[3][0], "warranty_repair")
    write_csv(project / "table.csv", [*rows[1:], ("=1+1", "gift_card")], ("text", "label"))
    platform.prepare(project)


def test_a_data_set_is_named_once_and_knows_its_uses(platform: Platform, tmp_path: Path) -> None:
    first = platform.datasets.show("small.1")
    assert {(use.release, use.trained) for use in first.uses} == {("small@1", True)}
    assert first.profile is not None
    assert sum(first.profile.labels["train"].values()) == first.dataset.counts["train"]
    assert sum(first.profile.lengths["test"]) == first.dataset.counts["test"]
    platform.prepare(write_project(tmp_path / "again"))
    assert [one.id for one in platform.datasets.list()] == ["small.1"]
    newest, *others = platform.datasets.show("small").uses
    assert (newest.release, newest.trained) == (None, False)
    assert tuple(others) == first.uses
    second(platform, tmp_path / "second")
    assert [one.id for one in platform.datasets.list("small")] == ["small.2", "small.1"]
    assert platform.datasets.list("other") == []
    assert platform.datasets.list()[0].profile is None
    named = platform.datasets.show("small")
    assert (named.id, named.previous, first.previous) == ("small.2", "small.1", None)
    assert platform.datasets.show(first.dataset.digest[:8]).id == "small.1"
    with pytest.raises(UnknownNameError, match=r"Did you mean 'small\.\d'"):
        platform.datasets.show("small.3")
    with pytest.raises(UnknownNameError):
        platform.datasets.show("abcdef" if not first.dataset.digest.startswith("a") else "bcdefa")


def test_one_digest_two_projects_and_a_beginning_of_several(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.prepare(write_project(tmp_path / "other", name="other"))
    found = {one.id: one.dataset.digest for one in platform.datasets.list()}
    assert found["other.1"] == found["small.1"]
    assert platform.datasets.show("other").uses[0].release is None
    second(platform, tmp_path / "second")
    monkeypatch.setattr("bessemer.service.datasets._DIGEST", __import__("re").compile("[0-9a-f]*"))
    with pytest.raises(RequestError, match=r"small\.1, small\.2"):
        platform.datasets.show("")


def test_two_that_prepare_at_once_agree_on_the_name(tmp_path: Path) -> None:
    platform = Platform.open(tmp_path / "home")
    projects = [write_project(tmp_path / str(n)) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(platform.prepare, projects))
    assert [one.id for one in platform.datasets.list()] == ["small.1"]
    assert len(platform.datasets.show("small").uses) == 4
    platform.home.database.close()


def test_two_data_sets_are_compared(platform: Platform, tmp_path: Path) -> None:
    second(platform, tmp_path / "second")
    found = platform.datasets.diff("small.1", "small.2")
    assert found.by == "text"
    assert (found.counts["added"], found.counts["removed"], found.counts["relabelled"]) == (1, 1, 1)
    assert {change.key for change in found.changes if change.kind == "added"} == {"=1+1"}
    assert found.labels == {
        "gift_card": (30, 29), "warranty_repair": (30, 31),
    }  # fmt: skip
    place = platform.datasets.reader(platform.datasets.show("small.1")).path / "test.parquet"
    content = place.read_bytes()
    overwrite(place, content[:-9] + b"x" + content[-8:])
    with pytest.raises(CorruptError, match="was changed"):
        platform.datasets.diff("small.1", "small.2")
    place.unlink()
    with pytest.raises(CorruptError, match="is missing"):
        platform.datasets.export("small.1", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_export_is_whole_or_absent(platform: Platform, tmp_path: Path) -> None:
    second(platform, tmp_path / "second")
    made = platform.datasets.export("small", tmp_path / "out")
    place = Path(made.path)
    assert {p.name for p in place.iterdir()} == {
        "rows.csv", "README.md", "croissant.json", "manifest.json",
    }  # fmt: skip
    folder.check(place)
    with (place / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == made.rows == 120
    assert [row["split"] for row in rows if row["text"] == "'=1+1"]
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    told = json.loads((place / "croissant.json").read_text())
    assert told["distribution"][0]["sha256"] == made.files["rows.csv"]
    with pytest.raises(ConflictError):
        platform.datasets.export("small", tmp_path)
    with pytest.raises(RequestError, match="labelled parts"):
        platform.datasets.export("small", tmp_path / "bad", "conll")
    with pytest.raises(UnknownNameError, match="'trian'"):
        platform.datasets.export("small", tmp_path / "bad", "csv", "trian")
    assert not (tmp_path / "bad").exists()
    one = platform.datasets.export("small", tmp_path / "one", "parquet", "test")
    assert pq.read_table(tmp_path / "one" / "test.parquet").num_rows == one.rows == 36


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_full_disk_leaves_nothing(platform: Platform, tmp_path: Path, form: str) -> None:
    target = tmp_path / "place" / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    named = platform.datasets.show("small")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
        with pytest.raises(StorageError):
            platform.datasets.export(named.id, target, form)
        with pytest.raises(StorageError):
            platform.datasets.zipped(named.id, form, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(target.parent.iterdir()) == []


def test_the_same_over_http(server: Server, tmp_path: Path) -> None:
    here = server.platform.datasets
    second(server.platform, tmp_path / "second")
    there = Client(server.url, server.owner).datasets
    assert there.list() == here.list()
    assert there.show("small.1") == here.show("small.1")
    assert there.diff("small.1", "small.2") == here.diff("small.1", "small.2")
    one = here.export("small.2", tmp_path / "here", "jsonl", "train")
    other = there.export("small", tmp_path / "there", "jsonl", "train")
    assert other == one.model_copy(update={"path": other.path})
    for name in ("train.jsonl", "README.md", "croissant.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    with pytest.raises(ConflictError):
        there.export("small", tmp_path)
    with pytest.raises(BessemerError, match="labelled parts"):
        there.export("small", tmp_path / "bad", "conll")
    assert not (tmp_path / "bad").exists()
    headers = {"Authorization": f"Bearer {server.owner}"}
    address = f"{server.url}/api/v1/datasets/small/export"
    answer = httpx.get(address, headers=headers)
    assert answer.headers["content-disposition"] == 'attachment; filename="small.2.csv.zip"'
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    assert httpx.get(address, headers=headers, params={"form": "xlsx"}).status_code == 400
    assert httpx.get(address, headers=headers, params={"split": "x"}).status_code == 404
    assert not list((server.platform.home.root / "work").glob("tmp*"))


def test_the_command_line(
    platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second(platform, tmp_path / "second")
    home = ["--home", str(platform.home.root)]

    def told(*words: str) -> str:
        assert command(["datasets", *words, *home]) == 0
        return capsys.readouterr().out

    assert "small.2" in told("list")
    shown = told("show", "small.1")
    assert "█" in shown
    assert "small@1" in shown
    difference = told("diff", "small.1", "small.2")
    assert "1 added" in difference
    assert "→ warranty_repair" in difference
    assert json.loads(told("diff", "small.1", "small.1", "--json"))["counts"]["added"] == 0
    assert "120 rows in" in told("export", "small", str(tmp_path / "out"), "--form", "jsonl")
    capsys.readouterr()
    assert command(["datasets", "show", "smal", *home]) != 0
    assert "Did you mean" in capsys.readouterr().err


def test_rows_are_paged_without_being_loaded(platform: Platform, tmp_path: Path) -> None:
    reader = platform.datasets.reader(platform.datasets.show("small"))
    everything = reader.page(None, "", "", 0, 1000)
    assert everything.total == len(everything.rows) == 120
    part = reader.page(None, "", "", 100, 25)
    assert part.rows == everything.rows[100:125]
    assert len(part.rows) == 20
    labelled = reader.page("test", "gift_card", "", 0, 5)
    assert labelled.total == 9
    assert {row["label"] for row in labelled.rows} == {"gift_card"}
    word = everything.rows[7]["text"].split()[0]
    found = reader.page(None, "", word.upper(), 0, 1000)
    assert everything.rows[7] in found.rows
    assert all(word.lower() in row["text"].lower() for row in found.rows)
    assert reader.page(None, "no such label", "", 0, 5).total == 0
    with pytest.raises(UnknownNameError):
        reader.page("trian", "", "", 0, 5)
