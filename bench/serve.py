"""Bessemer and other servers on one ONNX file: throughput, latency in an open loop, CPU.

Each peer runs in an environment of its own from what lies under `bench/peers/`. Its settings are
tried and the fastest kept, and its curve is measured, once a kind of processor: both lie in
`bench/peers/results/` with date and machine; remove the file to measure them again. What is
compared is measured anew each time: Bessemer and the fastest peer in turn.
"""

from __future__ import annotations

import json
import os
import random
import statistics
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench.banking import ROUTE, banking77
from bench.base import OUT, ROOT, Bench, Row, at_least, at_most, processor
from bench.command import bessemer
from bench.peers.environment import PEERS, python_of
from bench.peers.minilm import Settings
from bench.picture import latencies
from bench.schedule import arrivals
from bench.servers import Answer, Running, Server, Silent, Window, merged, running
from bessemer.core import digest
from bessemer.serve.policies import POLICIES

OURS = "bessemer"
RESULTS = PEERS / "results"
#: Connections of the closed loop and of the open one. Fewer than would lie idle for so long at
#: the lowest rate that a server closes them.
CLOSED, OPEN = 32, 64
#: Requests before anything counts, and those with which settings are tried.
WARMING, TRYING = 500, 1000
SECONDS = 10.0
#: Of a server's own capacity: the points of its curve.
SHARES = (0.3, 0.5, 0.7, 0.9)
#: Of the fastest peer's capacity: the load at which tails are compared.
LOAD = 0.7
#: How often Bessemer and the fastest peer take their turn.
ROUNDS = 5
#: Answers are equal if so few labels differ, and no probability by more: a peer may add up in
#: another order.
FLIPPED, MOVED = 0.001, 0.02
#: Later, and the generator has not kept its schedule; in milliseconds.
LATE = 1.0


def _v2(text: str) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    return {"inputs": [tensor]}


#: Where each peer is asked, and how.
ASKED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "litserve": ("/predict", lambda text: {"text": text}),
    "mlserver": ("/v2/models/minilm/infer", _v2),
    "bentoml": ("/classify", lambda text: {"texts": [text]}),
    "torchserve": ("/predictions/minilm", lambda text: text),
    "pytriton": ("/v2/models/minilm/infer", _v2),
}
#: What is tried with every peer. A batch that is computed one by one spares hand-overs alone.
TRIED: tuple[dict[str, Any], ...] = (
    {"workers": 2, "threads": 1, "batch": 1},
    {"workers": 1, "threads": 2, "batch": 1},
    {"workers": 2, "threads": 1, "batch": 16},
    {"workers": 2, "threads": 1, "batch": 16, "wait_ms": 2.0, "padded": True},
    {"workers": 1, "threads": 2, "batch": 16, "wait_ms": 2.0, "padded": True},
)
#: What one peer alone can do. MLServer without workers computes in the process that answers.
ALSO_TRIED: dict[str, tuple[dict[str, Any], ...]] = {
    "litserve": tuple(
        {"workers": 2, "threads": 1, "batch": batch, "special": special}
        for batch, special in (
            (1, "one API process"),
            (1, "one API process, fast queue"),
            (16, "one API process, fast queue"),
        )
    ),
    "mlserver": ({"workers": 0, "threads": 2, "batch": 1},),
}


def measure() -> tuple[list[Row], dict[str, Any]]:
    platform, texts = banking77()
    key = platform.keys.create("bench")
    bundle = platform.releases.bundle(platform.releases.show(ROUTE))
    random.Random(0).shuffle(texts)
    ours = Server(
        OURS,
        partial(_command, "length-window"),
        f"/predict/{ROUTE}",
        lambda text: {"inputs": text},
        {"Authorization": f"Bearer {key.secret}"},
        {"BESSEMER_HOME": str(platform.home.root)},
    )
    profiles: dict[str, dict[str, Any]] = {}
    with running(ours, texts[0]) as server:
        # One by one, so that nothing can depend on what else is asked.
        wanted = server.send(texts, 1).answers()
        profiles[OURS] = _profile(server, texts, wanted)
    if "curve" not in profiles[OURS]:
        raise SystemExit(f"Bessemer answers otherwise under load: {profiles[OURS]}")
    for name in ASKED:
        profiles[name] = _peer(name, bundle, texts, wanted)
    timed = {name: profile for name, profile in profiles.items() if "curve" in profile}
    best = max((name for name in timed if name != OURS), key=lambda n: timed[n]["capacity"]["rate"])
    rate = LOAD * timed[best]["capacity"]["rate"]
    servers = {OURS: ours}
    for name in timed.keys() - {OURS}:
        servers[name] = _server(name, bundle, timed[name]["settings"])
    turns = [OURS, best] * ROUNDS + [name for name in timed if name not in (OURS, best)]
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in timed}
    for name in turns:
        with running(servers[name], texts[0]) as server:
            rounds[name].append(_round(server, texts, wanted, rate, seed=len(rounds[name])))
        _say(name, rounds[name][-1]["closed"])
    busy = LOAD * timed[OURS]["capacity"]["rate"]
    policies: dict[str, dict[str, Any]] = {}
    for name in POLICIES:
        chosen = replace(ours, command=partial(_command, name))
        with running(chosen, texts[0]) as server:
            policies[name] = _round(server, texts, wanted, busy, seed=0)
        _say(f"policy {name}", policies[name]["closed"])
    platform.keys.revoke(key.id)
    platform.home.database.close()
    latencies({name: profile["curve"] for name, profile in timed.items()}, OUT / "serve.svg")
    print(f"picture: {(OUT / 'serve.svg').relative_to(ROOT)}")
    raw = {"profiles": profiles, "rounds": rounds, "best": best, "rate": rate}
    rows = _rows(profiles, rounds, best, rate) + _compared(policies, busy)
    return rows, raw | {"policies": policies}


