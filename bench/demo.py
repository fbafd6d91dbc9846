"""The main job: from a table to a signed release, on the shipped set and on BANKING77."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.base import ROOT, Bench, Row, at_least, at_most
from bench.command import Ran, bessemer, ran

GB = 1e9


def measure() -> tuple[list[Row], dict[str, Any]]:
    rows: list[Row] = []
    raw: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        script = [sys.executable, str(ROOT / "examples" / "demo.py"), "--home", str(place / "demo")]
        demo = ran(script, place / "demo")
        print(demo.output)
        rows.append(at_most("support-intents: the whole demo", demo.seconds, "s", 45))
        release = json.loads(
            ran(bessemer("releases", "show", "support-intents", "--json"), place / "demo").output
        )
        accuracy = release["report"]["metrics"]["accuracy"]
        rows += _accuracy("support-intents: probe", accuracy, 0.80)
        rows.append(at_most("support-intents: probe, test accuracy", accuracy["value"], "", 0.95))
        raw["support-intents"] = accuracy
        probe = ran(bessemer("run", "examples/banking77", "--no-deploy", "--json"), place / "probe")
        raw["banking77 probe"] = told = _told(probe)
        rows += _accuracy("banking77: probe", told["metrics"]["accuracy"], 0.93)
        rows.append(at_most("banking77: probe, CSV to signed release", probe.seconds, "s", 90))
        rows.append(at_most("banking77: probe, peak memory", probe.peak / GB, "GB", 1.5))
        example = shutil.copytree(ROOT / "examples" / "banking77", place / "example")
        text = (example / "bessemer.yaml").read_text(encoding="utf-8")
        assert "{method: probe," in text
        changed = text.replace("{method: probe,", "{method: full,")
        (example / "bessemer.yaml").write_text(changed, encoding="utf-8")
        full = ran(bessemer("run", str(example), "--no-deploy", "--json"), place / "full")
        raw["banking77 full"] = told = _told(full)
        rows += _accuracy("banking77: full", told["metrics"]["accuracy"], 0.94)
        rows.append(Row("banking77: full, CSV to signed release", full.seconds, "s"))
        rows.append(Row("banking77: full, peak memory", full.peak / GB, "GB"))
    return rows, raw


def _told(done: Ran) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(done.output)
    return {**told, "wall seconds": done.seconds, "peak bytes": done.peak}


def _accuracy(name: str, metric: dict[str, float], reach: float) -> list[Row]:
    return [
        at_least(f"{name}, test accuracy", metric["value"], "", reach),
        Row(f"{name}, lower end of its 95 % interval", metric["low"], ""),
        Row(f"{name}, upper end", metric["high"], ""),
    ]


BENCH = Bench(
    "demo",
    "the whole demo, and BANKING77 from CSV to signed release with both methods",
    "demo ≤ 45 s; BANKING77 ≥ 0.93 in ≤ 90 s and ≤ 1.5 GB, ≥ 0.94 with full",
    15,
    measure,
)
