"""Whether scores can be believed: sets of labels that hold the right one, and temperature.

Every number is the report's own, of the engine that serves, on the published test splits. The
thresholds come from validation; the test split decides nothing.
"""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.base import OUT, ROOT, Row, at_most
from bessemer.core.report import CalibrationReport
from bessemer.prepare.locate import locate
from bessemer.service.platform import Platform

#: Each makes another validation split of the rows that are not for testing.
SEEDS = (0, 1, 2, 3, 4)
#: The coverage that is held against the reach, and the reach.
PROMISED, LOW, HIGH = 0.9, 0.89, 0.92
Table = list[tuple[str, str, str]]


def probes() -> tuple[list[Row], dict[str, Any]]:
    """Label sets of a frozen encoder's head.

    BANKING77 has no validation split: five are drawn. CLINC150 has one that was made as its test
    split was; validation rows drawn from its training rows are easier than the test rows.
    """
    told = {
        "BANKING77 probe, mean of 5 splits": [_report(_banking(seed)) for seed in SEEDS],
        "CLINC150 probe, published splits": [_report(_scoped(), _clinc())],
    }
    rows = [row for name, some in told.items() for row in _rows(name, some)]
    raw = {name: [one.model_dump(mode="json") for one in some] for name, some in told.items()}
    return rows, raw


def full() -> tuple[list[Row], dict[str, Any]]:
    """Calibration of the tuned encoder, before and after its temperature."""
    project = _banking(0)
    found = _report({**project, "train": {**project["train"], "method": "full"}})
    before, after = found.before, found.after
    return [
        Row("BANKING77 full: calibration error at temperature 1", before.value, ""),
        at_most("… after temperature scaling", after.value, "", 0.03),
        at_most("… and that less the one before", after.value - before.value, "", 0.0),
    ], found.model_dump(mode="json")


def _rows(name: str, told: list[CalibrationReport]) -> list[Row]:
    held, sizes, empty = (float(np.mean(some)) for some in zip(*map(_sets, told), strict=True))
    reach = f"{100 * LOW:g}–{100 * HIGH:g}"
    each = [100 * _sets(one)[0] for one in told]
    return [
        Row(f"{name}: coverage at 90 %", 100 * held, "%", reach, LOW <= held <= HIGH),
        Row("… of one split, at least", min(each), "%"),
        Row("… of one split, at most", max(each), "%"),
        Row("… labels in a set", sizes, ""),
        Row("… empty sets", 100 * empty, "%"),
        Row(
            "… calibration error at temperature 1",
            float(np.mean([t.before.value for t in told])),
            "",
        ),
        Row("… after its temperature", float(np.mean([t.after.value for t in told])), ""),
    ]


def _sets(told: CalibrationReport) -> tuple[float, float, float]:
    """Return coverage, mean size, and share of empty ones, of the sets held against the reach."""
    [found] = [one for one in told.sets if one.wanted == PROMISED]
    return found.coverage.value, found.size, found.empty


def _banking(seed: int) -> dict[str, Any]:
    """Return the example with another validation split."""
    path = ROOT / "examples" / "banking77" / "bessemer.yaml"
    return {**yaml.safe_load(path.read_text(encoding="utf-8")), "seed": seed}


def _scoped() -> dict[str, Any]:
    return {
        "name": "clinc150",
        "data": {
            "source": "table.csv",
            "labels": {"out_of_scope": "oos"},
            "split": {"column": "split"},
        },
        "prepare": {"duplicates": "keep"},
        "train": {"method": "probe"},
    }


def _clinc() -> Table:
    path = locate("public:clinc150/data_full.json", relative_to=ROOT, cache=OUT / "downloads")
    splits = {"train": "train", "val": "validation", "test": "test"}
    return [
        (text, label, splits[part.removeprefix("oos_")])
        for part, pairs in json.loads(path.read_text(encoding="utf-8")).items()
        for text, label in pairs
    ]


def _report(project: dict[str, Any], table: Table | None = None) -> CalibrationReport:
    """Run a project to its report, on rows of text, label and split if they are given."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if table is not None:
            with (place / "table.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("text", "label", "split"), *table])
        project = {**project, "evaluate": {"find_slices": False}}
        (place / "bessemer.yaml").write_text(yaml.dump(project), encoding="utf-8")
        platform = Platform.open(OUT / "conformal-home")
        done = platform.run(place, until="evaluate")
        if done.report is None or done.report.calibration is None:
            raise SystemExit(f"{project['name']} {done.state}: {done.error}")
        return done.report.calibration