def _command(policy: str, port: int) -> list[str]:
    return bessemer("serve", "--port", str(port), "--policy", policy)


def _profile(server: Running, texts: list[str], wanted: list[Answer | None]) -> dict[str, Any]:
    """Compare a server's answers, then measure capacity and the curve up to it."""
    server.send(texts[:WARMING], CLOSED)
    window = server.send(texts, CLOSED)
    capacity = _told(window, wanted)
    if not capacity["equal"]:
        return {"capacity": capacity}
    curve = []
    for share in SHARES:
        rate = share * window.rate
        curve.append({"share": share, **_open(server, texts, wanted, rate, seed=0)})
    return {"capacity": capacity, "curve": curve}


def _round(
    server: Running, texts: list[str], wanted: list[Answer | None], rate: float, *, seed: int
) -> dict[str, Any]:
    server.send(texts[:WARMING], CLOSED)
    closed = _told(server.send(texts, CLOSED), wanted)
    return {"closed": closed, "open": _open(server, texts, wanted, rate, seed=seed)}


def _open(
    server: Running, texts: list[str], wanted: list[Answer | None], rate: float, *, seed: int
) -> dict[str, Any]:
    due = arrivals(rate, SECONDS, seed)
    drawn = random.Random(seed).choices(range(len(texts)), k=len(due))
    window = server.send([texts[number] for number in drawn], OPEN, due)
    return {"asked": rate, **_told(window, [wanted[number] for number in drawn])}


def _told(window: Window, wanted: list[Answer | None]) -> dict[str, Any]:
    """Return what is kept of a window, with how far its answers are from those wanted."""
    answers = window.answers()
    pairs = [(a, b) for a, b in zip(answers, wanted[: len(answers)], strict=True) if a and b]
    flipped = sum(a[0] != b[0] for a, b in pairs)
    moved = max((abs(a[1] - b[1]) for a, b in pairs if a[0] == b[0]), default=0.0)
    equal = flipped <= FLIPPED * len(pairs) and moved <= MOVED
    return {**window.told(), "flipped": flipped, "moved": moved, "equal": equal}


def _server(name: str, bundle: Path, settings: dict[str, Any]) -> Server:
    python, (path, ask) = python_of(name), ASKED[name]

    def command(port: int) -> list[str]:
        options = Settings(str(bundle), port, **settings).options()
        return [str(python), str(PEERS / name / "run.py"), *options]

    return Server(name, command, path, ask, environment={"PYTHONPATH": str(ROOT)})


