"""The room *Data* over real sockets: what it shows, and that nothing in it runs."""

from __future__ import annotations

import io
import json
import zipfile
from html import unescape
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import small_rows, write_csv, write_project
from tests.integration.test_console import logged_in
from tests.server import Server, running

from bessemer.console.data import TEXT, cut
from bessemer.core import folder
from bessemer.core.dataset import Finding
from bessemer.prepare.ledger import FINDINGS
from bessemer.service.dataset_rows import INSPECTION, SUSPECTS, Reader
from bessemer.service.platform import Platform
from bessemer.tasks.base import Span

ROOM = "/console/data"
BAD = "<img src=x onerror=alert(1)>"


def prepare_wild(platform: Platform, place: Path) -> None:
    """Prepare `small` again, from rows that somebody wrote with ill will."""
    project = write_project(place)
    rows = [*small_rows()[2:], (f"{BAD} is my text", "gift_card"), ("长" * 3000, "gift_card")]
    rows += [(f"text {n} of a bad label", f"label {BAD}") for n in range(9)]
    write_csv(project / "table.csv", [*rows, rows[0]], ("text", "label"))
    platform.prepare(project)


def test_a_home_without_data(tmp_path: Path) -> None:
    platform = Platform.open(tmp_path / "home")
    with running(platform) as server, logged_in(server) as client:
        assert "Nothing was prepared yet." in client.get(ROOM).text
        assert client.get(f"{ROOM}/small.1").status_code == 404
    platform.home.database.close()


def test_versions_and_one_of_them(server: Server, tmp_path: Path) -> None:
    prepare_wild(server.platform, tmp_path / "wild")
    for tongue, words in (("en", ("Data set", "Findings")), ("zh", ("数据集", "发现的问题"))):
        with logged_in(server, **{"Accept-Language": tongue}) as client:
            room = client.get(ROOM).text
            first, newest = (client.get(f"{ROOM}/small.{n}").text for n in (1, 2))
        assert words[0] in room
        for name in ("small.1", "small.2", "small@1"):
            assert name in room
        assert words[1] in newest
        assert "exact duplicate" in newest
        assert "small@1" in first
        assert 'id="difference"' in newest
        assert 'id="difference"' not in first
        for page in (room, first, newest):
            assert BAD not in page
    drawn = unescape(newest.split('data-picture="labels" data-drawn=\'')[1].split("'")[0])
    told = json.loads(drawn)
    assert f"label {BAD}" in told["names"]
    assert [split for split, _ in told["values"]] == ["train", "validation", "test"]
    assert sum(sum(counts) for _, counts in told["values"]) == 129


def test_rows_are_found_and_stay_text(server: Server, tmp_path: Path) -> None:
    prepare_wild(server.platform, tmp_path / "wild")
    address = f"{ROOM}/small/rows"
    with logged_in(server, **{"HX-Request": "true"}) as client:
        found = client.get(address, params={"search": "ONERROR"}).text
        assert "&lt;img src=x onerror=alert(1)&gt; is my text" in found
        assert BAD not in found
        assert "1–1 of 1" in found
        found = client.get(address, params={"label": f"label {BAD}", "split": "train"}).text
        assert "of a bad label" in found
        assert "page=" not in found
        everything = client.get(address).text
        assert "1–25 of 129" in everything
        assert "page=1" in everything
        last = client.get(address, params={"page": "5"}).text
        assert "126–129 of 129" in last
        assert "page=4" in last
        assert "page=6" not in last
        long = client.get(address, params={"search": "长长"}).text
        assert 0 < long.count("长") <= TEXT
        assert "3,000 characters in all" in long
        assert "No row is like this." in client.get(address, params={"search": "nowhere"}).text
        assert client.get(address, params={"page": "99"}).status_code == 200
        for page in ("-1", "x", "9" * 30, "٣"):
            assert client.get(address, params={"page": page}).status_code == 400
        assert client.get(address, params={"split": "trian"}).status_code == 404


def test_a_finding_opens_its_rows(server: Server, tmp_path: Path) -> None:
    platform = server.platform
    prepare_wild(platform, tmp_path / "wild")
    named = platform.datasets.show("small")
    findings = named.dataset.findings
    number = next(n for n, one in enumerate(findings) if one.rule == "exact duplicate")
    address = f"{ROOM}/small/findings/{number}"
    place = platform.datasets.reader(named).path
    (place / FINDINGS).unlink(missing_ok=True)
    with logged_in(server, **{"HX-Request": "true"}) as client:
        shown = client.get(address).text
        assert "130" in shown
        assert "not in the data set" in shown
        assert client.get(f"{ROOM}/small/findings/99").status_code == 404
        kept = next(
            row for row in pq.read_table(place / "train.parquet").to_pylist() if BAD in row["text"]
        )
        columns = {
            "rule": ["exact duplicate"] * 2, "action": ["dropped"] * 2,
            "split": pa.nulls(2, pa.string()), "row": [kept["row"], 5], "source": ["source"] * 2,
            "other": [7, None], "detail": [f"seen {BAD}", ""],
        }  # fmt: skip
        pq.write_table(pa.table(columns), place / FINDINGS)
        shown = client.get(address).text
        assert "1–1 of 1" in shown
        assert "as row 7" in shown
        assert "onerror=alert(1)&gt; is my text" in shown
        assert "gift_card" in shown
        assert BAD not in shown


