"""The Open Inference Protocol over gRPC, asked by Triton's client over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import uvloop
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.server import Server
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

import bessemer.http.grpc
from bessemer.core.errors import OverloadedError
from bessemer.http.grpc import server as served
from bessemer.http.grpc.messages import MESSAGES, SERVICE
from bessemer.http.metrics import Metrics
from bessemer.http.server import listen

FOLDER = Path(bessemer.http.grpc.__file__).parent
TEXTS = ["two payments were taken", "退款在哪里 🙃", "", "a\x00b", "مرحبا"]
# All different, since equal texts in a batch are computed once.
LONG = [f"{number} where is my refund, and when do I get it" for number in range(1000)]
TIMES = ("x-tokenization-time", "x-queue-time", "x-inference-time", "x-total-time")
Code = grpc.StatusCode


class Beside(NamedTuple):
    """gRPC beside a running server, on the same data plane."""

    server: Server
    address: str
    metrics: Metrics

    def key(self, who: str = "caller") -> dict[str, str]:
        return {"authorization": f"Bearer {getattr(self.server, who)}"}

    def call(self, name: str, message: bytes, **options: Any) -> tuple[bytes, Any]:
        """Return what a method answers to a message's bytes, and how the call went."""
        options = {"metadata": list(self.key().items()), "timeout": 20, **options}
        with grpc.insecure_channel(self.address) as channel:
            return channel.unary_unary(f"/{SERVICE}/{name}").with_call(message, **options)


@contextlib.contextmanager
def beside(server: Server) -> Iterator[Beside]:
    """Serve gRPC in an event loop of its own."""
    bound = listen("127.0.0.1", 0)
    address = f"127.0.0.1:{bound.getsockname()[1]}"
    metrics = Metrics(server.serving.plane)
    service = served.Service(server.platform, server.serving.plane, metrics)
    started = threading.Event()
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        door = served.Server(service, bound)
        await door.start()
        started.set()
        await stop.wait()
        await door.stop(5)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield Beside(server, address, metrics)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def door(shared: Server) -> Iterator[Beside]:
    """Return gRPC for tests that change nothing."""
    with beside(shared) as found:
        yield found


@pytest.fixture
def own(server: Server) -> Iterator[Beside]:
    """Return gRPC that a test may change."""
    with beside(server) as found:
        yield found


