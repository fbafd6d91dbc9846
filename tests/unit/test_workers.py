"""Engine threads: answers to their requests, failures to those they concern, nothing kept back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import numpy as np
import pytest

from bessemer.core.errors import NotReadyError, OverloadedError
from bessemer.engines.base import Engine, States
from bessemer.serve.policies import LengthWindow
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.workers import Workers
from bessemer.tasks.base import Features


class Summing(Engine):
    """Answers a row with its sum; fails at a negative one, and waits while it is held."""

    version = 1
    files = ()

    def __init__(self, folder: Path = Path()) -> None:
        self.open = threading.Event()
        self.open.set()
        self.batches: list[int] = []

    def run(self, features: Sequence[Features], adapters: Sequence[str | None]) -> list[States]:
        assert self.open.wait(10)
        self.batches.append(len(features))
        if any(row.min() < 0 for row in features):
            raise ValueError("negative")
        return [np.array([row.sum()], dtype=np.float32) for row in features]


def rows(*values: int) -> list[Features]:
    return [np.array([value], dtype=np.int64) for value in values]


@pytest.fixture
def workers():
    made = Workers(Scheduler(LengthWindow(), most_tokens=200), 2)
    yield made
    made.close()
    assert not any(thread.is_alive() for thread in made._threads)


def ask(workers: Workers, engine: Engine, *values: int, tenant: str = "a") -> Future[list[float]]:
    def finish(states: list[States], queue: float, computing: float) -> list[float]:
        assert queue >= 0 <= computing
        return [float(row[0]) for row in states]

    return workers.submit(engine, rows(*values), None, finish, tenant=tenant)


def test_each_request_gets_its_own_rows_in_their_order(workers: Workers) -> None:
    engine = Summing()
    asked = {n: ask(workers, engine, *range(n, n + 1 + n % 7)) for n in range(20)}
    for n, future in asked.items():
        assert future.result(10) == list(range(n, n + 1 + n % 7))
    assert workers.waiting == (0, 0)


def test_a_failure_is_told_to_those_it_concerns_and_the_threads_go_on(workers: Workers) -> None:
    engine = Summing()
    engine.open.clear()
    first = [ask(workers, engine, n) for n in range(8)]
    bad = ask(workers, engine, *([5] * 40), -1, *([5] * 40))
    engine.open.set()
    with pytest.raises(ValueError, match="negative"):
        bad.result(10)
    assert [future.result(10) for future in first] == [[float(n)] for n in range(8)]
    assert ask(workers, engine, 3).result(10) == [3.0]
    assert workers.waiting == (0, 0)


def test_a_finish_that_fails_is_told(workers: Workers) -> None:
    def finish(states: list[States], queue: float, computing: float) -> None:
        raise OSError("disk full")

    future = workers.submit(Summing(), rows(1), None, finish, tenant="a")
    with pytest.raises(OSError, match="disk full"):
        future.result(10)


def test_an_engine_that_answers_too_little_is_told_of(workers: Workers) -> None:
    class Short(Summing):
        def run(self, features: Sequence[Features], adapters: Sequence[str | None]) -> list[States]:
            return []

    for _ in range(3):  # more often than there are threads
        with pytest.raises(ValueError, match="zip"):
            ask(workers, Short(), 1).result(10)


def test_a_cancelled_request_leaves_the_queue(workers: Workers) -> None:
    engine = Summing()
    engine.open.clear()
    busy = [ask(workers, engine, 1), ask(workers, engine, 2)]
    wait(busy, timeout=0.2)  # both threads hold one
    dropped = ask(workers, engine, *range(90))
    with pytest.raises(OverloadedError):
        ask(workers, engine, *range(20))
    assert dropped.cancel()
    assert workers.waiting == (0, 0)
    later = ask(workers, engine, *range(20))
    engine.open.set()
    assert later.result(10) == list(range(20))
    assert [future.result(10) for future in busy] == [[1.0], [2.0]]
    with pytest.raises(CancelledError):
        dropped.result(0)
    assert sum(engine.batches) == 22


def test_what_waits_is_computed_before_the_threads_end() -> None:
    workers = Workers(Scheduler(LengthWindow(tokens=1), most_tokens=1000), 2)
    engine = Summing()
    engine.open.clear()
    asked = [ask(workers, engine, n) for n in range(50)]
    closing = threading.Thread(target=workers.close)
    closing.start()
    engine.open.set()
    closing.join(10)
    with pytest.raises(NotReadyError):
        ask(workers, engine, 1)
    assert [future.result(0) for future in asked] == [[float(n)] for n in range(50)]


def test_a_small_request_overtakes_a_large_one_of_another() -> None:
    workers = Workers(Scheduler(LengthWindow(tokens=1), most_tokens=1000), 1)
    engine = Summing()
    engine.open.clear()
    large = ask(workers, engine, *range(200), tenant="large")
    computed: list[int] = []
    small = ask(workers, engine, 7, tenant="small")
    small.add_done_callback(lambda _: computed.append(len(engine.batches)))
    engine.open.set()
    assert len(large.result(10)) == 200
    workers.close()
    assert computed[0] <= 3
