"""The data plane and the control plane over real sockets, in a thread of this process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from tests.conftest import overwrite, small_rows, write_project
from tests.server import Server, running

import bessemer
from bessemer.core import errors
from bessemer.core.errors import BessemerError
from bessemer.http.app import api
from bessemer.http.middleware import CONTROL, MOST_BODY_BYTES
from bessemer.serve import residents
from bessemer.service import calls
from bessemer.service.platform import Platform
from bessemer.store import tables


def test_predictions_are_the_bundles(shared: Server) -> None:
    texts = [text for text, _ in small_rows()[:5]]
    platform = shared.platform
    resident = residents.load(platform.releases.bundle(platform.releases.show("small")))
    wanted = resident.decode(resident.encode(texts), resident.logits(texts), 4)
    one = shared.predict({"inputs": texts[0]})
    assert one.status_code == 200
    assert one.json() == wanted[0][:1]
    assert one.headers["x-release"] == "small@1"
    assert shared.predict({"inputs": texts}).json() == [row[0] for row in wanted]
    assert shared.predict({"inputs": texts, "top_k": 2}).json() == [row[:2] for row in wanted]
    nested = {"inputs": texts[0], "parameters": {"top_k": None}}
    assert shared.predict(nested).json() == wanted[:1]
    assert shared.predict({"inputs": []}).json() == []
    assert sum(p["score"] for p in wanted[0]) == pytest.approx(1)


def test_open_inference_protocol(shared: Server) -> None:
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/small/ready"):
        assert shared.http.get(path).status_code == 200, path
    metadata = shared.http.get("/v2/models/small").json()
    labels = metadata["parameters"]["labels"]
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "退款在哪里"]}
    answer = shared.http.post("/v2/models/small/infer", json={"id": "7", "inputs": [tensor]}).json()
    assert answer["id"] == "7"
    outputs = {output["name"]: output for output in answer["outputs"]}
    chances = np.array(outputs["probabilities"]["data"]).reshape(2, len(labels))
    assert chances.sum(axis=1) == pytest.approx(1)
    assert [labels[n] for n in chances.argmax(axis=1)] == outputs["label"]["data"]
    assert outputs["score"]["data"] == pytest.approx(list(chances.max(axis=1)))
    for wrong in (
        {**tensor, "name": "txt"}, {**tensor, "datatype": "FP32"}, {**tensor, "shape": [3]},
        {**tensor, "data": [1, 2]},
    ):  # fmt: skip
        answer = shared.http.post("/v2/models/small/infer", json={"inputs": [wrong]})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"inputs": "a"', 400),
        (b"", 400),
        (b"\xff\xfe", 400),
        (b'{"inputs": 7}', 400),
        (b'{"inputs": {"a": "b"}}', 400),
        (b'{"input": "a"}', 400),
        (b'{"inputs": "a", "top_k": 0}', 400),
        (b'{"inputs": "a", "top_k": "many"}', 400),
        (b'{"inputs": "\\ud83d"}', 400),
        (b"[" * 100_000, 400),
        (b'{"inputs": ["a", null]}', 400),
        (json.dumps({"inputs": ["a"] * 1025}).encode(), 413),
        (b'{"inputs": "' + b"a" * MOST_BODY_BYTES + b'"}', 413),
    ],
)
def test_bad_bodies(shared: Server, content: bytes, status: int) -> None:
    answer = shared.http.post("/predict/small", content=content)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "error_type"}
    assert "Traceback" not in answer.text


def test_odd_texts_are_answered(shared: Server) -> None:
    texts = ["", " ", "\x00", "a" * 100_000, "🙃", "مرحبا", "\u2028", "退款" * 500]
    answer = shared.predict({"inputs": texts})
    assert answer.status_code == 200
    assert len(answer.json()) == len(texts)


def test_a_body_that_hides_its_length_is_bounded(shared: Server) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"a" * 65_536

    answer = shared.http.post("/predict/small", content=chunks())
    assert answer.status_code == 413


def test_more_than_can_wait_is_sent_away_and_the_rest_is_answered(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bessemer.serve.dataplane.MOST_WAITING_TOKENS", 800)
    with running(platform) as server:
        assert server.predict({"inputs": ["where is my refund"] * 200}).status_code == 413
        wanted = server.predict({"inputs": ["where is my refund"] * 20}).json()
        answers: list[httpx.Response] = []

        def ask() -> None:
            for _ in range(10):
                answers.append(server.predict({"inputs": ["where is my refund"] * 20}))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(answers) == 80
        assert 0 < len(refused) < 80
        for answer in answers:
            if answer in refused:
                assert answer.json()["error_type"] == "OverloadedError"
                assert 1 <= int(answer.headers["retry-after-ms"]) < 60_000
                assert int(answer.headers["retry-after"]) >= 1
            else:
                assert answer.json() == wanted
        told = server.http.get("/metrics").text
        assert "bessemer_waiting_texts 0.0" in told


def test_a_client_that_hangs_up_leaves_the_queue(platform: Platform) -> None:
    with running(platform) as server:
        # All different, since equal texts in a batch are computed once.
        long = "where is my refund, and when do I get it? " * 5
        body = {"inputs": [f"{number} {long}" for number in range(1000)]}
        with pytest.raises(httpx.ReadTimeout):
            server.predict(body, timeout=0.3)
        deadline = time.monotonic() + 5
        while server.serving.plane.waiting[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        calls.drain(server.platform.home)
        assert server.predict({"inputs": "refund"}).status_code == 200
        told = server.http.get("/metrics").text
        assert 'outcome="RequestError"' in told


def test_unknown_routes_and_addresses(shared: Server) -> None:
    answer = shared.predict({"inputs": "a"}, route="smal")
    assert answer.status_code == 404
    assert "Did you mean 'small'" in answer.json()["error"]
    assert shared.http.get("/nowhere").status_code == 404
    assert shared.http.get("/predict/small").status_code == 405
    for path in ("/nowhere", "/predict/small"):
        assert set(shared.http.get(path).json()) == {"error", "error_type"}


def test_every_route_needs_a_key_and_the_right_role(shared: Server) -> None:
    """Walks all operations of the application, health and documentation included.

    `test_console.py` walks the console, whose pages need a session instead.
    """
    app = api(shared.platform, shared.serving.plane)
    paths = {**app.openapi()["paths"], "/openapi.json": {"get": {}}, "/nowhere": {"get": {}}}
    assert len(paths) > 15
    other = f"bsm_{'0' * 12}_{'0' * 64}"
    for path, operations in paths.items():
        for method in operations:
            send = {"method": method, "url": shared.url + path, "timeout": 10}
            for header in ({}, {"Authorization": f"Bearer {other}"}, {"Authorization": "x"}):
                answer = httpx.request(**send, headers=header)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
            answer = httpx.request(**send, headers={"Authorization": f"Bearer {shared.caller}"})
            assert (answer.status_code == 403) == path.startswith(CONTROL), (method, path)
            header = {"Authorization": f"Bearer {shared.annotator}"}
            answer = httpx.request(**send, headers=header)
            assert answer.status_code == 403, (method, path)
            assert "may only label" in answer.text


def test_keys_and_routes_reach_a_running_server_within_a_second(server: Server) -> None:
    def within_a_second(check) -> None:
        deadline = time.monotonic() + 1
        while not check():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    # Another process of the same home changes things, as the command line does.
    elsewhere = Platform.open(server.platform.home.root)
    key = elsewhere.keys.create("new")
    header = {"Authorization": f"Bearer {key.secret}"}

    def status(route: str = "small") -> int:
        return server.predict({"inputs": "a"}, route, headers=header).status_code

    within_a_second(lambda: status() == 200)
    elsewhere.deploy("small@1", "another")
    within_a_second(lambda: status("another") == 200)
    elsewhere.keys.revoke(key.id)
    within_a_second(lambda: status() == 401)
    elsewhere.home.database.close()


def test_a_server_that_drains_is_unready_and_answers_what_still_comes(server: Server) -> None:
    server.serving.plane.drain()
    answer = server.http.get("/v2/health/ready")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "is stopping" in answer.json()["error"]
    assert server.http.get("/v2/health/live").status_code == 200
    assert server.predict({"inputs": "a"}).status_code == 200


def test_a_release_that_was_changed_is_not_served(platform: Platform) -> None:
    graph = platform.releases.bundle(platform.releases.show("small")) / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[1000] ^= 1
    overwrite(graph, content)
    with running(platform) as server:
        answer = server.predict({"inputs": "a"})
        assert answer.status_code == 503
        assert "model.onnx was changed" in answer.json()["error"]
        metrics = server.http.get("/metrics").text
        assert "bessemer_broken_routes 1.0" in metrics


def test_each_answered_call_is_journalled_once(server: Server) -> None:
    ids = {server.predict({"inputs": ["a", "b"]}).headers["x-call-id"] for _ in range(20)}
    server.predict({"inputs": "a"}, route="nowhere")
    metrics = server.http.get("/metrics").text
    assert 'bessemer_requests_total{outcome="answered",route="small"} 20.0' in metrics
    assert 'bessemer_texts_total{route="small"} 40.0' in metrics
    server.serving._journal.rotate()
    calls.drain(server.platform.home)
    calls.drain(server.platform.home)
    with server.platform.home.database.begin() as connection:
        rows = connection.execute(sa.select(tables.calls)).mappings().all()
    assert {row["id"] for row in rows} == ids
    assert len(rows) == 20
    assert all(row["record"]["texts"] == 2 for row in rows)


def test_a_full_journal_refuses_the_call(server: Server, monkeypatch) -> None:
    def full(line: bytes) -> None:
        raise errors.StorageError("The disk is full.")

    monkeypatch.setattr(server.serving._journal, "append", full)
    assert server.predict({"inputs": "a"}).status_code == 507


def test_the_client_gives_what_the_platform_gives(server: Server, tmp_path: Path) -> None:
    client = bessemer.connect(server.url, server.owner)
    platform = server.platform
    assert client.runs.list() == platform.runs.list()
    assert client.runs.list("nothing") == []
    assert client.releases.show("small") == platform.releases.show("small")
    assert client.releases.verify("small@1") == platform.releases.verify("small@1")
    assert client.deploy("small@1", "other").route == "other"
    assert client.deployments.list() == platform.deployments.list()
    assert client.deployments.list()[0].by == server.owner.split("_")[1]
    made = client.keys.create("remote")
    assert client.keys.revoke(made.id) in platform.keys.list()
    with pytest.raises(errors.UnknownNameError, match="no release 'smal'"):
        client.releases.show("smal")
    with pytest.raises(errors.ConflictError):
        client.deploy("small@1", "other")
    with pytest.raises(errors.AuthenticationError):
        bessemer.connect(server.url, "bsm_x").runs.list()
    with pytest.raises(errors.ForbiddenError):
        bessemer.connect(server.url, server.caller).runs.list()
    with pytest.raises(errors.OperatorError, match="did not answer"):
        bessemer.connect("http://127.0.0.1:9", server.owner).runs.list()


def test_a_project_runs_at_a_distance(server: Server, tmp_path: Path) -> None:
    client = bessemer.connect(server.url, server.owner)
    place = write_project(tmp_path / "far", "seed: 0\n", name="far")
    found = client.check(place)
    assert found.dataset.counts == {"train": 60, "validation": 24, "test": 36}
    done = client.prepare(place)
    assert done.state == "succeeded"
    assert done.project == "far"
    (place / "table.csv").write_text("text,label\na,b\n")
    with pytest.raises(BessemerError, match=r"one label|one example|no rows"):
        client.prepare(place)
    assert client.runs.list("far")[0].state == "failed"
    headers = {"Authorization": f"Bearer {server.owner}"}

    def post(text: str, files: dict[str, str]) -> httpx.Response:
        body = {"project": text, "files": files}
        return httpx.post(f"{server.url}/api/v1/runs", json=body, headers=headers)

    # A project from elsewhere may not read this machine's files.
    for text in (
        "name: x\ndata: {source: /etc/passwd}",
        f"name: x\nbase: {tmp_path}\ndata: {{source: 'public:banking77/train.csv'}}",
    ):
        answer = post(text, {})
        run = client.runs.show(answer.json()["id"]) if answer.status_code == 202 else None
        deadline = time.monotonic() + 20
        while run is not None and run.state == "running" and time.monotonic() < deadline:
            time.sleep(0.1)
            run = client.runs.show(run.id)
        assert answer.status_code == 400 or run.state == "failed"
    assert post("name: x\ndata: {source: t.csv}", {"t.csv": "0" * 64}).status_code == 400
    assert post("name: x\ndata: {source: t.csv}", {"t.csv": "../../key"}).status_code == 400
    assert post("nam: x", {}).status_code == 400
    assert httpx.put(f"{server.url}/api/v1/files/xyz", headers=headers).status_code == 400
    wrong = httpx.put(f"{server.url}/api/v1/files/{'0' * 64}", content=b"x", headers=headers)
    assert wrong.status_code == 400