class Triton(triton.InferenceServerClient):
    """Triton's client as it is, with the key in each call."""

    def __init__(self, door: Beside, who: str = "caller") -> None:
        super().__init__(door.address)
        self.key = {"headers": door.key(who)}

    def ask(self, texts: list[str], *, shape: list[int] | None = None, **options: Any) -> Any:
        tensor = triton.InferInput("text", shape or [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array(texts, dtype=np.object_).reshape(tensor.shape()))
        return self.infer("small", [tensor], **self.key, **options)


@pytest.fixture
def client(door: Beside) -> Iterator[Triton]:
    with Triton(door) as found:
        yield found


def request(
    texts: list[bytes], *, raw: bool = True, **changes: Any
) -> service_pb2.ModelInferRequest:
    """Return a request with one tensor; `changes` are of the tensor."""
    tensor: dict[str, Any] = {"name": "text", "shape": [len(texts)], "datatype": "BYTES"}
    if not raw:
        tensor["contents"] = {"bytes_contents": texts}
    packed = [b"".join(struct.pack("<I", len(text)) + text for text in texts)] if raw else []
    return service_pb2.ModelInferRequest(
        model_name="small", inputs=[tensor | changes], raw_input_contents=packed
    )


def refused(door: Beside, message: bytes, name: str = "ModelInfer", **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        door.call(name, message, **options)
    return caught.value


# The messages ------------------------------------------------------------------------------------


def test_the_descriptor_is_what_the_proto_says(tmp_path: Path) -> None:
    written = tmp_path / "inference.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{FOLDER}", "inference.proto"]
    subprocess.run([*command, f"--descriptor_set_out={written}"], check=True)
    committed = FileDescriptorSet.FromString((FOLDER / "inference.binpb").read_bytes())
    assert FileDescriptorSet.FromString(written.read_bytes()) == committed, "run `make proto`"


def test_names_and_numbers_are_those_of_tritons_client() -> None:
    def fields(message: Any) -> dict[str, Any]:
        return {f.name: (f.number, f.type, f.is_repeated, f.message_type) for f in message.fields}

    def same(ours: Any, theirs: Any, seen: set[str]) -> None:
        if ours.full_name in seen:
            return
        seen.add(ours.full_name)
        assert ours.full_name == theirs.full_name
        others = fields(theirs)
        for name, (*told, message) in fields(ours).items():
            *wanted, other = others[name]
            assert told == wanted, (ours.full_name, name)
            if message is not None:
                same(message, other, seen)
        assert {o.name for o in ours.oneofs} == {o.name for o in theirs.oneofs}

    methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    seen: set[str] = set()
    for name, ours in MESSAGES.items():
        same(ours.request.DESCRIPTOR, methods[name].input_type, seen)
        same(ours.response.DESCRIPTOR, methods[name].output_type, seen)
    assert len(seen) > 20


def test_our_messages_stand_beside_a_clients() -> None:
    ours, theirs = MESSAGES["ModelInfer"].request, service_pb2.ModelInferRequest
    assert ours is not theirs
    assert ours.FromString(request([b"a"]).SerializeToString()).raw_input_contents


# Triton's client ---------------------------------------------------------------------------------


def test_tritons_client_finds_everything(client: Triton) -> None:
    assert client.is_server_live(**client.key)
    assert client.is_server_ready(**client.key)
    assert client.is_model_ready("small", **client.key)
    assert client.is_model_ready("small", "small@1", **client.key)
    assert not client.is_model_ready("small", "small@2", **client.key)
    assert not client.is_model_ready("smal", **client.key)
    assert client.get_server_metadata(**client.key).name == "bessemer"
    described = client.get_model_metadata("small", "small@1", as_json=True, **client.key)
    assert described["versions"] == ["small@1"]
    assert described["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": ["-1"]}]
    assert [one["name"] for one in described["outputs"]] == ["label", "score", "probabilities"]
    index = client.get_model_repository_index(as_json=True, **client.key)
    assert index["models"] == [{"name": "small", "version": "small@1", "state": "READY"}]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shape": [len(TEXTS), 1]},
        {"compression_algorithm": "gzip"},
        {"compression_algorithm": "deflate"},
        {"model_version": "small@1"},
        {"timeout": 60_000_000},
        {"timeout": 0},
        {"client_timeout": 60},
    ],
)
def test_tritons_client_infers(door: Beside, client: Triton, options: dict[str, Any]) -> None:
    wanted = door.server.predict({"inputs": TEXTS}).json()
    found = client.ask(TEXTS, request_id="7", **options)
    assert found.get_response().id == "7"
    assert found.get_response().model_version == "small@1"
    assert [label.decode() for label in found.as_numpy("label")] == [one["label"] for one in wanted]
    assert found.as_numpy("score").tolist() == [one["score"] for one in wanted]
    assert found.as_numpy("probabilities").shape == (len(TEXTS), 4)
    assert found.as_numpy("probabilities").max(axis=1).tolist() == found.as_numpy("score").tolist()


def test_tritons_client_chooses_outputs(client: Triton) -> None:
    names = ["score", "label"]
    found = client.ask(TEXTS, outputs=[triton.InferRequestedOutput(name) for name in names])
    assert [one.name for one in found.get_response().outputs] == names
    assert len(found.as_numpy("label")) == len(found.as_numpy("score")) == len(TEXTS)
    assert client.ask([], shape=[0]).as_numpy("probabilities").shape == (0, 4)


def test_tritons_asynchronous_client_infers(door: Beside) -> None:
    import tritonclient.grpc.aio as asynchronous

    async def ask() -> list[bytes]:
        async with asynchronous.InferenceServerClient(door.address) as client:
            tensor = asynchronous.InferInput("text", [1], "BYTES")
            tensor.set_data_from_numpy(np.array(TEXTS[:1], dtype=np.object_))
            coming = [client.infer("small", [tensor], headers=door.key()) for _ in range(50)]
            return [found.as_numpy("label")[0] for found in await asyncio.gather(*coming)]

    assert asyncio.run(ask()) == [b"double_charge"] * 50


