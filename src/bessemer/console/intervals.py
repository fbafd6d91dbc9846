"""Where values and their intervals lie on a common axis, for pictures in templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor

from bessemer.core.report import Measurement

#: An axis begins and ends at a multiple of it.
STEP = 0.05
#: Percent of a picture's width that is left free at each end, for marks that lie there.
EDGE = 3


@dataclass(frozen=True)
class Axis:
    """A range of values."""

    low: float
    high: float

    def at(self, value: float) -> str:
        """Return where a value lies, as a percentage of a picture's width."""
        share = (value - self.low) / (self.high - self.low)
        return f"{EDGE + (100 - 2 * EDGE) * min(1.0, max(0.0, share)):.2f}%"


def axis(measured: Iterable[Measurement | None]) -> Axis:
    """Return an axis that holds all values with their intervals."""
    ends = [end for one in measured if one is not None for end in (one.low, one.high)]
    low = floor(min(ends, default=0.0) / STEP) * STEP
    return Axis(low, max(ceil(max(ends, default=1.0) / STEP) * STEP, low + STEP))


def around_zero(measured: Measurement) -> Axis:
    """Return an axis with 0 in its middle that holds a difference with its interval."""
    end = max(STEP, ceil(max(abs(measured.low), abs(measured.high)) / STEP) * STEP)
    return Axis(-end, end)
