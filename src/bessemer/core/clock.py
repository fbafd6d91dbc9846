"""The one place that reads the time of day; everything else is handed a `Clock`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time of day in UTC, with its zone."""
    return datetime.now(UTC)