def test_typed_contents_are_answered_with_typed_contents(door: Beside, client: Triton) -> None:
    wanted = client.ask(TEXTS)
    texts = [text.encode() for text in TEXTS]
    for shape in ([len(texts)], [len(texts), 1]):
        asked = request(texts, raw=False, shape=shape)
        answer, call = door.call("ModelInfer", asked.SerializeToString())
        found = service_pb2.ModelInferResponse.FromString(answer)
        assert not found.raw_output_contents
        label, score, probabilities = (output.contents for output in found.outputs)
        assert list(label.bytes_contents) == wanted.as_numpy("label").tolist()
        assert list(score.fp64_contents) == wanted.as_numpy("score").tolist()
        assert (
            list(probabilities.fp64_contents) == wanted.as_numpy("probabilities").ravel().tolist()
        )
        told = dict(call.trailing_metadata())
        assert found.id == told["x-call-id"]
        assert told["x-release"] == "small@1"
        assert all(float(told[name]) >= 0 for name in TIMES)
    assert door.metrics.registry.get_sample_value(
        "bessemer_texts_total", {"route": "small"}
    ) >= 2 * len(TEXTS)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"model_version": "small@2"}, Code.NOT_FOUND, "no version 'small@2'"),
        ({"outputs": [triton.InferRequestedOutput("logits")]}, Code.INVALID_ARGUMENT, "logits"),
        (
            {"outputs": [triton.InferRequestedOutput("label", class_count=2)]},
            Code.INVALID_ARGUMENT,
            "classification",
        ),
        ({"sequence_id": 3}, Code.INVALID_ARGUMENT, "sequence_"),
        ({"priority": 1}, Code.INVALID_ARGUMENT, "priority"),
        ({"parameters": {"top_k": 1}}, Code.INVALID_ARGUMENT, "top_k"),
        ({"timeout": -1}, Code.INVALID_ARGUMENT, "timeout"),
        ({"timeout": 1}, Code.DEADLINE_EXCEEDED, None),
        ({"client_timeout": 0.001}, Code.DEADLINE_EXCEEDED, None),
    ],
)
def test_tritons_client_is_told_what_is_wrong(
    client: Triton, options: dict[str, Any], status: grpc.StatusCode, message: str | None
) -> None:
    with pytest.raises(InferenceServerException, match=message) as caught:
        client.ask(LONG[:200], **options)
    assert caught.value.status() == str(status)


def test_owners_load_and_unload(own: Beside) -> None:
    with Triton(own) as client, Triton(own, "owner") as owner:
        with pytest.raises(InferenceServerException, match="may only predict") as caught:
            client.unload_model("small", **client.key)
        assert caught.value.status() == str(Code.PERMISSION_DENIED)
        owner.unload_model("small", **owner.key)
        assert not client.is_model_ready("small", **client.key)
        (entry,) = client.get_model_repository_index(**client.key).models
        assert entry.state == "UNAVAILABLE"
        with pytest.raises(InferenceServerException) as caught:
            client.ask(["a"])
        assert caught.value.status() == str(Code.UNAVAILABLE)
        owner.load_model("small", **owner.key)
        assert client.ask(["a"]).as_numpy("label").shape == (1,)
        for change in (owner.load_model, owner.unload_model):
            with pytest.raises(InferenceServerException, match="no route 'nowhere'") as caught:
                change("nowhere", **owner.key)
            assert caught.value.status() == str(Code.NOT_FOUND)
        with pytest.raises(InferenceServerException, match="config"):
            owner.load_model("small", config="{}", **owner.key)


# Keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MESSAGES, "ModelStreamInfer", "Nothing"])
@pytest.mark.parametrize("header", [None, "", "Bearer", f"Bearer bsm_{'0' * 12}_{'0' * 64}"])
def test_nothing_is_answered_without_a_key(door: Beside, name: str, header: str | None) -> None:
    metadata = [] if header is None else [("authorization", header)]
    error = refused(door, b"", name, metadata=metadata)
    assert error.code() is Code.UNAUTHENTICATED
    assert dict(error.trailing_metadata())["error-type"] == "AuthenticationError"


