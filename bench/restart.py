"""Servers that replace each other behind one port while callers go on asking: who notices?"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle, islice
from typing import Any

from bench import load
from bench.banking import ROUTE, banking77
from bench.base import Bench, Row, at_least, at_most
from bench.command import bessemer
from bench.peers.minilm import free_ports

REQUESTS, CONNECTIONS = 10_000, 32
#: Servers that are replaced while requests come, at least.
RESTARTS = 3


def measure() -> tuple[list[Row], dict[str, Any]]:
    platform, texts = banking77()
    key = platform.keys.create("bench")
    home, database = platform.home.root, platform.home.root / "bessemer.db"
    platform.home.database.close()
    (port,) = free_ports(1)
    environment = {**os.environ, "BESSEMER_HOME": str(home)}

    def started() -> subprocess.Popen[bytes]:
        command = bessemer("serve", "--port", str(port), "--share-port")
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"serving")
        return process

    def stopped(process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        process.communicate()
        return process.returncode

    bodies = [(f"/predict/{ROUTE}", json.dumps({"inputs": text})) for text in texts]
    headers = {"Authorization": f"Bearer {key.secret}", "Content-Type": "application/json"}
    plan = load.Plan(
        f"http://127.0.0.1:{port}", headers, list(islice(cycle(bodies), REQUESTS)), CONNECTIONS
    )
    known = _calls(database)
    server, ends, replaced = started(), [], 0
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(load.apply, plan)
        while not asked.done():
            newer = started()
            ends.append(stopped(server))
            server = newer
            replaced += not asked.done()
        found = asked.result()
    ends.append(stopped(server))
    kept = _calls(database) - known
    rows = [
        Row("requests", len(found.statuses), ""),
        at_least("servers replaced meanwhile", replaced, "", RESTARTS),
        at_most("requests that failed", found.failed, "", 0),
        at_most("servers that did not end with 0", sum(map(bool, ends)), "", 0),
        at_most("answers without a call in the database", REQUESTS - found.failed - kept, "", 0),
        Row(
            "requests/s, on the cores on which the next server starts", REQUESTS / found.seconds, ""
        ),
        Row("slowest answer", 1000 * max(found.latencies), "ms"),
    ]
    return rows, {"statuses": found.statuses, "latencies": found.latencies, "ends": ends}


def _calls(database: os.PathLike[str]) -> int:
    with closing(sqlite3.connect(database)) as connection:
        [count] = connection.execute("SELECT count(*) FROM calls").fetchone()
        return int(count)


BENCH = Bench(
    "restart",
    "10,000 requests over connections that stay open, while servers replace each other behind"
    " their port",
    "0 failed, 0 calls lost",
    2,
    measure,
)
