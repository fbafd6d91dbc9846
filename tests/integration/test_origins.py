"""Tables from an S3 server, over HTTP, out of databases and from a hub."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import fsspec.config
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from tests.hub import COMMIT, hub

from bessemer.core.errors import BessemerError, DataError, OperatorError, ProjectError
from bessemer.core.progress import Watcher
from bessemer.core.project import Data
from bessemer.prepare.locate import fetch
from bessemer.prepare.origins.base import Place, keep, room
from bessemer.prepare.origins.hub import _inside, _patterns
from bessemer.prepare.sources.base import source_for
from bessemer.service.platform import Platform
from bessemer.service.project_file import parse
from bessemer.service.recipe import plan

TABLE = b"text,label\none,a\ntwo,b\n"
ROWS = [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}]


class Fetches(Watcher):
    """Counts how often something was fetched."""

    def __init__(self) -> None:
        self.count = 0

    def began(self, stage: str) -> None:
        self.count += stage == "fetch"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, tmp_path / "cache", Fetches())


def rows(name: str, place: Place, **data: object) -> list[dict]:
    settings = Data.model_validate({"source": name, **data})
    path = fetch(name, settings, place).path
    return pa.Table.from_batches(source_for(path)[1]().read(path, settings)).to_pylist()


def refused(name: str, place: Place, kind: type[BessemerError], match: str, **data: object) -> None:
    """Hold that a name is refused, helpfully, and that nothing is left of it."""
    before = sorted(place.cache.iterdir()) if place.cache.exists() else []
    with pytest.raises(kind, match=match) as caught:
        rows(name, place, **data)
    assert caught.value.remedy
    assert (sorted(place.cache.iterdir()) if place.cache.exists() else []) == before


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.resource]:
    """Return a bucket on a server that fsspec is told of."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
    found = boto3.resource("s3", endpoint_url=endpoint).Bucket(f"b{secrets.token_hex(4)}")
    found.create()
    yield found
    found.meta.client.close()


def test_an_object_is_fetched_when_it_changed(bucket: boto3.resource, place: Place) -> None:
    name = f"s3://{bucket.name}/in/table.csv"
    bucket.put_object(Key="in/table.csv", Body=TABLE)
    for _ in range(2):
        assert rows(name, place) == ROWS
    assert place.watcher.count == 1
    first = fetch(name, Data(source=name), place).path
    bucket.put_object(Key="in/table.csv", Body=TABLE + b"three,c\n")
    assert rows(name, place) == [*ROWS, {"text": "three", "label": "c"}]
    assert place.watcher.count == 2
    assert first.read_bytes() == TABLE  # a run that reads it is not disturbed
    first.write_bytes(b"damaged")
    bucket.put_object(Key="in/table.csv", Body=TABLE)
    assert rows(name, place) == ROWS


def test_a_folder_of_objects(bucket: boto3.resource, place: Place, tmp_path: Path) -> None:
    name = f"s3://{bucket.name}/parts/"
    bucket.put_object(Key="parts/", Body=b"")
    for number, row in enumerate(ROWS):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "p")
        bucket.upload_file(str(tmp_path / "p"), f"parts/{number}.parquet")
    assert rows(name, place) == ROWS
    assert rows(name, place) == ROWS
    assert place.watcher.count == 1
    pq.write_table(pa.table({"other": ["x"]}), tmp_path / "p")
    bucket.upload_file(str(tmp_path / "p"), "parts/2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet has other columns"):
        rows(name, place)
    bucket.put_object(Key="out/../../escaped.csv", Body=TABLE)
    refused(f"s3://{bucket.name}/out/", place, DataError, "leads out of it")