@pytest.mark.parametrize("name", [*MESSAGES, "Nothing"])
def test_nothing_is_answered_to_an_annotator(door: Beside, name: str) -> None:
    error = refused(door, b"", name, metadata=list(door.key("annotator").items()))
    assert error.code() is Code.PERMISSION_DENIED


def test_an_rpc_that_does_not_exist(door: Beside, client: Triton) -> None:
    error = refused(door, b"", "Nothing")
    assert error.code() is Code.UNIMPLEMENTED
    assert "ModelInfer" in error.details()
    with pytest.raises(InferenceServerException) as caught:
        client.get_inference_statistics(**client.key)
    assert caught.value.status() == str(Code.UNIMPLEMENTED)


def held(door: Beside, metadata: list[tuple[str, str]]) -> Callable[[], Any]:
    """Begin a call whose message never comes; return how to wait for its end."""
    channel = grpc.insecure_channel(door.address)
    never = threading.Event()

    def messages() -> Iterator[bytes]:
        never.wait(10)
        yield from ()

    call = channel.stream_unary(f"/{SERVICE}/ModelInfer").future(messages(), metadata=metadata)

    def end() -> Any:
        try:
            return call.exception(timeout=10)
        finally:
            never.set()
            channel.close()

    return end


def test_a_message_that_does_not_come(door: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "BODY_SECONDS", 0.3)
    began = time.monotonic()
    assert held(door, [])().code() is Code.UNAUTHENTICATED
    error = held(door, list(door.key().items()))()
    assert time.monotonic() - began < 5
    assert error.code() is Code.DEADLINE_EXCEEDED
    assert "message" in error.details()


# Bad input ---------------------------------------------------------------------------------------


def lies() -> Iterator[tuple[str, bytes]]:
    """Return messages that are wrong, each with what is told of it."""

    def one(told: str, message: service_pb2.ModelInferRequest) -> tuple[str, bytes]:
        return told, message.SerializeToString()

    yield one("shape", request([b"one"], shape=[2]))
    yield one("shape", request([b"one"], shape=[-1]))
    yield one("shape", request([b"one"], shape=[1, 1, 1]))
    yield one("shape", request([b"one"], shape=[2**62]))
    yield one("shape", request([b"one"], shape=[]))
    yield one("datatype", request([b"one"], datatype="FP32"))
    yield one("inputs", request([b"one"], name="image"))
    yield one(
        "shared_memory", request([b"a"], parameters={"shared_memory_region": {"int64_param": 1}})
    )
    yield one("UTF-8", request([b"\xff\xfe"]))
    yield one("UTF-8", request([b"\xed\xa0\xbd"]))
    yield one("UTF-8", request([b"a", b"\xff"], raw=False))
    yield one("beside raw", request([b"one"], contents={"bytes_contents": [b"one"]}))
    yield one("int_contents", request([], raw=False, contents={"int_contents": [1]}))
    yield one("shape", request([], raw=False, shape=[1]))
    for change in (
        {"raw_input_contents": []},
        {"raw_input_contents": [b"\1\0\0\0a", b"\1\0\0\0b"]},
        {"raw_input_contents": [b"\5\0\0\0a"]},
        {"raw_input_contents": [b"\xff\xff\xff\xff"]},
        {"raw_input_contents": [b"\1\0\0"]},
        {"inputs": []},
        {"parameters": {"timeout": service_pb2.InferParameter()}},
        {"parameters": {"timeout": service_pb2.InferParameter(string_param="soon")}},
        {"outputs": [{"name": "label", "parameters": {"binary_data": {"bool_param": True}}}]},
    ):
        kept = request([b"one"])
        for name in change:
            kept.ClearField(name)
        kept.MergeFrom(service_pb2.ModelInferRequest(**change))
        yield one("", kept)
    yield "no inference.ModelInferRequest", b"\xff\xff\xff\xff"
    yield "no inference.ModelInferRequest", b"\x0a\x02\xff\xfe"  # a name that is no UTF-8
    yield "", b""