def _peer(name: str, bundle: Path, texts: list[str], wanted: list[Answer | None]) -> dict[str, Any]:
    """Return a peer's profile at its best settings, measured before or now."""
    kept = RESULTS / f"{name}-serve.json"
    files = [*sorted(file for file in (PEERS / name).glob("*.*") if file.suffix != ".md")]
    files += [PEERS / "minilm.py", bundle / "model.onnx", bundle / "model.weights"]
    tried = (*TRIED, *ALSO_TRIED.get(name, ()))
    known = {
        "machine": processor(),
        "cores": os.cpu_count(),
        "measured": digest.of_json([{f.name: digest.of_file(f) for f in files}, tried]),
    }
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if known.items() <= found.items():
            print(f"{name}: measured on {found['date']}", flush=True)
            return found
    trials = []
    for settings in tried:
        try:
            with running(_server(name, bundle, settings), texts[0]) as server:
                server.send(texts[:WARMING], CLOSED)
                window = server.send(texts[:TRYING], CLOSED)
        except Silent as error:
            print(f"{name} {settings}: {error}", flush=True)
            continue
        trials.append({"settings": settings, **_told(window, wanted)})
        _say(f"{name} {settings}", trials[-1])
    if not trials:
        return {"trials": trials}  # not kept: it is to be tried again
    equal = [trial for trial in trials if trial["equal"] and not trial["failed"]]
    result: dict[str, Any] = {"trials": trials}
    if equal:
        result["settings"] = max(equal, key=lambda trial: trial["rate"])["settings"]
        with running(_server(name, bundle, result["settings"]), texts[0]) as server:
            result |= _profile(server, texts, wanted)
    date = datetime.now(UTC).date().isoformat()
    kept.write_text(
        json.dumps({"name": name, "date": date, **known, **result}, indent=1) + "\n",
        encoding="utf-8",
    )
    return result


def _say(name: str, told: dict[str, Any]) -> None:
    print(
        f"{name}: {told['rate']:.0f} requests/s, p99 {told['p99']:.1f} ms,"
        f" {told['failed']} failed, {told['flipped']} labels differ",
        flush=True,
    )


def _rows(
    profiles: dict[str, dict[str, Any]],
    rounds: dict[str, list[dict[str, Any]]],
    best: str,
    rate: float,
) -> list[Row]:
    ours, theirs = rounds[OURS], rounds[best]
    speed = [a["closed"]["rate"] / b["closed"]["rate"] for a, b in zip(ours, theirs, strict=True)]
    tails = {name: merged([one["open"] for one in told]) for name, told in rounds.items()}
    windows = [window for one in ours for window in one.values()]
    late = max(one["open"]["lag_p99"] for one in (*ours, *theirs))
    rows = [
        at_most("Bessemer: requests that failed", sum(w["failed"] for w in windows), "", 0),
        at_most(
            "Bessemer: labels that differ from those one by one, worst window",
            max(100 * window["flipped"] / window["requests"] for window in windows),
            "%",
            100 * FLIPPED,
        ),
        at_least(f"requests/s, Bessemer's / {best}'s", statistics.median(speed), "×", 2.5),
        at_most(
            f"p99 at {rate:.0f} requests/s (70 % of {best}'s), Bessemer's / {best}'s",
            tails[OURS]["p99"] / tails[best]["p99"],
            "×",
            1,
        ),
        at_most("… send lag of the generator, p99 of the worst window", late, "ms", LATE),
    ]
    for name, told in rounds.items():
        closed = [one["closed"] for one in told]
        rows += [
            Row(
                f"{name}: over {CLOSED} connections",
                statistics.median(window["rate"] for window in closed),
                "requests/s",
            ),
            Row(
                f"{name}: server CPU a request",
                1000 * statistics.median(window["cpu"] for window in closed),
                "ms",
            ),
            Row(
                f"{name}: the generator's CPU a request",
                1000 * statistics.median(window["generator_cpu"] for window in closed),
                "ms",
            ),
            Row(f"{name}: p50 at {rate:.0f} requests/s", tails[name]["p50"], "ms"),
            Row(f"{name}: p99 at {rate:.0f} requests/s", tails[name]["p99"], "ms"),
            Row(f"{name}: failed then", sum(one["open"]["failed"] for one in told), ""),
        ]
    for name in profiles.keys() - rounds.keys():
        flipped = [trial["flipped"] for trial in profiles[name]["trials"]]
        if flipped:
            why, count = "answers differ", min(flipped)
        else:
            why, count = "it does not answer", len(TRIED)
        rows.append(Row(f"{name}: not timed, {why}", count, "", "0", False))
    return rows


def _compared(policies: dict[str, dict[str, Any]], rate: float) -> list[Row]:
    """Return the rows of Bessemer's ways to put texts into batches."""
    rows = []
    for name, told in policies.items():
        rows += [
            Row(f"policy {name}: over {CLOSED} connections", told["closed"]["rate"], "requests/s"),
            Row(f"policy {name}: server CPU a request", 1000 * told["closed"]["cpu"], "ms"),
            Row(f"policy {name}: p99 at {rate:.0f} requests/s", told["open"]["p99"], "ms"),
        ]
    return rows


BENCH = Bench(
    "serve",
    "requests/s, latency in an open loop and CPU: LitServe, MLServer, BentoML, TorchServe, Triton"
    " and Bessemer on one ONNX file",
    "≥ 2.5 × the fastest peer's requests/s; p99 at 70 % of its capacity lower; 0 failed",
    25,
    measure,
)
