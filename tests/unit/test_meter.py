"""The last minutes' requests, second by second."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from bessemer.serve.meter import BOUNDS, WINDOW, Meter


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter(clock)


def test_whole_seconds_are_told_and_no_other(meter: Meter, clock: Clock) -> None:
    meter.answered("a", 2, 0.01)
    meter.failed("a")
    meter.failed(None)
    assert meter.last(10).answered == 0, "this second is not over"
    clock.now += 1
    whole, one = meter.last(1), meter.last(1, "a")
    assert (whole.answered, whole.failed, whole.texts) == (1, 2, 2)
    assert (one.answered, one.failed, one.texts) == (1, 1, 2)
    clock.now += 1
    assert meter.last(1).answered == 0
    assert [second.answered for second in meter.each(3)] == [0, 1, 0]


def test_what_is_older_than_the_window_is_gone(meter: Meter, clock: Clock) -> None:
    for _ in range(2 * WINDOW):
        meter.answered("a", 1, 0.01)
        clock.now += 1
    assert meter.last(WINDOW).answered == WINDOW
    assert meter.last(WINDOW, "a").answered == WINDOW
    clock.now += WINDOW
    meter.failed("a")
    clock.now += 1
    assert meter.last(WINDOW).answered == 0
    assert meter.last(WINDOW).failed == 1


def test_memory_does_not_grow_with_routes_that_came_and_went(meter: Meter, clock: Clock) -> None:
    for number in range(50):
        meter.answered(f"route-{number}", 1, 0.01)
        clock.now += WINDOW / 2
    assert len(meter._routes) <= 4
    assert meter.last(WINDOW, "route-0") == meter.last(WINDOW, "never")


def test_latencies_are_about_right(meter: Meter, clock: Clock) -> None:
    draws = random.Random(7)
    seconds = [draws.lognormvariate(-4, 0.7) for _ in range(5000)]
    for value in seconds:
        meter.answered("a", 1, value)
    clock.now += 1
    told = meter.last(1, "a")
    assert told.p50 == pytest.approx(np.quantile(seconds, 0.5), rel=0.1)
    assert told.p95 == pytest.approx(np.quantile(seconds, 0.95), rel=0.1)
    assert meter.last(1, "b").p50 is None
    meter.answered("slow", 1, 3600)
    clock.now += 1
    assert meter.last(1, "slow").p95 == BOUNDS[-1]


def test_the_most_that_were_seen_waiting(meter: Meter, clock: Clock) -> None:
    for texts in (3, 9, 4):
        meter.waiting(texts)
    clock.now += 1
    assert meter.last(1).waiting == 9
    clock.now += 1
    assert meter.last(1).waiting is None, "nobody looked"


def test_threads_lose_nothing(meter: Meter, clock: Clock) -> None:
    """Each count is a read and a write: without the lock some would be lost."""

    def count() -> None:
        for _ in range(5000):
            meter.answered("a", 1, 0.01)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now += 1
    assert meter.last(1, "a").answered == 20_000
