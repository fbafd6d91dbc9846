"""The axes of pictures that show measurements with their intervals."""

from __future__ import annotations

from collections.abc import Iterable

from bessemer.core.axis import Axis, axis
from bessemer.core.report import ERRORS, Measurement


def holding(measured: Iterable[Measurement | None]) -> Axis:
    """Return an axis that holds all values with their intervals, but for errors."""
    drawn = (one for one in measured if one is not None and one.name not in ERRORS)
    return axis(end for one in drawn for end in (one.low, one.high))


def around_zero(measured: Measurement) -> Axis:
    """Return an axis with 0 in its middle that holds a difference with its interval."""
    end = max(abs(measured.low), abs(measured.high))
    return axis((-end, end))
