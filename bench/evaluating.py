"""What an evaluation costs beside the forward pass: 10,003 texts judged, without perturbations."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.base import OUT, Row, at_most
from bench.command import bessemer, ran
from bessemer.core.progress import Watcher
from bessemer.evaluate.asking import computed
from bessemer.service import evaluating, exporting
from bessemer.service.home import open_home
from bessemer.service.pipeline import Pipeline
from bessemer.service.project_file import load
from bessemer.service.recipe import planned

#: BANKING77 the other way round: its 3,080 test rows to learn from, its 10,003 rows to judge by.
PROJECT = """name: judged
data:
  source: public:banking77/test.csv
  columns: {text: text, label: category}
  split: {test: "public:banking77/train.csv"}
"""
ROUNDS = 3


def measure() -> tuple[list[Row], dict[str, Any]]:
    place, home = OUT / "evaluating", OUT / "evaluating-home"
    place.mkdir(parents=True, exist_ok=True)
    (place / "bessemer.yaml").write_text(PROJECT)
    ran(bessemer("train", str(place)), home)
    opened = open_home(home)
    pipeline = Pipeline(opened, planned(opened, load(place)), Watcher())
    pipeline.export()
    model = exporting.model(pipeline, pipeline.exported()["engine"], pipeline.input("export"))
    features = pipeline.examples("test")[0].features
    seconds: dict[str, list[float]] = {"forward": [], "evaluate": []}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        computed(model.run, features, Watcher().step, "forward")
        seconds["forward"].append(time.perf_counter() - began)
        target = Path(tempfile.mkdtemp(dir=OUT))
        began = time.perf_counter()
        evaluating.evaluate(pipeline, target)
        seconds["evaluate"].append(time.perf_counter() - began)
        shutil.rmtree(target)
    # Neighbours in time: the machine's pace changes.
    ratios = sorted(e / f for e, f in zip(seconds["evaluate"], seconds["forward"], strict=True))
    count = len(features)
    return [
        Row(f"{count:,} texts, plain forward pass", min(seconds["forward"]), "s"),
        Row("… evaluated with everything but perturbations", min(seconds["evaluate"]), "s"),
        at_most("… times the forward pass, median", ratios[len(ratios) // 2], "×", 1.5),
    ], {"texts": count, "seconds": seconds}
