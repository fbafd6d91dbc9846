"""Hundreds of tasks on one base in one process: speed, memory, and how soon a task is there.

Against traffic without adapters through the same queue and engine threads, against PEFT's mixed
batches, and against one model a task.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import tasks
from bench.banking import texts
from bench.base import OUT, ROOT, Bench, Row, at_least, at_most
from bench.command import bessemer, ran
from bench.peers.environment import PEERS
from bench.schedule import POPULARITIES
from bessemer.bundle.format import GRAPH, GRAPH_WEIGHTS
from bessemer.pretrained import resolve

TASKS = 1000
#: Of peft: a thousand take minutes to make.
THEIRS = [1, 10, 100]
#: Models that are loaded one a task.
ALONE = 20
ADAPTED = {"query and value": "[query, value]", "every matrix": "[]"}


def measure() -> tuple[list[Row], dict[str, Any]]:
    home = OUT / "density-home"
    ran(bessemer("run", "examples/banking77", "--json"), home)
    rows: list[Row] = []
    raw: dict[str, Any] = {}
    for number, (where, targets) in enumerate(ADAPTED.items()):
        name = f"adapted-{number}"
        _release(home, name, targets)
        told = raw[where] = tasks.run(home, name, TASKS, OUT / f"density-{number}.json")
        rows += _told(where, told)
    speeds = raw["query and value"]["texts a second"]
    theirs = raw["peft"] = _peft()
    most = str(THEIRS[-1])
    ours = float(np.median(speeds[most]))
    ratio = ours / theirs["texts a second"][most]
    rows += [
        Row(f"PEFT adapter_names, fp32, {count} tasks", speed, "texts/s")
        for count, speed in theirs["texts a second"].items()
    ]
    engine = raw["query and value"]["engine"]
    rows.append(Row(f"Bessemer ({engine}) / PEFT, {most} tasks", ratio, "×"))
    raw["one model a task"] = each = _alone(home)
    rows.append(Row("one model a task, memory of each", each / 1e6, "MB"))
    return rows, raw


def _told(where: str, told: dict[str, Any]) -> list[Row]:
    """Return the rows of tasks that adapt the same matrices."""
    bound = where == "query and value"
    speed, gigabytes = tasks.ratio(told, TASKS), told["bytes"] / 1e9
    loads, before, during = (
        np.array(told[name]) * 1000 for name in ("loads", "pauses before", "pauses while loading")
    )
    name = f"{TASKS:,} LoRA tasks, rank 8 on {where}"
    rows = [
        at_least(f"{name}: texts/s / the base's", speed, "×", 0.85)
        if bound
        else Row(f"{name}: texts/s / the base's", speed, "×"),
        at_most(f"{name}: memory of the process", gigabytes, "GB", 0.8)
        if bound
        else Row(f"{name}: memory of the process", gigabytes, "GB"),
        at_most("… attach while serving, 99 of 100", float(np.quantile(loads, 0.99)), "ms", 50),
        Row("… slowest attach", float(loads.max()), "ms"),
        Row("… first attach, which loads the graph", told["first load"] * 1000, "ms"),
        at_most(
            "… others' texts meanwhile: slowest of 1,000, less the slowest of 1,000 before",
            float(np.quantile(during, 0.999) - np.quantile(before, 0.999)),
            "ms",
            20,
        ),
    ]
    for count in tasks.COUNTS[:-1]:
        rows.append(Row(f"… {count} tasks: texts/s / the base's", tasks.ratio(told, count), "×"))
    for how in POPULARITIES:
        rows.append(Row(f"… traffic {how}: texts/s / the base's", tasks.ratio(told, how), "×"))
    return rows


def _release(home: Path, name: str, targets: str) -> None:
    """Make a release with an adapter, trained for one epoch: its speed is what counts here."""
    place = OUT / name
    place.mkdir(parents=True, exist_ok=True)
    example = ROOT / "examples" / "support-intents"
    shutil.copyfile(example / "messages.csv", place / "messages.csv")
    (place / "bessemer.yaml").write_text(
        f"name: {name}\n"
        "data: {source: messages.csv, columns: {id: id, text: text, label: intent}}\n"
        "prepare: {empty: drop, duplicates: drop}\n"
        f"train: {{method: lora, epochs: 1, rank: 8, targets: {targets}}}\n"
    )
    ran(bessemer("run", str(place), "--no-deploy", "--json"), home)


def _peft() -> dict[str, Any]:
    from bessemer.serve.residents import tokenizer

    folder = resolve.resolve("minilm-l6", relative_to=ROOT).folder
    encoded = tokenizer(folder / resolve.TOKENISER).encode_batch(texts())
    source, target = OUT / "density-rows.json", OUT / "density-peft.json"
    source.write_text(json.dumps([row.ids for row in encoded]))
    script = str(PEERS / "peft" / "run.py")
    arguments = [str(folder), str(source), json.dumps(THEIRS), str(target)]
    subprocess.run([sys.executable, script, *arguments], check=True)
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def _alone(home: Path) -> float:
    """Return the bytes that each of some models takes that share nothing."""
    code = f"""
import sys, psutil, onnx, onnxruntime
from pathlib import Path
model = onnx.load(Path(sys.argv[1]) / "model.onnx").SerializeToString()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
first, kept = onnxruntime.InferenceSession(model, options), []
before = psutil.Process().memory_info().rss
for _ in range({ALONE}):
    kept.append(onnxruntime.InferenceSession(model, options))
print((psutil.Process().memory_info().rss - before) / {ALONE})
"""
    from bessemer.service.platform import Platform

    platform = Platform.open(home)
    bundle = platform.releases.bundle(platform.releases.show("banking77"))
    platform.home.database.close()
    with tempfile.TemporaryDirectory() as folder:
        for name in (GRAPH, GRAPH_WEIGHTS):  # onnx reads no file that has several names
            shutil.copyfile(bundle / name, Path(folder, name))
        command = [sys.executable, "-c", code, folder]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


BENCH = Bench(
    "density",
    "1 to 1,000 LoRA tasks on one base: speed against the base's, memory, attaching while serving",
    "≥ 0.85 ×, ≤ 0.8 GB, ≤ 50 ms, no pause > 20 ms",
    12,
    measure,
)
