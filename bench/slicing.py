"""Whether weak slices are found, and none where there is none: test sets are simulated.

A test set as large as BANKING77's, answered rightly 93 times in 100. Eight columns of five values
divide it into forty slices of 3 % to half of the rows. In one of 3 % the model is right 15 points
less often.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.base import Row, at_least, at_most
from bessemer.core.evaluation import Evaluate
from bessemer.core.project import Labels
from bessemer.evaluate.examined import Examined
from bessemer.evaluate.slices import slices
from bessemer.measures.intervals import Sampling
from bessemer.tasks.base import Encoded
from bessemer.tasks.text_classification import TextClassification

ROWS, RIGHT, WORSE = 3_080, 0.93, 0.15
COLUMNS, SHARES = 8, (0.03, 0.07, 0.15, 0.25, 0.5)
PLANTED = "column 0 = 0"
RUNS = 500
SETTINGS = Evaluate(
    slices=tuple(f"column {number}" for number in range(COLUMNS)), find_slices=False
)


def measure(runs: int = RUNS) -> tuple[list[Row], dict[str, Any]]:
    generator = np.random.default_rng(0)
    found = {"planted": 0, "false beside it": 0, "false without": 0}
    for _ in range(runs):
        weak = _weak(generator, planted=True)
        found["planted"] += PLANTED in weak
        found["false beside it"] += bool(weak - {PLANTED})
        found["false without"] += bool(_weak(generator, planted=False))
    shares = {name: 100 * count / runs for name, count in found.items()}
    rows = [
        at_least("planted weak slice among 40: found", shares["planted"], "% of runs", 90),
        at_most("… none planted: one is found", shares["false without"], "% of runs", 10),
        Row("… planted: another one is found, too", shares["false beside it"], "% of runs"),
    ]
    return rows, {"runs": runs, **found}


def _weak(generator: np.random.Generator, *, planted: bool) -> set[str]:
    """Return the names of the weak slices of one simulated test set."""
    values = generator.choice(len(SHARES), (COLUMNS, ROWS), p=SHARES)
    chance = np.where((values[0] == 0) & planted, RIGHT - WORSE, RIGHT)
    right = generator.random(ROWS) < chance
    logits = [np.array([4.0, 0.0] if hit else [0.0, 4.0], dtype=np.float32) for hit in right]
    texts = ["text"] * ROWS
    examined = Examined(
        task=TextClassification(Labels(), ("a", "b")),
        actual=[frozenset("a")] * ROWS,
        encoded=Encoded(texts, [np.zeros(1, dtype=np.int64)] * ROWS),
        logits=logits,
        calibration={"temperature": 1.0},
        sampling=Sampling(SETTINGS.confidence, SETTINGS.resamples, 0),
        rows=range(1, ROWS + 1),
        columns={
            f"column {number}": [str(value) for value in column]
            for number, column in enumerate(values)
        },
    )
    found, _ = slices(examined, SETTINGS, None)
    return {one.name for one in found if one.weak}
