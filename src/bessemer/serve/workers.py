"""Engine threads: they compute what the scheduler gives them, and finish requests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from bessemer.core.errors import NotReadyError
from bessemer.engines.base import States
from bessemer.serve.residents import Model
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.waiting import Row
from bessemer.tasks.base import Features

#: Stands for the failure of rows that nobody waits for any more.
_GONE = RuntimeError("cancelled")


class Computed(NamedTuple):
    """A request whose rows are all computed."""

    #: As it was submitted.
    request: Any
    states: list[States]
    #: Seconds until its first row's turn, and from then on.
    queue: float
    computing: float


@dataclass(eq=False, slots=True)
class _Job:
    """A request at work."""

    request: Any
    model: Model
    features: Sequence[Features]
    #: Of rows that are neither computed nor dropped.
    left: int
    #: Takes the answer, in the thread of its event loop.
    future: asyncio.Future[Any]
    #: By the performance counter: when it was submitted, and when its first row's turn came.
    came: float = field(default_factory=time.perf_counter)
    began: float | None = None
    states: list[States | None] = field(init=False)

    def __post_init__(self) -> None:
        self.states = [None] * len(self.features)

    def computed(self) -> Computed:
        """Return what is known of it at its end."""
        began, states = self.began or self.came, [row for row in self.states if row is not None]
        return Computed(self.request, states, began - self.came, time.perf_counter() - began)


class Workers:
    """As many threads as may compute at the same time; each computes one batch after the other.

    Args:
        scheduler: Nobody else may touch it.
        threads: One a core; an engine's call uses no more than the thread that makes it.
        finish: Makes the answers of requests that ended together, in an engine thread: of each
            its answer, or an exception.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        threads: int,
        finish: Callable[[Sequence[Computed]], Sequence[Any]],
    ) -> None:
        self._scheduler = scheduler
        self._finish = finish
        self._changed = threading.Condition()
        self._jobs: dict[int, _Job] = {}
        self._numbers = count()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> tuple[int, int]:
        """Return how many rows wait, and their tokens."""
        with self._changed:
            return self._scheduler.waiting_rows, self._scheduler.waiting_tokens

    def admit(self, tenant: str) -> None:
        """Raise `OverloadedError` if a tenant could not bring a single token now."""
        with self._changed:
            self._scheduler.admit(tenant, 1)

    def submit(
        self, model: Model, features: Sequence[Features], request: object, *, tenant: str
    ) -> asyncio.Future[Any]:
        """Let a request's rows be computed when it is their turn; an event loop must run here.

        Args:
            model: Computes them, on its engine together with other requests' rows.
            features: Token ids of each row; one row at least.
            request: What `finish` is to know of it.
            tenant: Whose they are.

        Returns:
            The answer to come. Cancelled, it takes its waiting rows out of the queue.

        Raises:
            NotReadyError: The threads are ending.
            TooLargeError: They are too many at any time.
            OverloadedError: They are too many now.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        job = _Job(request, model, features, len(features), future)
        number, now = next(self._numbers), time.monotonic()
        lane = (id(model.engine), model.pooled)
        rows = [Row(number, n, len(row), lane, tenant, now) for n, row in enumerate(features)]
        with self._changed:
            if self._closing:
                raise NotReadyError("The server has stopped.", remedy="Start it again.")
            self._scheduler.submit(rows)
            self._jobs[number] = job
            self._changed.notify(len(rows))
        future.add_done_callback(partial(self._drop, number))
        return future

    def close(self) -> None:
        """Compute what waits, then end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while rows := self._take():
            self._do(rows)

    def _do(self, rows: list[Row]) -> None:
        """Compute a batch and finish the requests that it was the last of.

        While the thread waits for the next one, nothing here holds on to an engine.
        """
        began = time.perf_counter()
        failed = self._compute(rows)
        seconds = time.perf_counter() - began
        ended = []
        with self._changed:
            if not failed:
                self._scheduler.done(rows, seconds, len(self._threads))
            for row in rows:
                job = self._jobs.get(row.request)
                if job is None:
                    continue  # it was cancelled, or another of its rows has failed
                job.left -= 1
                if row.request in failed:
                    self._scheduler.cancel(row.request)
                if row.request in failed or not job.left:
                    ended.append((self._jobs.pop(row.request), failed.get(row.request)))
        self._settle(ended)

    def _settle(self, ended: Sequence[tuple[_Job, Exception | None]]) -> None:
        """Make the answers of requests that ended, and tell each event loop of its own."""
        whole = [job for job, error in ended if error is None and not job.future.cancelled()]
        outcomes: list[tuple[_Job, Any]] = [(job, error) for job, error in ended if error]
        try:
            outcomes += zip(whole, self._finish([job.computed() for job in whole]), strict=True)
        except BaseException as error:
            outcomes += [(job, error) for job in whole]
        for loop in {job.future.get_loop() for job, _ in outcomes}:
            mine = [(job.future, made) for job, made in outcomes if job.future.get_loop() is loop]
            with contextlib.suppress(RuntimeError):  # it is closed, and nobody listens
                loop.call_soon_threadsafe(_tell, mine)

    def _take(self) -> list[Row]:
        """Return the next batch; none when the threads are to end."""
        with self._changed:
            while True:
                if rows := self._scheduler.take(time.monotonic()):
                    return rows
                if self._closing and not self._scheduler.waiting_rows:
                    return []
                wakes = self._scheduler.wakes_at() - time.monotonic()
                self._changed.wait(max(wakes, 0.0) if wakes < threading.TIMEOUT_MAX else None)

    def _compute(self, rows: list[Row]) -> dict[int, Exception]:
        """Compute a batch, put the states in their places, and return what failed by request."""
        with self._changed:
            known = [(self._jobs.get(row.request), row) for row in rows]
        alive = [(job, row) for job, row in known if job is not None]
        if not alive:
            return {rows[0].request: _GONE}
        now = time.perf_counter()
        for job, _ in alive:
            job.began = job.began or now
        try:
            features = [job.features[row.place] for job, row in alive]
            model = alive[0][0].model
            adapters = [job.model.adapter for job, _ in alive]
            found = model.engine.run(features, adapters, pooled=model.pooled)
            for (job, row), states in zip(alive, found, strict=True):
                job.states[row.place] = states
        except Exception as error:  # whatever it is, the caller must hear of it, and no other
            if len(alive) == 1:
                return {alive[0][1].request: error}
            failed: dict[int, Exception] = {}
            for _, row in alive:
                failed |= self._compute([row])
            return failed
        return {}

    def _drop(self, number: int, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            return
        with self._changed:
            self._jobs.pop(number, None)
            self._scheduler.cancel(number)


def _tell(outcomes: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    """Give futures their outcomes, but those that were cancelled."""
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
