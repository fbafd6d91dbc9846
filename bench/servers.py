"""Servers, each in processes of its own: started, asked, their CPU counted, stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from hdrh.histogram import HdrHistogram

from bench import load
from bench.base import OUT
from bench.peers.minilm import free_ports

#: Label and probability.
Answer = tuple[str, float]
START_SECONDS, STOP_SECONDS = 120.0, 5.0
#: Latencies that a histogram tells apart, in microseconds, and to how many digits.
SHORTEST, LONGEST, DIGITS = 1, 600_000_000, 3
PERCENTILES = (50.0, 95.0, 99.0, 99.9)


class Silent(SystemExit):
    """A server that was started has not answered."""


@dataclass(frozen=True)
class Server:
    """How a server is started, and how it is asked about one text."""

    name: str
    #: Given a port of the loopback interface on which to listen.
    command: Callable[[int], list[str]]
    path: str
    #: Given a text, what is sent as JSON.
    ask: Callable[[str], Any]
    headers: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Window:
    """What was seen while requests were sent for some seconds."""

    found: load.Found
    #: CPU-seconds of all the server's processes.
    cpu: float

    @property
    def rate(self) -> float:
        """Return how many requests were answered a second."""
        return (len(self.found.statuses) - self.found.failed) / self.found.seconds

    def answers(self) -> list[Answer | None]:
        """Return what each request was answered with; None where it failed."""
        pairs = zip(self.found.statuses, self.found.bodies, strict=True)
        return [read(json.loads(body)) if status == 200 else None for status, body in pairs]

    def told(self) -> dict[str, Any]:
        """Return what is kept of it: seconds a request, milliseconds, counts."""
        count = len(self.found.statuses)
        pairs = zip(self.found.statuses, self.found.latencies, strict=True)
        # What was refused at once would only flatter; what was given up has waited that long.
        latencies = histogram([seconds for status, seconds in pairs if status in (0, 200)])
        lags = histogram(self.found.lags)
        return {
            "requests": count,
            "rate": self.rate,
            "failed": self.found.failed,
            "overloaded": self.found.statuses.count(429),
            "cpu": self.cpu / count,
            "generator_cpu": self.found.cpu / count,
            "lag_p99": lags.get_value_at_percentile(99) / 1000,
            **percentiles(latencies),
            "histogram": latencies.encode().decode(),
        }


def read(body: Any) -> Answer:
    """Return label and probability from an answer of any of the servers."""
    if isinstance(body, list):
        body = body[0]
    if "outputs" in body:
        body = {output["name"]: output["data"][0] for output in body["outputs"]}
    return body["label"], body["score"]


def histogram(seconds: Sequence[float]) -> HdrHistogram:
    """Return how often each latency occurred, in microseconds."""
    result = HdrHistogram(SHORTEST, LONGEST, DIGITS)
    for value in seconds:
        result.record_value(max(SHORTEST, round(value * 1e6)))
    return result


def percentiles(latencies: HdrHistogram) -> dict[str, float]:
    """Return the percentiles that are told, in milliseconds."""
    return {f"p{p:g}": latencies.get_value_at_percentile(p) / 1000 for p in PERCENTILES}


def merged(windows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return the percentiles of windows that were told, taken together."""
    total = histogram([])
    for window in windows:
        total.decode_and_add(window["histogram"])
    return percentiles(total)


class Running:
    """A server that has answered its first request."""

    def __init__(self, server: Server, url: str, process: psutil.Process) -> None:
        self._server, self._url, self._process = server, url, process

    def send(
        self, texts: Sequence[str], connections: int, due: list[float] | None = None
    ) -> Window:
        """Ask about each text, when it is due or as fast as answers come; see `load.Plan`."""
        requests = [(self._server.path, json.dumps(self._server.ask(text))) for text in texts]
        headers = {"Content-Type": "application/json", **self._server.headers}
        plan = load.Plan(self._url, headers, requests, connections, due)
        before = _cpu(self._process)
        found = load.apply(plan)
        return Window(found, _cpu(self._process) - before)


@contextmanager
def running(server: Server, text: str) -> Iterator[Running]:
    """Start a server, wait until it has answered a text, and stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        (port,) = free_ports(1)
        log = OUT / f"serve-{server.name}.log"
        environment = {**os.environ, **server.environment}
        with log.open("wb") as output:
            process = subprocess.Popen(
                server.command(port),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        root = psutil.Process(process.pid)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(server, url, text, process, log)
            yield Running(server, url, root)
        finally:
            _stop(root)
            process.wait()


def _wait(server: Server, url: str, text: str, process: subprocess.Popen[bytes], log: Path) -> None:
    headers = {"Content-Type": "application/json", **server.headers}
    body = json.dumps(server.ask(text))
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=START_SECONDS)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", server.path, body, headers)
            if connection.getresponse().status == 200:
                connection.close()
                return
        connection.close()
        time.sleep(0.2)
    raise Silent(f"{server.name} does not answer; its last words, from {log}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def _tree(root: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [root, *root.children(recursive=True)]
    return []


def _cpu(root: psutil.Process) -> float:
    """Return the CPU-seconds of a process and all below it, ended ones included."""
    total = 0.0
    for process in _tree(root):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _stop(root: psutil.Process) -> None:
    tree = _tree(root)
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(tree, timeout=STOP_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left)
