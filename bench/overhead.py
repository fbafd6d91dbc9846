"""What serving costs beside computing: the server's CPU-seconds a request, one short text each.

Server and raw engine loop run in this process in turn, on the same texts with the same loaded
release; only the load generator is a process of its own, so its CPU-seconds do not count.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import uvicorn

from bench.banking import ROUTE, banking77
from bench.base import Bench, Row, at_most
from bench.load import Plan, apply
from bessemer.engines.onnx import OnnxEngine
from bessemer.http.app import guarded
from bessemer.http.metrics import Metrics
from bessemer.http.server import listen, settings
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.policies import batches
from bessemer.serve.residents import Resident
from bessemer.service.platform import Platform

CONCURRENCY = 32
ROUNDS = 5


class Clock:
    """Adds up the CPU-seconds that threads spend in some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def over(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is measured."""

        def measured(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                spent = time.thread_time() - began
                with self._lock:
                    self.seconds += spent

        return measured


def measure() -> tuple[list[Row], dict[str, Any]]:
    platform, texts = banking77()
    key = platform.keys.create("bench")
    rounds = []
    with _served(platform) as (url, resident, plane, metrics):
        wanted = resident.decode(resident.encode(texts), resident.logits(texts), 1)
        _over_http(url, key.secret, texts[:500])
        record, answered = plane._answering.record, metrics.answered
        for _ in range(ROUNDS):
            told = {"raw": _raw_loop(resident, texts), "http": _over_http(url, key.secret, texts)}
            plane._answering.record, metrics.answered = (lambda calls: None), (lambda *_: None)
            told["untold"] = _over_http(url, key.secret, texts)
            plane._answering.record, metrics.answered = record, answered
            told["outside"] = _outside(url, key.secret, texts)
            answers = told["http"].pop("answers")
            told["equal"] = sum(a == b for a, b in zip(answers, wanted, strict=True))
            rounds.append(told)
            print(json.dumps({n: t["cpu"] for n, t in told.items() if n != "equal"}), flush=True)
    platform.keys.revoke(key.id)
    platform.home.database.close()
    return _rows(rounds, len(texts)), {
        "rounds": rounds,
        "texts": len(texts),
        "engine": resident.contents.engine,
    }


def _rows(rounds: list[dict[str, Any]], count: int) -> list[Row]:
    def median(of: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(map(of, rounds))

    ratios = [told["http"]["cpu"] / told["raw"]["cpu"] for told in rounds]
    return [
        at_most("requests that failed", max(told["http"]["failed"] for told in rounds), "", 0),
        at_most(
            "answers that differ from those of texts alone",
            max(count - told["equal"] for told in rounds),
            "",
            0,
        ),
        at_most(
            "server CPU-seconds a request / raw loop over length-sorted batches",
            statistics.median(ratios),
            "",
            1 / 0.85,
        ),
        Row("lowest of the rounds", min(ratios), ""),
        Row("highest of the rounds", max(ratios), ""),
        at_most(
            "journal and metrics, of the server's CPU-seconds, paired",
            100 * median(lambda told: told["http"]["cpu"] / told["untold"]["cpu"] - 1),
            "%",
            3,
        ),
        at_most(
            "CPU outside model and tokeniser",
            median(lambda told: told["outside"]["rest"] / count * 1e6),
            "µs/request",
            150,
        ),
        Row(
            f"over HTTP at concurrency {CONCURRENCY}",
            median(lambda told: count / told["http"]["seconds"]),
            "requests/s",
        ),
        Row("raw loop", median(lambda told: count / told["raw"]["seconds"]), "texts/s"),
    ]


@contextmanager
def _served(platform: Platform) -> Iterator[tuple[str, Resident, DataPlane, Metrics]]:
    """Serve in a thread of this process."""
    serving = platform.serving()
    serving.start()
    bound = listen("127.0.0.1", 0)
    metrics = Metrics(serving.plane)
    server = uvicorn.Server(settings(guarded(platform, serving.plane, metrics)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        resident = serving.plane.routing.route(ROUTE).resident
        yield f"http://127.0.0.1:{bound.getsockname()[1]}", resident, serving.plane, metrics
    finally:
        server.should_exit = True
        thread.join()
        serving.stop()
        bound.close()


def _raw_loop(resident: Resident, texts: list[str]) -> dict[str, float]:
    """Run the engine over token ids that are ready, on as many threads as the server has."""
    rows = resident.encode(texts).features
    chosen = [[rows[n] for n in batch] for batch in batches([len(row) for row in rows])]
    engine, pooled = resident.model.engine, resident.model.pooled

    def run(some: list[Any]) -> None:
        engine.run(some, [None] * len(some), pooled=pooled)

    began, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, chosen))
    return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}


def _outside(url: str, key: str, texts: list[str]) -> dict[str, Any]:
    """Return the CPU-seconds that are spent neither in the engine nor in the tokeniser."""
    clock, run, encode = Clock(), OnnxEngine.run, Resident.encode
    OnnxEngine.run, Resident.encode = clock.over(run), clock.over(encode)  # type: ignore[method-assign]
    try:
        told = _over_http(url, key, texts)
    finally:
        OnnxEngine.run, Resident.encode = run, encode  # type: ignore[method-assign]
    return {**told, "rest": told["cpu"] - clock.seconds}


def _over_http(url: str, key: str, texts: list[str]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    requests = [(f"/predict/{ROUTE}", json.dumps({"inputs": text})) for text in texts]
    # What this thread does for the load generator is no work of the server.
    cpu, own = time.process_time(), time.thread_time()
    found = apply(Plan(url, headers, requests, CONCURRENCY))
    used = time.process_time() - cpu - (time.thread_time() - own)
    answers = [json.loads(body) for body in found.bodies]
    return {"seconds": found.seconds, "cpu": used, "failed": found.failed, "answers": answers}


BENCH = Bench(
    "overhead",
    "server CPU-seconds a request against the raw engine loop; journal and metrics; all else",
    "≤ 1 / 0.85 of the loop, ≤ 3 % for journal and metrics, ≤ 150 µs outside model and tokeniser",
    5,
    measure,
)
