"""The protocols over real sockets, asked by the client packages that people use."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import random
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tritonclient.http as triton
from huggingface_hub import InferenceClient, close_session
from huggingface_hub.errors import HfHubHTTPError
from tests.conftest import small_rows
from tests.server import Server
from tritonclient.utils import InferenceServerException

from bessemer.core.errors import NotReadyError, OverloadedError, StorageError
from bessemer.http.middleware import MOST_BODY_BYTES

TEXTS = ["two payments were taken", "退款在哪里 🙃", "", "a\x00b", "مرحبا"]
# All different, since equal texts in a batch are computed once.
LONG = [f"{number} where is my refund, and when do I get it" for number in range(1000)]
INFER = "/v2/models/small/infer"
TIMES = ("x-tokenization-time", "x-queue-time", "x-inference-time", "x-total-time")


OPENED: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the clients' connections; one that is left open is a warning at some later time."""
    yield
    while OPENED:
        OPENED.pop().close()
    close_session()


@pytest.fixture
def client(shared: Server) -> Iterator[Triton]:
    with Triton(shared) as found:
        yield found


class Triton(triton.InferenceServerClient):
    """Triton's client as it is, with the key in each call."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.url.removeprefix("http://"))
        self.key = {"headers": {"Authorization": f"Bearer {server.caller}"}}

    def ask(self, texts: list[str], *, shape: list[int] | None = None, **options: Any) -> Any:
        tensor = triton.InferInput("text", shape or [len(texts)], "BYTES")
        values = np.array(texts, dtype=np.object_).reshape(tensor.shape())
        tensor.set_data_from_numpy(values, binary_data=options.pop("binary", True))
        headers = dict(self.key["headers"])
        return self.infer("small", [tensor], headers=headers, **options)


def as_openai(server: Server, **options: Any) -> openai.OpenAI:
    options = {"api_key": server.caller, "max_retries": 0, **options}
    OPENED.append(openai.OpenAI(base_url=f"{server.url}/v1", **options))
    return OPENED[-1]


def binary(texts: list[bytes], shape: list[int] | None = None, **changes: Any) -> tuple[bytes, int]:
    """Return a body with a binary tensor, and the length of its JSON."""
    data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    tensor = {
        "name": "text",
        "shape": shape or [len(texts)],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(data)},
        **changes,
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + data, len(head)


def post(server: Server, body: bytes, length: object, path: str = INFER) -> httpx.Response:
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    return server.http.post(path, content=body, headers=headers)


# Triton's client ---------------------------------------------------------------------------------


def test_tritons_client_finds_everything(shared: Server, client: Triton) -> None:
    assert client.is_server_live(**client.key)
    assert client.is_server_ready(**client.key)
    assert client.is_model_ready("small", **client.key)
    assert client.is_model_ready("small", "small@1", **client.key)
    assert not client.is_model_ready("small", "small@2", **client.key)
    assert not client.is_model_ready("smal", **client.key)
    assert "binary_tensor_data" in client.get_server_metadata(**client.key)["extensions"]
    described = client.get_model_metadata("small", "small@1", **client.key)
    assert described["versions"] == ["small@1"]
    config = client.get_model_config("small", **client.key)
    assert config["input"] == [{"name": "text", "data_type": "TYPE_STRING", "dims": [-1]}]
    assert [one["name"] for one in config["output"]] == [o["name"] for o in described["outputs"]]
    [entry] = client.get_model_repository_index(**client.key)
    assert entry == {"name": "small", "version": "small@1", "state": "READY", "reason": ""}
    with pytest.raises(InferenceServerException, match="no API key"):
        client.get_server_metadata()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"binary": False},
        {"shape": [len(TEXTS), 1]},
        {"shape": [len(TEXTS), 1], "binary": False},
        {"request_compression_algorithm": "gzip"},
        {"request_compression_algorithm": "deflate"},
        {"model_version": "small@1"},
        {"timeout": 60_000_000},
    ],
)
def test_tritons_client_infers(shared: Server, client: Triton, options: dict[str, Any]) -> None:
    wanted = shared.predict({"inputs": TEXTS}).json()
    found = client.ask(TEXTS, request_id="7", **options)
    assert found.get_response()["id"] == "7"
    assert found.get_response()["model_version"] == "small@1"
    assert [label.decode() for label in found.as_numpy("label")] == [one["label"] for one in wanted]
    assert found.as_numpy("score").tolist() == [one["score"] for one in wanted]
    assert found.as_numpy("probabilities").shape == (len(TEXTS), 4)
    assert found.as_numpy("probabilities").max(axis=1).tolist() == found.as_numpy("score").tolist()


def test_tritons_client_chooses_outputs(client: Triton) -> None:
    outputs = [
        triton.InferRequestedOutput("score", binary_data=False),
        triton.InferRequestedOutput("label"),
    ]
    found = client.ask(TEXTS, outputs=outputs)
    assert [one["name"] for one in found.get_response()["outputs"]] == ["score", "label"]
    assert "data" in found.get_output("score")
    assert "data" not in found.get_output("label")
    assert len(found.as_numpy("label")) == len(found.as_numpy("score")) == len(TEXTS)
    assert found.as_numpy("probabilities") is None
    assert client.ask([], shape=[0]).as_numpy("probabilities").shape == (0, 4)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"model_version": "small@2"}, "404", "no version 'small@2'"),
        ({"outputs": [triton.InferRequestedOutput("logits")]}, "400", "no output 'logits'"),
        ({"outputs": [triton.InferRequestedOutput("label", class_count=2)]}, "400", "classific"),
        ({"sequence_id": 3}, "400", "sequence_id"),
        ({"priority": 1}, "400", "priority"),
        ({"parameters": {"top_k": 1}}, "400", "top_k"),
        ({"timeout": 1}, "504", "time|within"),
    ],
)
def test_tritons_client_is_told_what_is_wrong(
    client: Triton, options: dict[str, Any], status: str, message: str
) -> None:
    with pytest.raises(InferenceServerException, match=message) as caught:
        client.ask(LONG[:200], **options)
    assert caught.value.status() == status


def test_owners_load_and_unload(server: Server) -> None:
    with Triton(server) as client:
        owner = {"headers": {"Authorization": f"Bearer {server.owner}"}}
        with pytest.raises(InferenceServerException, match="may only predict"):
            client.unload_model("small", **client.key)
        client.unload_model("small", **owner)
        assert not client.is_model_ready("small", **owner)
        [entry] = client.get_model_repository_index(**owner)
        assert entry["state"] == "UNAVAILABLE"
        assert server.predict({"inputs": "a"}).status_code == 503
        client.load_model("small", **owner)
        assert client.is_model_ready("small", **owner)
        assert server.predict({"inputs": "a"}).status_code == 200
        for call in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException) as caught:
                call("nowhere", **owner)
            assert caught.value.status() == "404"
        with pytest.raises(InferenceServerException, match="config"):
            client.load_model("small", config="{}", **owner)


BODY, LENGTH = binary([b"one", b"two"])


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (BODY, None),
        (BODY, LENGTH - 1),
        (BODY, LENGTH + 1),
        (BODY, len(BODY) + 1),
        (BODY, 0),
        (BODY, -1),
        (BODY, "many"),
        (BODY, 10**12),
        (BODY[:-1], LENGTH),
        (BODY + b"x", LENGTH),
        (BODY[:LENGTH], LENGTH),
        (BODY[:LENGTH] + struct.pack("<I", 2**32 - 1) + BODY[LENGTH + 4 :], LENGTH),
        (BODY[:LENGTH] + struct.pack("<I", 2) + BODY[LENGTH + 4 :], LENGTH),
        binary([b"\xff\xfe"]),
        binary([b"\xed\xa0\xbd"]),  # half a character
        binary([b"one"], [2]),
        binary([b"one"], [-1]),
        binary([b"one"], [1, 1, 1]),
        binary([b"one"], [2**62]),
        binary([b"one"], datatype="FP32"),
        binary([b"one"], data=["one"]),
        binary([b"one"], parameters={}),
        binary([b"one"], parameters={"binary_data_size": -7}),
        binary([b"one"], parameters={"binary_data_size": 2**70}),
        binary([b"one"], parameters={"binary_data_size": 7, "shared_memory_region": "x"}),
    ],
)
def test_tensors_that_lie(shared: Server, body: bytes, length: object) -> None:
    answer = post(shared, body, length)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_type"] == "RequestError"


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([["a"], ["b"]], [2]), (["a", "b"], [1]), ([["a", "b"]], [1, 2]),
        ([["a"], ["b", "c"]], [2, 1]), ([[["a"]]], [1, 1]), ([None], [1]), ([7], [1]),
        (["a"], None), (["a"], []), (["a"], "1"), ({"a": 1}, [1]),
    ],
)  # fmt: skip
def test_json_tensors_that_lie(shared: Server, data: Any, shape: Any) -> None:
    tensor = {"name": "text", "datatype": "BYTES", "shape": shape, "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    assert post(shared, body, None).status_code == 400


def test_no_mutation_of_a_body_breaks_the_server(shared: Server) -> None:
    whole, length = binary([b"one", "zwölf".encode(), b""])
    chance = random.Random(7)
    for _ in range(300):
        body = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        del body[chance.choice([len(body), chance.randrange(len(body))]) :]
        answer = post(shared, bytes(body), chance.choice([length, length, len(body)]))
        assert answer.status_code in (200, 400), (bytes(body), answer.text)


# OpenAI's client ---------------------------------------------------------------------------------


def test_openais_client_lists_models(shared: Server) -> None:
    client = as_openai(shared)
    assert [model.id for model in client.models.list()] == ["small"]
    assert client.models.retrieve("small").owned_by == "bessemer"
    with pytest.raises(openai.NotFoundError, match="Did you mean 'small'"):
        client.models.retrieve("smal")
    with pytest.raises(openai.AuthenticationError):
        as_openai(shared, api_key="sk-false").models.list()


def test_openais_client_embeds(shared: Server) -> None:
    create = as_openai(shared).embeddings.create
    found = create(model="small", input=TEXTS, user="someone")
    vectors = np.array([one.embedding for one in found.data])
    assert [one.index for one in found.data] == list(range(len(TEXTS)))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert found.usage.prompt_tokens == found.usage.total_tokens > len(TEXTS)
    assert found.model == "small"
    numbers = create(model="small", input=TEXTS[0], encoding_format="float")
    assert numbers.data[0].embedding == pytest.approx(vectors[0], abs=1e-6)
    short = np.array(create(model="small", input=TEXTS[0], dimensions=8).data[0].embedding)
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-5)
    assert short / short[0] == pytest.approx(vectors[0][:8] / vectors[0][0], rel=1e-3)
    resident = shared.serving.plane.routing.served["small"].resident
    ids = [row.tolist() for row in resident.encode(TEXTS[:2]).features]
    for given in (ids, ids[0]):
        same = create(model="small", input=given)
        wanted = vectors[: len(same.data)]
        assert np.array([one.embedding for one in same.data]) == pytest.approx(wanted, abs=1e-5)
    assert same.usage.total_tokens == len(ids[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": []}, {"input": [[]]}, {"input": [1, "a"]}, {"input": ["a", [1]]}, {"input": 7},
        {"input": [True]}, {"input": [-1]}, {"input": [10**6]}, 
        {"input": [[1], 2]}, {"input": [1.5]}, {"input": None}, {"dimensions": 10_000},
        {"dimensions": 0}, {"encoding_format": "hex"}, {"extra_body": {"odd": 1}},
        {"extra_headers": {"X-Request-Timeout-Ms": "soon"}},
    ],
)  # fmt: skip
def test_openais_client_is_told_what_is_wrong(shared: Server, wrong: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        as_openai(shared).embeddings.create(**{"model": "small", "input": "a", **wrong})
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code == "RequestError"
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_openais_client_retries_what_a_retry_may_mend(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = shared.serving.plane
    whole, failing = plane.embed, list[Exception]()

    async def failing_at_first(*given: Any, **options: Any) -> Any:
        if failing:
            raise failing.pop()
        return await whole(*given, **options)

    def ask(retries: int, *errors: Exception) -> openai.types.CreateEmbeddingResponse:
        failing[:] = errors
        client = as_openai(shared, max_retries=retries)
        return client.embeddings.create(model="small", input="a")

    monkeypatch.setattr(plane, "embed", failing_at_first)
    full = OverloadedError("The queue is full.", seconds=0.05)
    began = time.monotonic()
    assert ask(2, full, full).data
    assert time.monotonic() - began < 2
    with pytest.raises(openai.RateLimitError) as caught:
        ask(0, full)
    headers = caught.value.response.headers
    assert (headers["retry-after-ms"], headers["retry-after"]) == ("50", "1")
    assert headers["x-should-retry"] == "true"
    assert ask(1, NotReadyError("It loads.")).data
    # What a retry cannot mend is not asked again.
    with pytest.raises(openai.InternalServerError) as hopeless:
        ask(1, StorageError("The disk is full."))
    assert hopeless.value.status_code == 507


def test_errors_under_v1_have_openais_shape(shared: Server) -> None:
    answers = [
        (shared.http.get("/v1/nowhere"), 404),
        (shared.http.get("/v1/embeddings"), 405),
        (shared.http.post("/v1/embeddings", content=b"{"), 400),
        (shared.http.post("/v1/embeddings", content=b"a" * (MOST_BODY_BYTES + 1)), 413),
        (httpx.get(f"{shared.url}/v1/models"), 401),
    ]
    for answer, status in answers:
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


# Hugging Face's client ---------------------------------------------------------------------------


def test_hugging_faces_client_classifies(shared: Server) -> None:
    client = InferenceClient(model=f"{shared.url}/predict/small", token=shared.caller)
    wanted = shared.predict({"inputs": TEXTS[0], "top_k": 3}).json()
    assert client.text_classification(TEXTS[0]) == wanted[:1]
    assert client.text_classification(TEXTS[0], top_k=3) == wanted
    assert client.text_classification(TEXTS[0], top_k=1, function_to_apply="softmax") == wanted[:1]
    with pytest.raises(HfHubHTTPError) as caught:
        client.text_classification(TEXTS[0], function_to_apply="none")
    assert caught.value.response.status_code == 400
    several = {"inputs": TEXTS, "parameters": {}}
    assert [len(row) for row in shared.predict(several).json()] == [1] * len(TEXTS)
    for odd in ({"ignore_labels": ["a"]}, {"aggregation_strategy": "simple"}, {"stride": 1}):
        assert shared.predict({"inputs": "a", "parameters": odd}).status_code == 400


def test_sets_of_labels_hold_more_the_more_is_promised(shared: Server) -> None:
    texts = [*TEXTS, *(text for text, _ in small_rows()[::7])]
    plain = shared.predict({"inputs": texts}).json()
    every = shared.predict({"inputs": texts, "top_k": 4}).json()
    contents = shared.serving.plane.routing.route("small", "x").resident.contents
    before: list[list[dict[str, Any]]] = [[] for _ in texts]
    for coverage in (0.8, 0.9, 0.95):
        least = contents.calibration[f"set_{coverage}"]
        found = shared.predict({"inputs": texts, "label_sets": coverage}).json()
        assert found == [[one for one in row if one["score"] >= least] for row in every]
        assert all(row[: len(less)] == less for row, less in zip(found, before, strict=True))
        before = found
    for alone in ({"label_sets": 0.95}, {"parameters": {"label_sets": 0.95}}):
        [row] = shared.predict({"inputs": texts[:1], **alone}).json()
        assert row == before[0]
    assert shared.predict({"inputs": texts[0], "label_sets": 0.95}).json() == before[0]
    # 36 validation rows are too few to promise 0.99, and a level in between is not kept.
    for body in ({"label_sets": 0.99}, {"label_sets": 0.85}, {"parameters": {"label_sets": 0.99}}):
        odd = shared.predict({"inputs": "a", **body})
        assert odd.status_code == 400
        assert "Known: 0.8, 0.9, 0.95." in odd.json()["error"]
    assert shared.predict({"inputs": "a", "label_sets": 1}).status_code == 400
    both = shared.predict({"inputs": "a", "label_sets": 0.9, "top_k": 2})
    assert (both.status_code, "exclude" in both.json()["error"]) == (400, True)
    # Asked at once, each is answered what it asked for.
    bodies = [{"inputs": texts[0]}, {"inputs": texts[0], "label_sets": 0.95}] * 8
    with ThreadPoolExecutor(16) as pool:
        answers = [answer.json() for answer in pool.map(shared.predict, bodies)]
    assert answers == [plain[:1], before[0]] * 8


def test_hugging_faces_client_extracts_features(shared: Server) -> None:
    client = InferenceClient(model=f"{shared.url}/embed/small", token=shared.caller)
    vectors = client.feature_extraction(TEXTS)
    assert vectors.shape[0] == len(TEXTS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    one = client.feature_extraction(TEXTS[0], normalize=True, truncate=True, dimensions=8)
    assert one.shape == (1, 8)
    for odd in ({"normalize": False}, {"truncate": False}, {"prompt_name": "query"},
                {"truncation_direction": "left"}, {"encoding_format": "base64"}):  # fmt: skip
        with pytest.raises(HfHubHTTPError):
            client.feature_extraction("a", **odd)


# All of them -------------------------------------------------------------------------------------


def everywhere(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return for each protocol's address a body that asks for `texts`."""
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return {
        "/predict/small": {"inputs": texts},
        "/embed/small": {"inputs": texts},
        INFER: {"inputs": [tensor]},
        "/v2/models/small/versions/small@1/infer": {"inputs": [tensor]},
        "/v1/embeddings": {"model": "small", "input": texts},
    }


