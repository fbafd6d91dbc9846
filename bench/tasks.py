"""Hundreds of tasks on one base: a real LoRA release, and others that differ in their adapter.

    python -m bench.tasks <home> <release> <count> <out.json>

Loads so many releases into a process of its own while texts are asked, as a server does, then
measures texts a second with every text asked of a task that is drawn as `bench.schedule` says.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from safetensors.numpy import load_file, save_file

from bench.banking import texts
from bench.base import ROOT
from bench.schedule import POPULARITIES, Popularity, spread
from bessemer.bundle import signature
from bessemer.bundle.format import ADAPTER, STATEMENT
from bessemer.core import digest, folder
from bessemer.serve.policies import LengthWindow
from bessemer.serve.residents import Resident, Residents
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.workers import Computed, Workers
from bessemer.service import signing
from bessemer.service.platform import Platform

ROUNDS = 5
#: Numbers of tasks at which the speed is measured, each as likely as the others.
COUNTS = (1, 10, 100, 1000)


async def main(home: Path, name: str, count: int) -> dict[str, Any]:
    """Return seconds of loading, the worst pauses of others, speeds, and memory."""
    platform = Platform.open(home)
    bundle = platform.releases.bundle(platform.releases.show(name))
    plain = platform.releases.bundle(platform.releases.show("banking77"))
    others = [_sibling(platform, bundle, home / "tasks" / name, n) for n in range(count)]
    residents = Residents()
    base = residents.load(plain, signing.signed(platform.home, plain))
    scheduler = Scheduler(LengthWindow(), most_tokens=10**7)
    workers = Workers(scheduler, os.cpu_count() or 1, _finish)
    rows = base.encode(texts()).features
    await _asked(workers, [base], rows)
    before = await _pauses(workers, base, rows, 3.0)
    loaded: list[Resident] = []
    seconds: list[float] = []

    def load() -> None:
        for other in others:
            began = time.perf_counter()
            loaded.append(residents.load(other, signing.signed(platform.home, other)))
            seconds.append(time.perf_counter() - began)

    thread = threading.Thread(target=load)
    thread.start()
    during: list[float] = []
    while thread.is_alive():
        during += await _pauses(workers, base, rows, 0.5)
    thread.join()
    speeds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        speeds.setdefault("base", []).append(await _asked(workers, [base], rows))
        for some in (n for n in COUNTS if n <= count):
            speeds.setdefault(str(some), []).append(await _asked(workers, loaded[:some], rows))
        for how in POPULARITIES:
            speeds.setdefault(how, []).append(await _asked(workers, loaded, rows, how))
    memory = psutil.Process().memory_info().rss
    workers.close()
    platform.home.database.close()
    return {
        "first load": seconds[0],
        "loads": sorted(seconds[1:]),
        "pauses before": sorted(before),
        "pauses while loading": sorted(during),
        "texts a second": speeds,
        "bytes": memory,
        "engine": base.contents.engine,
    }


def _sibling(platform: Platform, bundle: Path, place: Path, number: int) -> Path:
    """Return a signed bundle like another one, with other numbers in its adapter."""
    target = place / str(number)
    if (target / STATEMENT).exists():
        return target
    target.mkdir(parents=True)
    for file in bundle.iterdir():
        if file.name not in (ADAPTER, STATEMENT, folder.MANIFEST):
            folder.link(file, target / file.name)
    factor = 1 + random.Random(number).random()
    tensors = {name: value * factor for name, value in load_file(bundle / ADAPTER).items()}
    save_file(tensors, target / ADAPTER)
    entries = json.loads((bundle / folder.MANIFEST).read_text())
    size = (target / ADAPTER).stat().st_size
    entries[ADAPTER] = {"bytes": size, "sha256": digest.of_file(target / ADAPTER)}
    (target / folder.MANIFEST).write_text(json.dumps(entries))
    signed = signature.sign(target, signing.signing_key(platform.home), {})
    (target / STATEMENT).write_bytes(signed)
    return target


def _finish(computed: Sequence[Computed]) -> list[Any]:
    return [one.request.model.logits(one.states) for one in computed]


async def _asked(
    workers: Workers,
    residents: Sequence[Resident],
    rows: list[Any],
    popularity: Popularity = "uniform",
) -> float:
    """Return texts a second when every row is asked of one of some tasks."""
    drawn = spread(popularity, residents, len(rows), seed=0)
    began = time.perf_counter()
    await asyncio.gather(*map(partial(_submitted, workers), drawn, rows))
    return len(rows) / (time.perf_counter() - began)


def _submitted(workers: Workers, resident: Resident, row: Any) -> asyncio.Future[Any]:
    return workers.submit(resident.model, [row], resident, tenant="one")


async def _pauses(workers: Workers, base: Resident, rows: list[Any], seconds: float) -> list[float]:
    """Ask one text after the other for so long, and return the seconds of each."""
    found, ends = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends:
        await _submitted(workers, base, rows[len(found) % len(rows)])
        found.append(time.perf_counter() - began)
    return found


def run(home: Path, name: str, count: int, target: Path) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "bench.tasks", str(home), name, str(count), str(target)]
    subprocess.run(command, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def ratio(told: dict[str, Any], traffic: int | Popularity) -> float:
    """Return the median over the rounds of the speed over the base's.

    Args:
        told: By `run`.
        traffic: Among how many tasks, each as likely, or how it spreads over all of them.
    """
    speeds = told["texts a second"]
    pairs = zip(speeds[str(traffic)], speeds["base"], strict=True)
    return statistics.median(one / other for one, other in pairs)


if __name__ == "__main__":
    place, release, number, out = sys.argv[1:]
    told = asyncio.run(main(Path(place), release, int(number)))
    Path(out).write_text(json.dumps(told))
