"""Whether gaps between groups are what fairlearn makes of them, and whether their intervals hold.

Answers are drawn from rates that are known, so that the true largest gap is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from bench.base import Row, at_least, at_most
from bessemer.core.report import Measurement
from bessemer.measures.fairness import CRITERIA, Groups, Part, max_gap, outcomes

TABLES, SETS = 500, 2000
CONFIDENCE, LEAST = 0.95, 5
#: Share of a group's examples that are positive.
POSITIVE = 0.4


@dataclass(frozen=True)
class Case:
    """Test sets that are drawn again and again."""

    name: str
    gap: str
    sizes: tuple[int, ...]
    #: True rate of the property in each group; of equalised odds, and of each label, one more row.
    rates: tuple[tuple[float, ...], ...]

    @property
    def true(self) -> float:
        """Return the largest gap that there is."""
        return max(max(row) - min(row) for row in self.rates)


#: Rates of labels as rare as BANKING77's, so that chance has most to choose from.
RARE = tuple(0.002 + 0.0003 * number for number in range(77))
SIX = (1000, 500, 250, 100, 40, 30)
CASES = (
    Case("2 groups, none", "rate", (400, 40), ((0.8, 0.8),)),
    Case("2 groups, 0.2", "rate", (400, 40), ((0.8, 0.6),)),
    Case("2 groups near 1, 0.14", "rate", (1000, 30), ((0.99, 0.85),)),
    Case("3 groups, none", "rate", (500, 150, 40), ((0.9, 0.9, 0.9),)),
    Case("3 groups, 0.1", "rate", (500, 150, 40), ((0.9, 0.85, 0.8),)),
    Case("6 groups, none", "rate", (1000, 800, 400, 150, 60, 40), ((0.95,) * 6,)),
    Case("6 groups, 0.1 of one", "rate", (1000, 800, 400, 150, 60, 40), ((*(0.95,) * 5, 0.85),)),
    Case("6 groups, 0.2 of halves", "rate", (500, 500, 300, 300, 100, 100), ((0.9, 0.7) * 3,)),
    Case("odds of 2, none", "odds", (800, 100), ((0.85, 0.85), (0.1, 0.1))),
    Case("odds of 3, 0.15", "odds", (800, 300, 100), ((0.85, 0.85, 0.7), (0.1, 0.12, 0.1))),
    Case("odds of 6, none", "odds", (1000, 800, 400, 200, 150, 100), ((0.8,) * 6, (0.05,) * 6)),
    Case("77 labels of 2, none", "rate", (1000, 30), tuple((rate,) * 2 for rate in RARE)),
    Case("20 labels of 6, none", "rate", SIX, tuple((rate,) * 6 for rate in RARE[:20])),
    Case("20 labels of 6, 0.2", "rate", SIX, ((0.05, 0.25, *(0.05,) * 4), *((0.01,) * 6,) * 19)),
)  # fmt: skip


def fairness() -> tuple[list[Row], dict[str, Any]]:
    """Return the rows and everything that they were computed from."""
    away = [_away(np.random.default_rng(seed)) for seed in range(TABLES)]
    covered = {case.name: _covered(case, np.random.default_rng(7)) for case in CASES}
    worst = min(covered, key=lambda name: covered[name]["covered"])
    worst_away = max(max(table.values()) for table in away)
    rows = [
        at_most(f"fairness: {TABLES} tables away from fairlearn's", worst_away, "", 1e-9),
        at_least(
            f"max-gap: coverage over {SETS:,} test sets, worst case ({worst})",
            100 * covered[worst]["covered"],
            "%",
            93,
        ),
    ]
    return rows, {"away from fairlearn": away, "max-gap": covered}


def _away(draw: np.random.Generator) -> dict[str, float]:
    """Return how far each gap of one random table is from fairlearn's.

    Tables are drawn until each group has positives and negatives enough, so that all rates are.
    """
    while True:
        count = int(draw.integers(2, 9))
        sizes = draw.integers(2 * LEAST, 400, count)
        groups = np.repeat(np.arange(count), sizes)
        actual = draw.random(len(groups)) < draw.uniform(0.05, 0.95, count)[groups]
        positives = np.bincount(groups[actual], minlength=count)
        if min(positives.min(), (sizes - positives).min()) >= LEAST:
            break
    chance = draw.uniform(0, 1, (2, count))[actual.astype(int), groups]
    answered = draw.random(len(groups)) < chance
    who = Groups(tuple(map(str, range(count))), groups, LEAST)
    ours = {
        name: _gap(name, [who.compare(*outcomes(rate, actual, answered)) for rate in rates])
        for name, rates in {**CRITERIA, "accuracy": ("accuracy",)}.items()
    }
    table = {"y_true": actual, "y_pred": answered, "sensitive_features": groups}
    theirs = {
        "demographic_parity": demographic_parity_difference(**table),
        "equal_opportunity": equal_opportunity_difference(**table),
        "equalised_odds": equalized_odds_difference(**table, agg="worst_case"),
        "accuracy": MetricFrame(metrics=accuracy_score, **table).difference(),
    }
    return {name: abs(ours[name].value - float(theirs[name])) for name in theirs}


def _gap(name: str, parts: list[Part]) -> Measurement:
    found = max_gap(name, [parts], CONFIDENCE, LEAST).measurement
    if found is None:
        raise AssertionError(f"{name} was not measured")
    return found


def _covered(case: Case, draw: np.random.Generator) -> dict[str, float]:
    """Return how often the interval holds the true gap, and where its ends are on average."""
    groups = np.repeat(np.arange(len(case.sizes)), case.sizes)
    who = Groups(tuple(map(str, range(len(case.sizes)))), groups, LEAST)
    found = [_gap(case.gap, _parts(case, who, draw)) for _ in range(SETS)]
    low, high = (np.array([getattr(gap, end) for gap in found]) for end in ("low", "high"))
    return {
        "true": case.true,
        "covered": float(((low <= case.true) & (case.true <= high)).mean()),
        "too high": float((low > case.true).mean()),
        "too low": float((high < case.true).mean()),
        "low": float(low.mean()),
        "high": float(high.mean()),
    }


def _parts(case: Case, who: Groups, draw: np.random.Generator) -> list[Part]:
    chances: NDArray[np.float64] = np.array(case.rates)[:, who.numbers]
    if case.gap == "rate":
        everyone = np.ones(len(who.numbers), dtype=bool)
        hits = draw.random(chances.shape) < chances
        return [who.compare(row, everyone, str(number)) for number, row in enumerate(hits)]
    actual = draw.random(len(who.numbers)) < POSITIVE
    answered = draw.random(len(who.numbers)) < np.where(actual, *chances)
    rates = CRITERIA["equalised_odds"]
    return [who.compare(*outcomes(rate, actual, answered)) for rate in rates]