@pytest.mark.parametrize("path", everywhere([]))
def test_every_protocol(shared: Server, path: str) -> None:
    def ask(texts: list[str], **options: Any) -> httpx.Response:
        return shared.http.post(path, json=everywhere(texts)[path], **options)

    answer = ask(TEXTS, headers={"X-Request-Timeout-Ms": "60000"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-release"] == "small@1"
    assert answer.headers["x-call-id"]
    times = [float(answer.headers[name]) for name in TIMES]
    assert min(times) >= 0
    assert times[-1] > 0
    # A deadline that passes; what had not begun is not computed.
    late = ask(LONG, headers={"X-Request-Timeout-Ms": "5"})
    assert late.status_code == 504
    assert late.headers["x-should-retry"] == "true"
    for odd in ("0", "-1", "1e3", "", "9" * 20):
        assert ask(["a"], headers={"X-Request-Timeout-Ms": odd}).status_code == 400
    # Bodies.
    deep = b'{"inputs": ' + b"[" * 1000 + b"]" * 1000 + b"}"
    for body, status in (
        (b'"' + b"a" * 10_000_000 + b'"', 413),
        (deep, 400),
        (b"[" * 1000, 400),
        (b'{"inputs": "\xed\xa0\xbd"}', 400),
        (b"\x00", 400),
    ):
        assert shared.http.post(path, content=body).status_code == status
    body = json.dumps(everywhere(TEXTS)[path]).encode()
    bomb = gzip.compress(b" " * 10_000_000)
    for coded, encoding, status in (
        (gzip.compress(body), "gzip", 200),
        (zlib.compress(body), "deflate", 200),
        (body, "identity", 200),
        (gzip.compress(body)[:-9], "gzip", 400),
        (gzip.compress(body) + b"x", "gzip", 400),
        (body, "gzip", 400),
        (gzip.compress(body), "br", 400),
        (bomb, "gzip", 413),
    ):
        answer = shared.http.post(path, content=coded, headers={"Content-Encoding": encoding})
        assert answer.status_code == status, (encoding, answer.text)
    surrogate = json.dumps(everywhere(["\ud83d"])[path]).encode()
    assert shared.http.post(path, content=surrogate).status_code == 400


def test_all_protocols_answer_alike(shared: Server, client: Triton) -> None:
    texts = [text for text, _ in small_rows()[::10]] + TEXTS
    labels = [one["label"] for one in shared.predict({"inputs": texts}).json()]
    assert [label.decode() for label in client.ask(texts).as_numpy("label")] == labels
    vectors = shared.http.post("/embed/small", json={"inputs": texts}).json()
    found = as_openai(shared).embeddings.create(model="small", input=texts, encoding_format="float")
    assert [one.embedding for one in found.data] == vectors


# Clients that are slow or half gone --------------------------------------------------------------


def connect(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(server: Server, length: int, path: str = "/predict/small") -> bytes:
    key = server.owner if path.startswith("/api/") else server.caller
    verb = "PUT" if path.startswith("/api/") else "POST"
    lines = [f"{verb} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def seconds_until_hung_up(caller: socket.socket, drops: bytes) -> float:
    """Send a byte every 20 ms until the server hangs up."""
    began = time.monotonic()
    caller.settimeout(0.02)
    for drop in itertools.cycle(drops or [None]):
        assert time.monotonic() - began < 5
        with contextlib.suppress(TimeoutError):
            try:
                if drop is not None:
                    caller.send(bytes([drop]))
                if not caller.recv(65_536):
                    break
            except ConnectionError:
                break
    return time.monotonic() - began


def slowness(server: Server, first: bytes, drops: bytes) -> float:
    """Return after how many seconds a client is hung up on."""
    with connect(server) as caller:
        caller.sendall(first)
        if first.endswith(b"}"):
            assert caller.recv(65_536).startswith(b"HTTP/1.1 200")
        return seconds_until_hung_up(caller, drops)


def test_slow_clients_are_hung_up_on(shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bessemer.http.server.HEAD_SECONDS", 0.5)
    monkeypatch.setattr("bessemer.http.server.BODY_SECONDS", 0.5)
    whole = head(shared, 15) + b'{"inputs": "a"}'
    cases = {
        "silent": (b"", b""),
        "head": (b"GET /v2 HTTP/1.1\r\nX-Slow: ", b"a"),
        "empty lines": (b"\r\n", b"\r\n"),
        "body": (head(shared, 1000), b"a"),
        "upload": (head(shared, 1000, f"/api/v1/files/{'0' * 64}"), b"a"),
        "refused": (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b"a"),
        "second head": (whole, b"GET /v2 HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        "empty lines after an answer": (whole, b"\r\n"),
    }
    with ThreadPoolExecutor(len(cases)) as clients:
        took = {name: clients.submit(slowness, shared, *case) for name, case in cases.items()}
    for name, seconds in took.items():
        assert 0.3 < seconds.result() < 3, name
    assert shared.predict({"inputs": "a"}).status_code == 200


def test_a_long_body_that_comes_fast_enough_is_waited_for(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bessemer.http.server.BODY_SECONDS", 0.3)
    body = json.dumps({"inputs": ["a" * 100_000]}).encode()
    with connect(shared) as caller:
        caller.sendall(head(shared, len(body)))
        for place in range(0, len(body), 10_000):
            time.sleep(0.08)
            caller.sendall(body[place : place + 10_000])
        assert caller.recv(65_536).startswith(b"HTTP/1.1 200")


def test_half_closed_streams(shared: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Who has nothing more to send is taken to be gone; it is never told apart from a hang-up."""
    long = json.dumps({"inputs": LONG}).encode()
    for sent in (
        b"",
        b"POST /predict/sm",
        head(shared, 100),
        head(shared, 100) + b'{"inputs": ',
        head(shared, 100, f"/api/v1/files/{'0' * 64}") + b"abc",
        head(shared, len(long)) + long,
    ):
        with connect(shared) as caller:
            caller.sendall(sent)
            time.sleep(0.05)
            caller.shutdown(socket.SHUT_WR)
            assert caller.recv(65_536) == b""
    deadline = time.monotonic() + 5
    while shared.serving.plane.waiting[0]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert shared.predict({"inputs": "a"}).status_code == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
