"""Fine-tuning against the tools that users come from: accuracy over seconds on BANKING77.

Every peer trains all layers of the same MiniLM-L6 in an environment of its own, from what lies
under `bench/peers/`; Bessemer trains beside it in the same run, and so does the tuned Trainer that
it is held against: a machine is not equally fast on two days. Another peer that was measured on
this kind of processor before is taken from `bench/peers/results/`, where it lies with date and
machine; remove that file to measure it again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.base import OUT, ROOT, Bench, Row, at_least, processor
from bench.peers.environment import PEERS, python_of
from bench.picture import curves
from bessemer.core import digest
from bessemer.prepare.locate import locate
from bessemer.pretrained.resolve import resolve

RESULTS = PEERS / "results"
#: Batch and epochs of the tuned Trainer, at which examples a second are compared.
BATCH, EPOCHS = 32, 3
#: Name, environment and folder, arguments. First the one that ratios are made with: the less time
#: between the two, the less the machine changes.
OTHERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("trainer tuned", "trainer", ("--recipe", "tuned")),
    ("trainer defaults", "trainer", ("--recipe", "defaults")),
    ("plain", "plain", ("--epochs", "1")),
    ("setfit", "setfit", ()),
)
#: What ratios are made with.
RIVAL = "trainer tuned"
EQUAL = {"batch_size": BATCH, "epochs": EPOCHS, "patience": EPOCHS}
#: The lower four layers wait until the last of the three epochs.
WAITING = {"train_layers": 2, "unfreeze_after": 2}
OURS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("bessemer probe", "probe", {}),
    ("bessemer lora", "lora", {}),
    ("bessemer full", "full", {}),
    ("bessemer full equal", "full", EQUAL),
    ("bessemer full unfreezing", "full", EQUAL | WAITING),
)
#: The test split has as many rows of each label, the training split has not.
WEIGHTS = {"class_weight": "balanced"}
GOAL = 0.93


def measure() -> tuple[list[Row], dict[str, Any]]:
    tables = {
        part: locate(f"public:banking77/{part}.csv", relative_to=ROOT, cache=OUT / "downloads")
        for part in ("train", "test")
    }
    data = ["--train", str(tables["train"]), "--test", str(tables["test"])]
    results = {}
    for name, method, options in OURS:
        results[name] = _ours(name, method, options, data)
    for name, folder, arguments in OTHERS:
        results[name] = _peer(name, folder, list(arguments), data)
    for result in results.values():
        best = max(score for _, _, score in result["curve"])
        result["seconds_to_best"] = seconds_to(result, best)
        result["seconds_to_goal"] = seconds_to(result, GOAL)
    curves(results, OUT / "train.svg")
    print(f"picture: {(OUT / 'train.svg').relative_to(ROOT)}")
    return _rows(results), results


def seconds_to(result: dict[str, Any], accuracy: float) -> float | None:
    """Return the training seconds at the first score that reaches an accuracy."""
    reached = [seconds for seconds, _, score in result["curve"] if score >= accuracy - 1e-9]
    return min(reached, default=None)


def _rows(results: dict[str, dict[str, Any]]) -> list[Row]:
    tuned = results[RIVAL]
    best = max(score for _, _, score in tuned["curve"])
    ours = [seconds_to(result, best) for name, result in results.items() if "bessemer" in name]
    quickest = min(seconds for seconds in ours if seconds is not None)
    theirs = seconds_to(tuned, best)
    assert theirs is not None
    full, waiting = results["bessemer full equal"], results["bessemer full unfreezing"]
    speed = tuned["examples_per_second"]
    rows = [
        at_least(
            "tuned Trainer's seconds to its best / Bessemer's to that", theirs / quickest, "×", 20
        ),
        at_least(
            "full, every layer, the lower four in the last of three epochs: examples/s / tuned"
            " Trainer's (fp32) at its batch and epochs",
            waiting["examples_per_second"] / speed,
            "×",
            4,
        ),
        at_least(
            "… accuracy less the tuned Trainer's",
            waiting["final_accuracy"] - tuned["final_accuracy"],
            "",
            0,
        ),
        Row(
            "full, every layer in every epoch: examples/s / tuned Trainer's",
            full["examples_per_second"] / speed,
            "×",
        ),
        at_least(
            "… accuracy less the tuned Trainer's",
            full["final_accuracy"] - tuned["final_accuracy"],
            "",
            0,
        ),
    ]
    for name, result in results.items():
        rows += [
            Row(f"{name}: accuracy", result["final_accuracy"], ""),
            Row(f"{name}: seconds", result["seconds"], "s"),
            Row(f"{name}: examples/s", result["examples_per_second"], "1/s"),
            Row(f"{name}: peak memory", result["peak_bytes"] / 1e9, "GB"),
        ]
        for what in ("best", "goal"):
            seconds = result[f"seconds_to_{what}"]
            shown = "its own best" if what == "best" else f"{GOAL:.0%}"
            if seconds is not None:  # it never got there
                rows.append(Row(f"{name}: seconds to {shown}", seconds, "s"))
    return rows


def _ours(name: str, method: str, options: dict[str, Any], data: list[str]) -> dict[str, Any]:
    out = OUT / f"train-{name.replace(' ', '-')}.json"
    command = [sys.executable, "-m", "bench.ours", "--method", method, "--out", str(out)]
    command += ["--options", json.dumps(WEIGHTS | options), *data]
    subprocess.run(command, check=True, cwd=ROOT)
    return _read(out)


def _peer(name: str, folder: str, arguments: list[str], data: list[str]) -> dict[str, Any]:
    kept = RESULTS / f"{name.replace(' ', '-')}.json"
    machine = processor()
    files = [*sorted((PEERS / folder).glob("*.*")), PEERS / "common.py"]
    what = digest.of_json([{f.name: digest.of_file(f) for f in files}, arguments])
    cores = os.cpu_count()
    known = {"machine": machine, "cores": cores, "measured": what}
    if name != RIVAL and kept.exists() and known.items() <= (found := _read(kept)).items():
        print(f"{name}: measured on {found['date']}", flush=True)
        return found
    base = resolve("minilm-l6", relative_to=ROOT).folder
    out = OUT / kept.name
    script = PEERS / folder / "run.py"
    command = [str(python_of(folder)), str(script), "--base", str(base), "--out", str(out)]
    subprocess.run([*command, *arguments, *data], check=True, cwd=ROOT)
    date = datetime.now(UTC).date().isoformat()
    result = {**_read(out), "date": date, **known}
    RESULTS.mkdir(exist_ok=True)
    kept.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _read(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


BENCH = Bench(
    "train",
    "accuracy over seconds on BANKING77: a tutorial's loop, Trainer, SetFit, and Bessemer",
    "≥ 20 × fewer seconds to the tuned Trainer's best; full ≥ 4 × Trainer's examples/s",
    100,
    measure,
)
