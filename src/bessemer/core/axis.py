"""Where values lie in a picture: on an axis that ends at round figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

#: Share of a picture's width that is left free at each end, for marks that lie there, in percent.
EDGE = 4
#: Parts that an axis is divided into, at most but for what rounding adds.
PARTS = 4


@dataclass(frozen=True)
class Axis:
    """A range with round ticks, the first and last of which are its ends."""

    ticks: tuple[float, ...]

    @property
    def low(self) -> float:
        """Return the lower end."""
        return self.ticks[0]

    @property
    def high(self) -> float:
        """Return the upper end."""
        return self.ticks[-1]

    def share(self, value: float) -> float:
        """Return how far along it a value lies, 0 to 1; values outside lie at its ends."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def at(self, value: float) -> str:
        """Return where a value lies, as a percentage of a picture's width."""
        return f"{EDGE + (100 - 2 * EDGE) * self.share(value):.2f}%"


def axis(values: Iterable[float]) -> Axis:
    """Return an axis that holds all values; from 0 to 1 where there is none."""
    held = list(values) or [0.0, 1.0]
    low, high = min(held), max(held)
    if high - low < 1e-9:
        low, high = (low - 0.1, high) if low > 0 else (low, low + 0.1)
    raw = (high - low) / PARTS
    size = 10.0 ** floor(log10(raw))
    step = next(size * by for by in (1, 2, 2.5, 5, 10) if size * by >= raw * (1 - 1e-9))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return Axis(tuple(round(number * step, 10) for number in range(first, last + 1)))