def test_what_a_store_refuses(
    bucket: boto3.resource, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = f"s3://{bucket.name}/table.csv"
    bucket.put_object(Key="table.csv", Body=TABLE)
    refused(f"s3://{bucket.name}/none.csv", place, DataError, "There is no s3://.*none")
    refused(f"s3://{bucket.name}/none/", place, DataError, "There is no s3://.*none")
    refused("s3://nobodys-bucket-4711/t.csv", place, DataError, "There is no s3://")
    refused(f"s3://{bucket.name}/table.exe", place, DataError, r"ending '\.exe'")
    refused(f"simplecache::{there}", place, DataError, "no file|chain of URLs")
    with forbidding() as address:
        monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": address})
        refused(there, place, OperatorError, "may not be read .*Check the credentials")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": address, "use_ssl": False})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    refused(there, place, OperatorError, "credentials")


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Answers(BaseHTTPRequestHandler):
    """Answers with a table; what the path begins with says how."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        what = self.path.partition("/")[2].partition("/")[0]
        status = {"forbidden": 403, "none": 404, "broken": 500}.get(what, 200)
        if what == "secret" and not self.path.endswith("t=let%26me%23in"):
            status = 401
        self.send_response(status)
        cut = what == "cut" and self.command == "GET"
        self.send_header("Content-Length", str(len(TABLE) + (9_000_000 if what == "cut" else 0)))
        if what == "tagged":
            self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(TABLE)
        if cut:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def forbidding() -> Iterator[str]:
    class Forbids(Answers):
        def do_GET(self) -> None:
            content = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    with serving(Forbids) as address:
        yield address


def test_over_http(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answers) as address:
        for _ in range(2):
            assert rows(f"{address}/tagged/t.csv", place) == ROWS
        assert place.watcher.count == 1
        assert rows(f"{address}/plain/t.csv?x=1", place) == ROWS
        monkeypatch.setenv("TOKEN", "let&me#in")
        assert rows(f"{address}/secret/t.csv?t=${{TOKEN}}", place) == ROWS
        refused(f"{address}/secret/t.csv?t=${{NOTHING}}", place, OperatorError, "no NOTHING")
        refused(f"{address}/none/t.csv", place, DataError, "There is no http://")
        refused(f"{address}/forbidden/t.csv", place, OperatorError, "may not be read")
        refused(f"{address}/broken/t.csv", place, OperatorError, "could not be fetched.*500")
        refused(f"{address}/cut/t.csv", place, OperatorError, "could not be fetched")
    refused(f"{address}/tagged/t.csv", place, OperatorError, "could not be fetched")


def test_what_a_killed_process_left_goes(place: Place) -> None:
    """And the next one fetches the whole; what another one fetches meanwhile is let be."""
    go = threading.Event()

    class Stalls(Answers):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(TABLE)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(TABLE[:5])
                go.wait(20)
                self.wfile.write(TABLE[5:])

    code = """
import sys
from pathlib import Path
from bessemer.prepare.locate import locate
locate(sys.argv[1], relative_to=Path("."), cache=Path(sys.argv[2]))
"""
    with serving(Stalls) as address:
        name = f"{address}/t.csv"
        command = [sys.executable, "-c", code, name, str(place.cache)]
        with subprocess.Popen(command) as killed, subprocess.Popen(command) as lives:
            deadline = time.monotonic() + 20
            while len(list(place.cache.glob(".partial-*/t.csv"))) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            killed.kill()
            killed.wait()
            go.set()
            assert rows(name, place) == ROWS
        assert lives.returncode == 0
    assert [path.name[:4] for path in place.cache.iterdir()] == ["url-"]


def test_fetches_of_the_same_content_leave_each_other_what_they_read(place: Place) -> None:
    """The first one's stays: a second one does not put its own in its place under a reader."""

    def fetch_and_read(begin: threading.Barrier) -> None:
        with room(place) as aside:
            (aside / "t.csv").write_bytes(TABLE)
            begin.wait(20)
            kept = keep(aside / "t.csv", None, place, "url")
            for _ in range(20):
                assert kept.read_bytes() == TABLE
                kept.stat()

    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            begin = threading.Barrier(8)
            for one in [pool.submit(fetch_and_read, begin) for _ in range(8)]:
                one.result()
            (kept,) = place.cache.iterdir()
            shutil.rmtree(kept)


def test_a_missing_package_names_its_extra(tmp_path: Path) -> None:
    code = """
import sys
sys.modules.update(dict.fromkeys(["s3fs", "aiohttp", "datasets", "psycopg", "pymysql"]))
from pathlib import Path
from bessemer.core.errors import BessemerError
from bessemer.core.progress import Watcher
from bessemer.core.project import Data
from bessemer.prepare.locate import fetch
from bessemer.prepare.origins.base import Place, keep, room
for name, query in (
    ("s3://b/t.csv", None), ("https://h/t.csv", None), ("hub:a/b", None),
    ("postgresql://h/x", "SELECT 1"), ("mysql+pymysql://h/x", "SELECT 1"),
    ("gs://b/t.csv", None),
):
    try:
        fetch(name, Data(source=name, query=query), Place(Path("."), Path("cache"), Watcher()))
    except BessemerError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    wanted = ("[s3]", "[https]", "[hub]", "[postgres]", "pip install pymysql", "gcsfs")
    for line, told in zip(done.stdout.splitlines(), wanted, strict=True):
        assert told in line
    assert not list((tmp_path / "cache").glob("*"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database with 5,000 tickets, the last of which breaks `ratio`."""
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "t.db") as connection:
            connection.execute("CREATE TABLE tickets (text TEXT, label TEXT, spans TEXT)")
            values = [(f"text {n}", "ab"[n % 2], "{}" if n < 4999 else "{") for n in range(5000)]
            connection.executemany("INSERT INTO tickets VALUES (?, ?, ?)", values)
        connection.close()
        return "sqlite:///t.db"
    server, name = request.getfixturevalue("postgresql"), f"t{secrets.token_hex(4)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(f"{server}/{name}") as connection:
        connection.execute(
            "CREATE TABLE tickets AS SELECT 'text ' || n AS text,"
            " CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END AS label,"
            " CASE WHEN n < 4999 THEN '{}' ELSE '{' END AS spans FROM generate_series(0, 4999) n"
        )
    return f"{server}/{name}"


