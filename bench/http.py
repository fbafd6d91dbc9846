"""What HTTP costs: the server's CPU-seconds a text against the same engine's raw loop.

Both run in this process in turn, on the same texts with the same loaded release; only the load
generator is a process of its own, so its CPU-seconds do not count.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import uvicorn

from bench.banking import ROUTE, banking77
from bench.base import Bench, Row, at_most
from bench.load import Plan, apply
from bessemer.http.app import guarded
from bessemer.http.server import listen
from bessemer.serve.residents import Resident
from bessemer.service.platform import Platform

CONCURRENCY = 32
ROUNDS = 5
CHUNK = 64


def measure() -> tuple[list[Row], dict[str, Any]]:
    platform, texts = banking77()
    key = platform.keys.create("bench")
    rounds = []
    with _served(platform) as (url, resident):
        wanted = resident.decode(resident.encode(texts), resident.logits(texts), 1)
        _over_http(url, key.secret, texts[:500])
        for _ in range(ROUNDS):
            raw = _raw_loop(resident, texts)
            told = _over_http(url, key.secret, texts)
            same = sum(a == b for a, b in zip(told.pop("answers"), wanted, strict=True))
            rounds.append({"raw": raw, "http": told, "equal answers": same})
    platform.keys.revoke(key.id)
    platform.home.database.close()
    count = len(texts)
    ratios = [r["http"]["cpu"] / r["raw"]["cpu"] for r in rounds]
    different = max(count - r["equal answers"] for r in rounds)
    rows = [
        at_most("requests that failed", max(r["http"]["failed"] for r in rounds), "", 0),
        at_most("answers that differ from the engine's", different, "", 0),
        Row(
            f"over HTTP at concurrency {CONCURRENCY}",
            statistics.median(count / r["http"]["seconds"] for r in rounds),
            "requests/s",
        ),
        Row(
            "raw engine loop",
            statistics.median(count / r["raw"]["seconds"] for r in rounds),
            "texts/s",
        ),
        Row("server CPU-seconds a text, HTTP / raw loop", statistics.median(ratios), ""),
        Row("lowest of the rounds", min(ratios), ""),
        Row("highest of the rounds", max(ratios), ""),
    ]
    engine = resident.contents.engine
    return rows, {"rounds": rounds, "texts": count, "engine": engine}


@contextmanager
def _served(platform: Platform) -> Iterator[tuple[str, Resident]]:
    """Serve in a thread of this process; yield its address and the loaded release."""
    serving = platform.serving()
    serving.start()
    bound = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        guarded(platform, serving.plane), log_level="warning", lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        served = serving.plane.routing.route(ROUTE)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}", served.resident
    finally:
        server.should_exit = True
        thread.join()
        serving.stop()
        bound.close()


def _raw_loop(resident: Resident, texts: list[str]) -> dict[str, float]:
    """Run the engine over token ids that are ready, on as many threads as the server has."""
    rows = resident.encode(texts).features
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    began, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(resident.engine.run, chunks))
    return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}


def _over_http(url: str, key: str, texts: list[str]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    requests = [(f"/predict/{ROUTE}", json.dumps({"inputs": text})) for text in texts]
    cpu = time.process_time()
    found = apply(Plan(url, headers, requests, CONCURRENCY))
    used = time.process_time() - cpu
    answers = [json.loads(body) for body in found.bodies]
    return {"seconds": found.seconds, "cpu": used, "failed": found.failed, "answers": answers}


BENCH = Bench(
    "http",
    "requests/s and server CPU-seconds a text over HTTP against the raw engine loop",
    "0 failed, 0 different; the ratio is told",
    4,
    measure,
)
