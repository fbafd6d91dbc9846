"""What was answered in the last minutes, second by second, for whoever looks on.

Prometheus keeps counters for long; this keeps the shape of the present in constant memory.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Whole seconds that are remembered, beside the one that is not over.
WINDOW = 300
#: Upper ends of the latency classes in seconds, each half as much again as the one before: from
#: half a millisecond to 5.6 s. What is slower is in a last class without an end.
BOUNDS = tuple(0.0005 * 1.5**n for n in range(24))
#: Columns of a row; the latency classes follow.
_ANSWERED, _FAILED, _TEXTS, _WAITING, _CLASSES = range(5)
_EMPTY = [0] * (_CLASSES + len(BOUNDS) + 1)
_EMPTY[_WAITING] = -1  # nobody has looked


@dataclass(frozen=True)
class Traffic:
    """What came in some seconds."""

    #: Requests.
    answered: int
    failed: int
    #: Of the answered requests.
    texts: int
    #: Most texts that were seen waiting, or None where nobody looked.
    waiting: int | None
    #: Seconds within which half and 95 % of the answers were there, or None without one. They
    #: are interpolated in a latency class, so they are off by a tenth or two.
    p50: float | None
    p95: float | None


class _Ring:
    """A row of counts for each of the last seconds."""

    def __init__(self) -> None:
        self._rows = np.tile(np.array(_EMPTY, np.int32), (WINDOW + 1, 1))
        self._seconds = np.full(WINDOW + 1, -1, np.int64)
        #: The newest row, a list since its numbers are changed one by one, and its second.
        self.row = _EMPTY.copy()
        self.second = -1

    def turn(self, second: int) -> list[int]:
        """Return the row of a second, which is later than any before, and begin it."""
        self._keep()
        self.row, self.second = _EMPTY.copy(), second
        return self.row

    def between(self, first: int, last: int) -> NDArray[np.int32]:
        """Return the rows of these seconds, both included, oldest first."""
        self._keep()
        wanted = np.arange(first, last + 1)
        places = wanted % len(self._rows)
        known = (self._seconds[places] == wanted)[:, None]
        return np.where(known, self._rows[places], np.array(_EMPTY, np.int32))

    def _keep(self) -> None:
        place = self.second % len(self._rows)
        self._rows[place], self._seconds[place] = self.row, self.second


class Meter:
    """Counts requests as they are answered. Its methods may be called from any thread.

    A route's numbers are forgotten when nothing was asked of it for `WINDOW` seconds.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._whole = _Ring()
        self._routes: dict[str, _Ring] = {}

    def answered(self, route: str, texts: int, seconds: float) -> None:
        """Count a request that was answered after so many seconds."""
        latency = _CLASSES + bisect_left(BOUNDS, seconds)
        with self._lock:
            now = int(self._clock())
            for ring in (self._whole, self._routes.get(route) or self._new(route, now)):
                row = ring.row if ring.second == now else ring.turn(now)
                row[_ANSWERED] += 1
                row[_TEXTS] += texts
                row[latency] += 1

    def failed(self, route: str | None) -> None:
        """Count a request that was not answered; None where its route does not exist."""
        with self._lock:
            now = int(self._clock())
            rings = [self._whole]
            if route is not None:
                rings.append(self._routes.get(route) or self._new(route, now))
            for ring in rings:
                row = ring.row if ring.second == now else ring.turn(now)
                row[_FAILED] += 1

    def waiting(self, texts: int) -> None:
        """Note how many texts wait now."""
        with self._lock:
            now = int(self._clock())
            row = self._whole.row if self._whole.second == now else self._whole.turn(now)
            row[_WAITING] = max(row[_WAITING], texts)

    def last(self, seconds: int, route: str | None = None) -> Traffic:
        """Return what came in the last whole seconds, of all routes or of one."""
        return _traffic(self._rows(seconds, route))

    def each(self, seconds: int, route: str | None = None) -> list[Traffic]:
        """Return the same for each of these seconds by itself, oldest first."""
        return [_traffic(row[None]) for row in self._rows(seconds, route)]

    def second(self) -> int:
        """Return the number of the newest whole second."""
        return int(self._clock()) - 1

    def _rows(self, seconds: int, route: str | None) -> NDArray[np.int32]:
        with self._lock:
            ring = self._whole if route is None else self._routes.get(route)
            last = self.second()
            return (ring or _Ring()).between(last + 1 - seconds, last)

    def _new(self, route: str, now: int) -> _Ring:
        for name in [n for n, ring in self._routes.items() if ring.second < now - WINDOW]:
            del self._routes[name]
        return self._routes.setdefault(route, _Ring())


def _traffic(rows: NDArray[np.int32]) -> Traffic:
    total = rows.sum(axis=0, dtype=np.int64)
    waiting = int(rows[:, _WAITING].max())
    return Traffic(
        answered=int(total[_ANSWERED]),
        failed=int(total[_FAILED]),
        texts=int(total[_TEXTS]),
        waiting=None if waiting < 0 else waiting,
        p50=_quantile(total[_CLASSES:], 0.5),
        p95=_quantile(total[_CLASSES:], 0.95),
    )


def _quantile(classes: NDArray[np.int64], share: float) -> float | None:
    upto = np.cumsum(classes)
    wanted = share * upto[-1]
    if not wanted:
        return None
    n = int(np.searchsorted(upto, wanted))
    if n == len(BOUNDS):
        return BOUNDS[-1]
    low = BOUNDS[n - 1] if n else 0.0
    return float(low + (BOUNDS[n] - low) * (wanted - upto[n] + classes[n]) / classes[n])