ALL = "SELECT text, label FROM tickets ORDER BY label, text"


def test_rows_of_a_database(database: str, place: Place) -> None:
    found = rows(database, place, query=ALL)
    assert len(found) == 5000
    assert found[0] == {"text": "text 0", "label": "a"}
    path = fetch(database, Data(source=database, query=ALL), place).path
    assert path == fetch(database, Data(source=database, query=ALL), place).path
    fewer = Data(source=database, query="SELECT * FROM tickets WHERE text LIKE '% 1' -- :x %s")
    other = fetch(database, fewer, place).path
    assert other != path
    assert pq.read_table(other).to_pylist() == [{"text": "text 1", "label": "b", "spans": "{}"}]
    assert rows(database, place, query="SELECT text, label FROM tickets WHERE 1 = 0") == []


def test_types_of_a_database(postgresql: str, place: Place) -> None:
    query = (
        "SELECT 1.50::numeric AS a, true AS b, ARRAY['x', 'y'] AS c, DATE '2026-01-02' AS d,"
        " NULL AS e, '{\"k\": 1}'::jsonb AS f, 'ü💩'::text AS g"
    )
    assert rows(f"{postgresql}/postgres", place, query=query) == [
        {"a": "1.50", "b": "true", "c": '["x", "y"]', "d": "2026-01-02", "e": None,
         "f": '{"k": 1}', "g": "ü💩"}
    ]  # fmt: skip
    name = f"{postgresql}/postgres"
    refused(name, place, DataError, "row 1: .*'x' holds bytes", query="SELECT '\\x00'::bytea AS x")
    refused(name, place, DataError, "'a' twice", query="SELECT 1 AS a, 2 AS a")
    nobody = name.replace("bessemer@", "nobody@")
    refused(nobody, place, OperatorError, 'role "nobody" does not exist', query="SELECT 1")
    cut = (
        "SELECT n::text AS text, CASE WHEN n < 4000 THEN 'a'"
        " ELSE pg_terminate_backend(pg_backend_pid())::text END AS label"
        " FROM generate_series(1, 5000) n"
    )
    refused(name, place, OperatorError, "did not answer to the end: terminating", query=cut)
    closed = "postgresql://127.0.0.1:9/x"
    refused(closed, place, OperatorError, "did not answer to the end", query="SELECT 1")


