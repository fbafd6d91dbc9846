"""The prediction path: key, route, texts, answer, journal. It never opens the database."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bessemer.billing.keys import authenticate
from bessemer.core.clock import Clock
from bessemer.core.errors import NotReadyError, RequestError, TooLargeError
from bessemer.core.records import Call, KeyState, Snapshot
from bessemer.serve.meter import Meter
from bessemer.serve.policies import LengthWindow
from bessemer.serve.residents import Resident
from bessemer.serve.routing import Routing, Served
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.workers import Workers
from bessemer.tasks.base import Encoded, Logits, Task

#: Texts in one request; more are refused, so that one caller cannot hold every core.
MOST_TEXTS = 1024
#: Tokens that may wait for an engine thread.
MOST_WAITING_TOKENS = 262_144
#: Fewer are tokenised at once, which takes less than handing them to a thread.
FEW_TEXTS, FEW_CHARACTERS = 8, 4_000
#: Seconds between attempts to load what could not be loaded.
HEAL_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What one request is answered with."""

    call: str
    release: str
    #: Of the release that answered; the route may serve another one by now.
    task: Task
    #: For each text its predictions; see `Task.decode`.
    predictions: list[list[dict[str, Any]]]
    #: The same as flat tensors by name, where they were asked for.
    tensors: dict[str, list[Any]]


@dataclass(frozen=True)
class _Asked:
    """One request on its way."""

    served: Served
    route: str
    key: str
    texts: list[str]
    top_k: int | None
    tensors: bool
    #: By the performance counter, before the texts are tokenised.
    began: float