@pytest.mark.parametrize(("told", "message"), list(lies()))
def test_messages_that_lie(door: Beside, told: str, message: bytes) -> None:
    error = refused(door, message)
    assert error.code() is Code.INVALID_ARGUMENT, error.details()
    assert told in error.details()


def test_names_that_are_wrong(door: Beside) -> None:
    for name in ("smal", "x" * 500_000, "名" * 100_000):
        asked = request([b"a"])
        asked.model_name = name
        error = refused(door, asked.SerializeToString())
        assert error.code() is Code.NOT_FOUND
        assert "Known: small" in error.details()
        assert len(error.details()) < 500
    asked = service_pb2.RepositoryIndexRequest(repository_name="mine")
    error = refused(door, asked.SerializeToString(), "RepositoryIndex")
    assert error.code() is Code.NOT_FOUND


def test_no_mutation_of_a_message_breaks_the_server(door: Beside) -> None:
    whole = request([b"one", "zwölf".encode(), b""]).SerializeToString()
    chance = random.Random(7)
    allowed = {Code.INVALID_ARGUMENT, Code.NOT_FOUND}
    metadata = list(door.key().items())
    with grpc.insecure_channel(door.address) as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        for _ in range(500):
            message = bytearray(whole)
            for _ in range(chance.randrange(1, 4)):
                message[chance.randrange(len(message))] = chance.randrange(256)
            del message[chance.choice([len(message), chance.randrange(len(message))]) :]
            error = infer.future(bytes(message), metadata=metadata, timeout=20).exception()
            assert error is None or error.code() in allowed, (bytes(message), error)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit(door: Beside, compression: grpc.Compression) -> None:
    asked = request([b"a" * 10_000_000]).SerializeToString()
    error = refused(door, asked, compression=compression)
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in error.details()
    error = refused(door, request([b"a"] * 1025).SerializeToString())
    assert error.code() is Code.INVALID_ARGUMENT
    assert "at most 1024" in error.details()


# When things go wrong ----------------------------------------------------------------------------


def test_errors_become_statuses(door: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = door.server.serving.plane

    def fails(error: Exception) -> Any:
        async def predict(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(plane, "predict", predict)
        return refused(door, request([b"a"]).SerializeToString())

    error = fails(OverloadedError("The queue is full.", seconds=0.0501))
    assert error.code() is Code.RESOURCE_EXHAUSTED
    told = dict(error.trailing_metadata())
    assert (told["retry-after-ms"], told["error-type"]) == ("51", "OverloadedError")
    error = fails(ValueError("a secret"))
    assert error.code() is Code.INTERNAL
    assert "secret" not in str(error)
    failed = {"route": "(unknown)", "outcome": "InternalError"}
    assert door.metrics.registry.get_sample_value("bessemer_requests_total", failed) == 1


def test_a_server_that_drains_is_not_ready_and_answers_what_still_comes(own: Beside) -> None:
    with Triton(own) as client:
        own.server.serving.plane.drain()
        assert client.is_server_live(**client.key)
        assert not client.is_server_ready(**client.key)
        assert not client.is_model_ready("small", **client.key)
        assert client.ask(["a"]).as_numpy("label").shape == (1,)


@pytest.mark.parametrize("how", ["cancel", "deadline", "close"])
def test_a_call_that_nobody_waits_for_leaves_the_queue(
    door: Beside, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    plane = door.server.serving.plane
    asked = request([text.encode() for text in LONG]).SerializeToString()
    channel = grpc.insecure_channel(door.address)
    calls = [
        channel.unary_unary(f"/{SERVICE}/ModelInfer").future(
            asked,
            metadata=list(door.key().items()),
            timeout=0.5 if how == "deadline" else None,
        )
        for _ in range(3)
    ]
    wait(lambda: plane.waiting[0] > 1000)
    if how == "cancel":
        for call in calls:
            call.cancel()
    if how == "close":
        channel.close()
    wait(lambda: plane.waiting[0] == 0)
    channel.close()
    assert door.server.predict({"inputs": "a"}).status_code == 200
    assert caplog.records == []


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)
