"""Engine threads: answers to their requests, failures to those they concern, nothing kept back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import wraps
from pathlib import Path

import numpy as np
import pytest

from bessemer.bundle.weights import Head
from bessemer.core.errors import NotReadyError, OverloadedError
from bessemer.engines.base import Engine, States
from bessemer.serve.policies import LengthWindow
from bessemer.serve.residents import Model
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.workers import Computed, Workers
from bessemer.tasks.base import Features

HEAD = Head(np.zeros((2, 1), np.float32), np.zeros(2, np.float32))


class Summing(Engine):
    """Answers a row with its sum; fails at a negative one, and waits while it is held."""

    version = 1
    files = ()

    def __init__(self, folder: Path = Path()) -> None:
        self.open = threading.Event()
        self.open.set()
        self.batches: list[int] = []

    def run(
        self, features: Sequence[Features], adapters: Sequence[str | None], *, pooled: bool
    ) -> list[States]:
        assert self.open.wait(10)
        self.batches.append(len(features))
        if any(row.min() < 0 for row in features):
            raise ValueError("negative")
        return [np.array([row.sum()], dtype=np.float32) for row in features]


def rows(*values: int) -> list[Features]:
    return [np.array([value], dtype=np.int64) for value in values]


def sums(computed: Sequence[Computed]) -> list[list[float] | Exception]:
    assert all(one.queue >= 0 <= one.computing for one in computed)
    return [
        OSError("disk full") if one.request == "fails" else [float(row[0]) for row in one.states]
        for one in computed
    ]


def made(tokens: int = 128, threads: int = 2, most_tokens: int = 1000) -> Workers:
    return Workers(Scheduler(LengthWindow(tokens=tokens), most_tokens=most_tokens), threads, sums)


@pytest.fixture
def workers():
    found = made(most_tokens=200)
    yield found
    found.close()
    assert not any(thread.is_alive() for thread in found._threads)


def ask(
    workers: Workers, engine: Engine, *values: int, tenant: str = "a", request: object = None
) -> asyncio.Future[list[float]]:
    model = Model(engine, HEAD, None, pooled=True)
    return workers.submit(model, rows(*values), request, tenant=tenant)


def looped(test):
    """Run a test in an event loop, which must not be kept waiting for long."""

    @wraps(test)
    def run(*args, **named):
        asyncio.run(asyncio.wait_for(test(*args, **named), 20))

    return run


@looped
async def test_each_request_gets_its_own_rows_in_their_order(workers: Workers) -> None:
    engine = Summing()
    asked = {n: ask(workers, engine, *range(n, n + 1 + n % 7)) for n in range(20)}
    for n, future in asked.items():
        assert await future == list(range(n, n + 1 + n % 7))
    assert workers.waiting == (0, 0)


@looped
async def test_a_failure_is_told_to_those_it_concerns_and_the_threads_go_on(
    workers: Workers,
) -> None:
    engine = Summing()
    engine.open.clear()
    first = [ask(workers, engine, n) for n in range(8)]
    bad = ask(workers, engine, *([5] * 40), -1, *([5] * 40))
    engine.open.set()
    with pytest.raises(ValueError, match="negative"):
        await bad
    assert [await future for future in first] == [[float(n)] for n in range(8)]
    assert await ask(workers, engine, 3) == [3.0]
    assert workers.waiting == (0, 0)


@looped
async def test_an_answer_that_fails_is_told_to_its_own_request(workers: Workers) -> None:
    engine = Summing()
    engine.open.clear()
    good = [ask(workers, engine, n) for n in range(9)]
    bad = ask(workers, engine, 1, request="fails")
    engine.open.set()
    with pytest.raises(OSError, match="disk full"):
        await bad
    assert [await future for future in good] == [[float(n)] for n in range(9)]


@looped
async def test_where_no_answer_can_be_made_all_are_told() -> None:
    def fails(computed: Sequence[Computed]) -> list[object]:
        raise OSError("disk full")

    workers = Workers(Scheduler(LengthWindow(), most_tokens=1000), 2, fails)
    engine = Summing()
    for _ in range(3):  # more often than there are threads
        asked = [ask(workers, engine, n) for n in range(5)]
        for future in asked:
            with pytest.raises(OSError, match="disk full"):
                await future
    workers.close()


@looped
async def test_an_engine_that_answers_too_little_is_told_of(workers: Workers) -> None:
    class Short(Summing):
        def run(
            self, features: Sequence[Features], adapters: Sequence[str | None], *, pooled: bool
        ) -> list[States]:
            return []

    for _ in range(3):
        with pytest.raises(ValueError, match="zip"):
            await ask(workers, Short(), 1)


@looped
async def test_a_cancelled_request_leaves_the_queue(workers: Workers) -> None:
    engine = Summing()
    engine.open.clear()
    busy = []
    for number in (1, 2):
        busy.append(ask(workers, engine, number))
        await asyncio.sleep(0.1)  # until a thread holds it
    dropped = ask(workers, engine, *range(90))
    with pytest.raises(OverloadedError):
        ask(workers, engine, *range(20))
    assert dropped.cancel()
    await asyncio.sleep(0)
    assert workers.waiting == (0, 0)
    later = ask(workers, engine, *range(20))
    engine.open.set()
    assert await later == list(range(20))
    assert [await future for future in busy] == [[1.0], [2.0]]
    assert dropped.cancelled()
    assert sum(engine.batches) == 22


@looped
async def test_what_waits_is_computed_before_the_threads_end() -> None:
    workers = made(tokens=1)
    engine = Summing()
    engine.open.clear()
    asked = [ask(workers, engine, n) for n in range(50)]
    closing = threading.Thread(target=workers.close)
    closing.start()
    engine.open.set()
    assert [await future for future in asked] == [[float(n)] for n in range(50)]
    closing.join(10)
    with pytest.raises(NotReadyError):
        ask(workers, engine, 1)


def test_a_caller_whose_event_loop_has_ended_harms_no_other() -> None:
    workers = made(threads=1)
    engine = Summing()
    engine.open.clear()

    async def gone() -> None:
        ask(workers, engine, 1)

    asyncio.run(gone())
    engine.open.set()

    async def later() -> list[float]:
        return await ask(workers, engine, 2)

    assert asyncio.run(asyncio.wait_for(later(), 10)) == [2.0]
    workers.close()


@looped
async def test_a_small_request_overtakes_a_large_one_of_another() -> None:
    engine, ended = Summing(), {}

    def noting(computed: Sequence[Computed]) -> list[list[float] | Exception]:
        ended.update({one.request: len(engine.batches) for one in computed})
        return sums(computed)

    workers = Workers(Scheduler(LengthWindow(tokens=1), most_tokens=1000), 1, noting)
    engine.open.clear()
    large = ask(workers, engine, *range(200), tenant="large", request="large")
    small = ask(workers, engine, 7, tenant="small", request="small")
    engine.open.set()
    assert len(await large) == 200
    assert await small == [7.0]
    workers.close()
    assert ended["small"] <= 3
    assert ended["large"] > 200
