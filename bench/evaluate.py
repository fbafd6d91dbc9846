"""Whether an evaluation decides rightly: how often intervals, gates and findings are wrong.

`python -m bench evaluate.slices` and so on make one part.
"""

from __future__ import annotations

from typing import Any

from bench import conformal, coverage, evaluating, fairness, mitigation, slicing
from bench.base import Bench, Row

PARTS = tuple(
    Bench(f"evaluate.{name}", about, reach, minutes, measure)
    for name, about, reach, minutes, measure in (
        (
            "intervals",
            "intervals over 2,000 simulated test sets, and a gate between equal models",
            "hold the truth in 93–97 %, calibration error in ≥ 93 %; wrong “better” ≤ 6 %",
            4,
            coverage.measure,
        ),
        (
            "slices",
            "a planted weak slice among 40, and none planted",
            "found in ≥ 90 % of runs; a false one in ≤ 10 %",
            3,
            slicing.measure,
        ),
        (
            "sets",
            "BANKING77, CLINC150: sets of labels at 90 %",
            "hold the right label in 89–92 %",
            8,
            conformal.probes,
        ),
        (
            "calibration",
            "BANKING77: calibration error of full, before and after its temperature",
            "≤ 0.03, never above before",
            10,
            conformal.full,
        ),
        (
            "fairness",
            "fairlearn's numbers on 500 tables; intervals of the largest gap",
            "equal to 1e-9; hold the truth in ≥ 93 %",
            3,
            fairness.fairness,
        ),
        (
            "mitigation",
            "BANKING77 with a planted history: what each mitigation leaves of the gap",
            "the gap at least halved for ≤ 2 points of accuracy, mean of 3 plantings",
            2,
            mitigation.measure,
        ),
        (
            "time",
            "10,003 texts evaluated, against the forward pass alone",
            "≤ 1.5 ×",
            2,
            evaluating.measure,
        ),
    )
)


def measure() -> tuple[list[Row], dict[str, Any]]:
    found = {part.name: part.measure() for part in PARTS}
    rows = [row for some, _ in found.values() for row in some]
    return rows, {name: raw for name, (_, raw) in found.items()}


BENCH = Bench(
    "evaluate",
    "how often intervals, gates, slices, label sets and gaps are right; evaluate.slices and so on"
    " make one part of it",
    "; ".join(f"{part.name.partition('.')[2]} {part.reach}" for part in PARTS),
    sum(part.minutes for part in PARTS),
    measure,
)
