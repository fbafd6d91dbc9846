"""How long a user waits before anything happens."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.base import Bench, Row, at_most
from bench.command import bessemer, ran

TIMES = 11


def measure() -> tuple[list[Row], dict[str, Any]]:
    raw: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        run = bessemer("run", "examples/support-intents", "--json")
        ran(run, home)
        raw["help"] = [ran(bessemer("--help"), home).seconds for _ in range(TIMES)]
        raw["second run"] = [ran(run, home).seconds for _ in range(TIMES)]
        raw["ready"] = [_ready(home) for _ in range(TIMES)]
    rows = [
        at_most("bessemer --help", 1000 * statistics.median(raw["help"]), "ms", 200),
        at_most("bessemer run, nothing to do", statistics.median(raw["second run"]), "s", 2),
        at_most("server ready from cold", statistics.median(raw["ready"]), "s", 3),
    ]
    return rows, raw


def _ready(home: Path) -> float:
    """Return the seconds from starting the process until it says where it serves."""
    environment = {**os.environ, "BESSEMER_HOME": str(home)}
    began = time.monotonic()
    command = bessemer("serve", "--port", "0")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"serving")
    seconds = time.monotonic() - began
    process.send_signal(signal.SIGTERM)
    process.communicate()
    return seconds


BENCH = Bench(
    "start",
    "`--help`, a run that finds everything done, a server from cold; medians of 11",
    "< 200 ms, < 2 s, < 3 s",
    2,
    measure,
)