def test_a_query_that_fails_leaves_nothing(database: str, place: Place) -> None:
    """Also where thousands of rows have come before, and where the query would write."""
    late = "SELECT text, json(spans) AS label FROM tickets"
    if database.startswith("postgresql"):
        late = "SELECT text, spans::json AS label FROM tickets"
    refused(database, place, DataError, "refused data.query: .*(JSON|json)", query=late)
    for query in ("SELEC 1", "SELECT nothing FROM tickets", "SELECT 1; DROP TABLE tickets"):
        refused(database, place, DataError, "data.query", query=query)
    for query in ("DELETE FROM tickets RETURNING text", "DROP TABLE tickets"):
        refused(database, place, DataError, "read-only|readonly|syntax|SELECT", query=query)
    assert len(rows(database, place, query=ALL)) == 5000
    refused(database, place, DataError, "no query says which")
    refused("sqlite:///none.db", place, DataError, r"there is no file .*none\.db", query="SELECT 1")
    refused("postgresql://h:port/x", place, DataError, "is no URL of a database", query="SELECT 1")
    refused("sqlite://", place, DataError, "there is no file", query="SELECT 1")
    assert not (place.relative_to / "none.db").exists()
    refused("t.csv", place, DataError, "data.query says nothing", query="SELECT 1")


def test_a_password_is_kept_nowhere(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS few AS SELECT n::text AS text,"
                           " (n % 2)::text AS label FROM generate_series(1, 40) n")  # fmt: skip
    secret = f"hush/{secrets.token_hex(8)}@"
    monkeypatch.setenv("DB_PASSWORD", secret)
    source = f"{postgresql}/postgres".replace("bessemer@", "bessemer:${DB_PASSWORD}@")
    text = f"name: x\ndata: {{source: '{source}', query: TABLE few}}\n"
    (tmp_path / "bessemer.yaml").write_text(text)
    platform = Platform.open(tmp_path / "home")
    run = platform.prepare(tmp_path)
    assert run.state == "succeeded"
    assert run.resolved["data"]["source"] == source
    assert platform.check(tmp_path).dataset.source == source
    gone = text.replace("postgres'", "gone'")
    (tmp_path / "bessemer.yaml").write_text(gone)
    with pytest.raises(OperatorError, match="gone") as caught:
        platform.prepare(tmp_path)
    assert secret not in str(caught.value)
    platform.home.database.close()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path
    for wrong in ("a:hunter2@h/x", "a@h/x?password=hunter2", "a:hun/ter2@h/x", "a:${X}hunter2@h/x"):
        with pytest.raises(ProjectError, match=r"data\.source holds a password") as caught:
            parse(f"name: x\ndata: {{source: 'postgresql://{wrong}'}}", tmp_path, "f")
        assert "ter2" not in str(caught.value)
    parse("name: x\ndata: {source: 'https://h:8080/a@b.csv'}", tmp_path, "f")