class DataPlane:
    """Loaded releases behind routes. Service builds it and hands in what it may not reach for.

    Args:
        snapshot: Returns the newest published snapshot, or None before the first.
        load: Returns a bundle that was verified, in memory.
        record: Writes a call down; the answer leaves after it returns.
        clock: The time of day.
        threads: How many texts are computed at the same time.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot | None],
        load: Callable[[Path], Resident],
        record: Callable[[Call], None],
        clock: Clock,
        threads: int,
    ) -> None:
        self._snapshot = snapshot
        self._load = load
        self._record = record
        self._clock = clock
        self.meter = Meter()
        # The engine computes rows one by one, so that a batch would only keep rows from a core.
        scheduler = Scheduler(LengthWindow(tokens=1), most_tokens=MOST_WAITING_TOKENS)
        self._workers = Workers(scheduler, threads)
        self._tokenising = ThreadPoolExecutor(threads, thread_name_prefix="tokenise")
        self._routing = Routing()
        self._draining = False
        #: When the routes were last loaded, by the monotonic clock.
        self._tried = 0.0

    @property
    def routing(self) -> Routing:
        """Return the current view of routes and keys."""
        return self._routing

    @property
    def ready(self) -> bool:
        """Return whether requests are taken."""
        return self._routing.version >= 0 and not self._draining

    def check_ready(self) -> None:
        """Raise `NotReadyError` unless requests are taken."""
        if not self.ready:
            state = "is stopping" if self._draining else "is still loading"
            raise NotReadyError(f"The server {state}.", remedy="Ask again in a second.")

    def refresh(self) -> bool:
        """Follow the newest snapshot; return whether anything changed.

        New releases are loaded before the view is replaced, so a route is never without one.
        A release that cannot be loaded leaves its route with what it served before, if that
        is in memory, else broken.
        """
        snapshot = self._snapshot()
        now = time.monotonic()
        heal = bool(self._routing.broken) and now - self._tried > HEAL_SECONDS
        if snapshot is None or (snapshot.version == self._routing.version and not heal):
            return False
        self._tried = now
        # A revoked key must not live on while a release is loaded.
        if self._routing.version >= 0:
            self._routing = replace(self._routing, keys=snapshot.keys)
        loaded = {served.release: served for served in self._routing.served.values()}
        served: dict[str, Served] = {}
        broken: dict[str, str] = {}
        for route, state in snapshot.routes.items():
            try:
                if state.release not in loaded:
                    resident = self._load(Path(state.bundle))
                    loaded[state.release] = Served(state.release, resident)
                served[route] = loaded[state.release]
            except Exception as error:  # one bad bundle must stop neither the others nor the keys
                _log.error("route %s: %s could not be loaded: %s", route, state.release, error)
                broken[route] = str(error)
                if route in self._routing.served:
                    served[route] = self._routing.served[route]
        self._routing = Routing(snapshot.version, served, broken, snapshot.keys)
        return True

    def drain(self) -> None:
        """Take no more requests; those in hand are finished."""
        self._draining = True

    def close(self) -> None:
        """Wait for the requests in hand and stop the engine threads."""
        self.drain()
        self._tokenising.shutdown(wait=True)
        self._workers.close()

    @property
    def waiting(self) -> tuple[int, int]:
        """Return how many texts wait, and their tokens."""
        return self._workers.waiting

    def authenticate(self, authorization: str | None) -> tuple[str, KeyState]:
        """Return the id and state of the key in a header; see `billing.keys.authenticate`."""
        return authenticate(authorization, self._routing.keys)

    async def predict(
        self,
        route: str,
        key: str,
        texts: Sequence[str],
        top_k: int | None,
        *,
        tensors: bool = False,
    ) -> Answer:
        """Return the answer to one request after it was written to the journal.

        Args:
            route: As in the address.
            key: Id of the caller's key.
            texts: Up to `MOST_TEXTS`.
            top_k: Predictions for each text; 0 for all, None for the answer alone.
            tensors: Whether the answer is wanted as tensors, too.

        Raises:
            NotReadyError: The server is loading or draining.
            UnknownNameError: There is no such route.
            TooLargeError: There are too many texts.
            OverloadedError: Too much waits already.
            RequestError: A text is not Unicode.
            StorageError: The journal could not be written; no answer leaves.
        """
        self.check_ready()
        served = self._routing.route(route)
        if len(texts) > MOST_TEXTS:
            raise TooLargeError(
                f"The request holds {len(texts)} texts.",
                remedy=f"Send at most {MOST_TEXTS} in one request.",
            )
        for number, text in enumerate(texts):
            if not text.isascii():
                _check_unicode(number, text)
        self._workers.admit(key)
        asked = _Asked(served, route, key, list(texts), top_k, tensors, time.perf_counter())
        resident = served.resident
        if 0 < len(texts) <= FEW_TEXTS and sum(map(len, texts)) <= FEW_CHARACTERS:
            encoded = resident.encode(texts)
        else:
            loop = asyncio.get_running_loop()
            encoded = await loop.run_in_executor(self._tokenising, resident.encode, texts)
            if not texts:
                return await loop.run_in_executor(
                    self._tokenising, self._answer, asked, encoded, []
                )
        future = self._workers.submit(
            resident.engine,
            encoded.features,
            partial(self._answer, asked, encoded),
            lane=served.release,
            tenant=key,
        )
        return await asyncio.wrap_future(future)

    def _answer(self, asked: _Asked, encoded: Encoded, logits: list[Logits]) -> Answer:
        """Return the answer to a request, which is in the journal by then."""
        resident = asked.served.resident
        predictions = resident.decode(encoded, logits, asked.top_k)
        answered = predictions if asked.top_k is None else resident.decode(encoded, logits, None)
        told = [resident.task.brief(row) for row in answered]
        calibration = resident.contents.calibration
        flat = resident.task.tensors(encoded, logits, calibration) if asked.tensors else {}
        call = Call(
            id=secrets.token_hex(12),
            at=self._clock(),
            route=asked.route,
            release=asked.served.release,
            key=asked.key,
            texts=len(asked.texts),
            tokens=sum(map(len, encoded.features)),
            labels=tuple(label for label, _ in told),
            scores=tuple(score for _, score in told),
            milliseconds=round((time.perf_counter() - asked.began) * 1000, 3),
        )
        self._record(call)
        return Answer(call.id, asked.served.release, resident.task, predictions, flat)


def _check_unicode(number: int, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"Text {number} holds half a character (a lone surrogate, {text[error.start]!r}).",
            remedy="Send whole Unicode characters.",
        ) from error