def test_every_row_of_a_finding_is_paged(platform: Platform) -> None:
    """Two findings of one rule share a file; each has the rows of its source."""
    named = platform.datasets.show("small")
    reader = platform.datasets.reader(named)
    alike = {"rule": "odd", "action": "kept", "rows": (1,)}
    findings = (
        Finding(count=30, **alike), Finding(count=3, rule="other", action="kept", rows=(1,)),
        Finding(count=40, **alike),
    )  # fmt: skip
    dataset = named.dataset.model_copy(update={"findings": findings})
    reader = Reader(reader.path, named.model_copy(update={"dataset": dataset}))
    rows = [*range(1, 31), *range(101, 141)]
    columns = {
        "rule": ["odd"] * 70, "action": ["kept"] * 70, "split": pa.nulls(70, pa.string()),
        "row": rows, "source": ["source"] * 70, "other": pa.nulls(70, pa.int64()),
        "detail": [""] * 70,
    }  # fmt: skip
    (reader.path / FINDINGS).unlink(missing_ok=True)
    pq.write_table(pa.table(columns), reader.path / FINDINGS)
    assert [row["row"] for row in reader.found(0, 25, 25).rows] == rows[25:30]
    page = reader.found(2, 25, 25)
    assert (page.total, [row["row"] for row in page.rows]) == (40, rows[55:])
    assert all(("text" in row) == (row["row"] <= 120) for row in page.rows)


def test_labels_that_are_probably_wrong(server: Server, tmp_path: Path) -> None:
    """What the stage `inspect` leaves behind is shown; it is written by hand here."""
    home, address = server.platform.home, f"{ROOM}/small.1"
    with logged_in(server) as client:
        assert f"{address}/suspects" not in client.get(address).text
        assert client.get(f"{address}/suspects").status_code == 400
        with home.stages.make("inspect", "f" * 64) as place:
            digest = server.platform.datasets.show("small.1").dataset.digest
            (place / INSPECTION).write_text(json.dumps({"dataset": digest}))
            count = 30
            columns = {
                "row": list(range(1, count + 1)), "split": ["train"] * count,
                "text": [f"text {n} {BAD}" for n in range(count)], "given": ["gift_card"] * count,
                "suggested": ["double_charge"] * count, "chance": [0.875] * count,
                "score": [0.01] * count, "error": [n < 27 for n in range(count)],
            }  # fmt: skip
            pq.write_table(pa.table(columns), place / SUSPECTS)
        assert f"{address}/suspects" in client.get(address).text
        first = client.get(f"{address}/suspects").text
        assert "1–25 of 27" in first
        assert "0.88" in first
        assert "text 26 &lt;img" in client.get(f"{address}/suspects", params={"page": 1}).text
        assert BAD not in first


def test_the_difference_and_the_download(server: Server, tmp_path: Path) -> None:
    prepare_wild(server.platform, tmp_path / "wild")
    with logged_in(server) as client:
        found = client.get(f"{ROOM}/small.2/difference").text
        assert "Rows are compared by their texts." in found
        assert "moved to another split" in found
        assert BAD not in found
        assert client.get(f"{ROOM}/small.1/difference").status_code == 400
        answer = client.get(f"{ROOM}/small.2/export", params={"form": "jsonl"})
        assert answer.headers["content-disposition"].endswith('"small.2.jsonl.zip"')
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.read("rows.jsonl").count(b"\n") == 129
        assert client.get(f"{ROOM}/small.2/export", params={"form": "x"}).status_code == 404
        missing = server.platform.datasets.reader(server.platform.datasets.show("small.2")).path
        (missing / folder.MANIFEST).unlink()
        gone = client.get(f"{ROOM}/small.2")
        assert gone.status_code == 500
        assert "prepare the data again" in gone.text


@pytest.mark.parametrize(
    ("text", "spans", "pieces"),
    [
        ("Ada flew", [Span(0, 3, "<i>")], [("Ada", "<i>"), (" flew", "")]),
        ("none", [], [("none", "")]),
        ("x" * TEXT + "Ada", [Span(TEXT, TEXT + 3, "a")], [("x" * TEXT, "")]),
    ],
)
def test_spans_are_marked(text: str, spans: list[Span], pieces: list[tuple[str, str]]) -> None:
    assert cut(text, spans) == pieces