@pytest.mark.parametrize(
    "source",
    ["/etc/passwd", "http://127.0.0.1/t.csv", "s3://b/t.csv", "sqlite:////etc/x.db", "file:///x.csv",
     "HTTP://127.0.0.1/t.csv", "postgresql+psycopg://h/x", "simplecache::http://127.0.0.1/t.csv",
     "../t.csv"],
)  # fmt: skip
@pytest.mark.parametrize("role", ["source", "test"])
def test_a_project_from_elsewhere_reaches_nothing(tmp_path: Path, source: str, role: str) -> None:
    given = {"source": source, "query": "SELECT 1"}
    if role == "test":
        given = {"source": "public:banking77/train.csv", "split": {"test": source}}
    loaded = parse(json.dumps({"name": "x", "data": given}), tmp_path, "f", uploads={})
    with pytest.raises(BessemerError, match=r"was not sent|a server fetches|no known|nothing is"):
        plan(loaded, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_compressed_table_may_be_sent(tmp_path: Path) -> None:
    lines = [f"text {n},{'ab'[n % 2]}" for n in range(40)]
    content = gzip.compress("\n".join(["text,label", *lines]).encode())
    sha256 = hashlib.sha256(content).hexdigest()
    platform = Platform.open(tmp_path / "home")

    async def sent() -> AsyncIterator[bytes]:
        yield content

    asyncio.run(platform.jobs.receive(sha256, sent()))
    found = platform.jobs.check("name: x\ndata: {source: t.csv.gz}", {"t.csv.gz": sha256})
    assert sum(found.dataset.counts.values()) == 40
    platform.home.database.close()


CARD = """---
license: cc-by-4.0
configs:
- config_name: small
  data_files:
  - {split: train, path: train.csv}
  - {split: test, path: test.csv}
dataset_info:
  config_name: small
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': refund, '1': other}}}
---
"""
LOADS = """
import json, sys
from pathlib import Path
import pyarrow as pa
from bessemer.core.errors import BessemerError
from bessemer.core.progress import Watcher
from bessemer.core.project import Data
from bessemer.prepare.locate import fetch
from bessemer.prepare.origins.base import Place, keep, room
from bessemer.prepare.sources.base import source_for
for given in sys.argv[1:]:
    cache, _, name = given.partition("=")
    data = Data(source=name)
    try:
        found = fetch(name, data, Place(Path("."), Path(cache), Watcher()))
        reader = source_for(found.path)[1]()
        table = pa.Table.from_batches(reader.read(found.path, data)).to_pydict()
        print(json.dumps([found.licence, table]))
    except BessemerError as error:
        assert error.remedy
        print(json.dumps([type(error).__name__, str(error)]))
"""


def loaded(tmp_path: Path, *names: str, **environment: str) -> list[list]:
    """Return what a fresh process, which reads the hub's settings, makes of `cache=name`s."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOADS, *names], cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_data_set_of_the_hub(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "README.md").write_text(CARD)
    (repository / "train.csv").write_text("text,label\none,0\ntwo,1\n")
    (repository / "test.csv").write_text("text,label\nthree,0\n")
    name = "hub:someone/tickets"
    train = ["cc-by-4.0", {"text": ["one", "two"], "label": ["refund", "other"]}]
    with hub("someone/tickets", "v1", repository, "datasets") as address:
        found = loaded(
            tmp_path, f"a={name}@v1", f"a={name}@v1/small:test", f"a={name}@v1/large",
            f"a={name}@v1:dev", "a=hub:someone/else", "a=hub:tickets", HF_ENDPOINT=address,
        )  # fmt: skip
    assert found[:2] == [train, ["cc-by-4.0", {"text": ["three"], "label": ["refund"]}]]
    messages = " | ".join(told for _, told in found[2:])
    for told in ("'large' not found", "no split 'dev'. It has train, test", "The hub has no hub:",
                 "'hub:tickets' names no data set"):  # fmt: skip
        assert told in messages
    # Without the hub: what was imported, what `datasets` keeps, and no other revision for it.
    found = loaded(
        tmp_path, f"a={name}@v1", f"b={name}@v1", f"c={name}@v2", "c=hub:someone/else",
        HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert found[:2] == [train, train]
    assert f"its commit {COMMIT}, asked for is v2" in found[2][1]
    assert "could not be had" in found[3][1]


def test_a_data_set_names_no_files_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("text,label\nhush,0\n")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "README.md").write_text(CARD.replace("train.csv", f"{tmp_path}/secret.csv"))
    with hub("someone/tickets", "v1", tmp_path / "r", "datasets") as address:
        found = loaded(tmp_path, "a=hub:someone/tickets@v1", HF_ENDPOINT=address)
    assert "says that its tables lie elsewhere" in found[0][1]
    for pattern in ("http://127.0.0.1/t.csv", "../x/t.csv", "~/t.csv", "zip://x::/etc/x.zip"):
        card = [{"data_files": [{"split": "train", "path": ["*.csv", pattern]}]}]
        assert [one for one in _patterns(card) if not _inside(one)] == [pattern]
    assert _inside("data/train-*.csv")
