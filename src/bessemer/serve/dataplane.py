"""The prediction path: key, route, texts, answer, journal. It never opens the database."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from bessemer.billing.keys import authenticate
from bessemer.core.clock import Clock
from bessemer.core.errors import DeadlineError, NotReadyError, RequestError, TooLargeError
from bessemer.core.records import Call, KeyState, Snapshot
from bessemer.engines.base import States
from bessemer.serve.answers import Answer, Embedded, LoadedBase, Timings
from bessemer.serve.meter import Meter
from bessemer.serve.policies import LengthWindow
from bessemer.serve.residents import Base, Resident
from bessemer.serve.routing import Routing, Served, bundles
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.workers import Workers
from bessemer.tasks.base import Encoded, Features

#: Texts in one request; more are refused, so that one caller cannot hold every core.
MOST_TEXTS = 1024
#: Tokens that may wait for an engine thread.
MOST_WAITING_TOKENS = 262_144
#: Fewer are tokenised at once, which takes less than handing them to a thread.
FEW_TEXTS, FEW_CHARACTERS = 8, 4_000
#: Seconds between attempts to load what could not be loaded.
HEAL_SECONDS = 5.0

_log = logging.getLogger(__name__)


Answered = TypeVar("Answered", Answer, Embedded)


@dataclass(frozen=True)
class _Asked:
    """One request on its way."""

    served: Served
    key: str
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
        scheduler = Scheduler(LengthWindow(), most_tokens=MOST_WAITING_TOKENS)
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
        """Return whether requests should come; some that come when they should not are answered."""
        return self._routing.version >= 0 and not self._draining

    def check_ready(self) -> None:
        """Raise `NotReadyError` unless requests should come."""
        if not self.ready:
            state = "is stopping" if self._draining else "is still loading"
            raise NotReadyError(f"The server {state}.", remedy="Ask again in a second.")

    def refresh(self) -> bool:
        """Follow the newest snapshot; return whether anything changed.

        What is in memory is followed at once: revoked keys, aliases, rollbacks. New releases
        are loaded before they are served, so a route is never without one. A release that
        cannot be loaded leaves its route with what it served before, if that is in memory,
        else broken.
        """
        snapshot = self._snapshot()
        now = time.monotonic()
        heal = bool(self._routing.broken) and now - self._tried > HEAL_SECONDS
        if snapshot is None or (snapshot.version == self._routing.version and not heal):
            return False
        self._tried = now
        before = self._routing
        loaded = before.residents
        failed: dict[str, str] = {}
        self._routing = replace(before.following(snapshot, loaded, failed), version=before.version)
        for release, bundle in bundles(snapshot).items():
            if release in loaded:
                continue
            try:
                loaded[release] = self._load(Path(bundle))
            except Exception as error:  # one bad bundle must stop neither the others nor the keys
                _log.error("%s could not be loaded: %s", release, error)
                failed[release] = f"{release} could not be loaded: {error}"
        self._routing = self._routing.following(snapshot, loaded, failed)
        return True

    def drain(self) -> None:
        """Say that no more requests should come; those that do are answered until `close`."""
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

    def loaded(self) -> list[LoadedBase]:
        """Return the bases in memory, and how many releases add what to each."""
        bases: dict[Base, list[Resident]] = {}
        for resident in self._routing.residents.values():
            bases.setdefault(resident.base, []).append(resident)
        return [
            LoadedBase(
                name=found[0].contents.base.name,
                engine=found[0].contents.engine,
                tasks=dict(Counter(resident.contents.tier for resident in found)),
                slots_used=base.engine.slots[0],
                slots=base.engine.slots[1],
            )
            for base, found in bases.items()
        ]

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
        sticky: str | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """Return the answer to one request after it was written to the journal.

        Args:
            route: As in the address; an alias is one too.
            key: Id of the caller's key.
            texts: Up to `MOST_TEXTS`.
            top_k: Predictions for each text; 0 for all, None for the answer alone.
            tensors: Whether the answer is wanted as tensors, too.
            sticky: What tells the caller from others where a canary takes a share; by default
                the key.
            deadline: Seconds after which nobody wants the answer any more.

        Raises:
            NotReadyError: The server or the route is loading, draining or unloaded.
            UnknownNameError: There is no such route.
            TooLargeError: There are too many texts.
            OverloadedError: Too much waits already.
            DeadlineError: The deadline passed.
            RequestError: A text is not Unicode.
            StorageError: The journal could not be written; no answer leaves.
        """
        asked = self._asked(route, key, sticky, len(texts))
        encoded = await self._encode(asked, texts)
        finish = partial(self._answer, asked, encoded, top_k, tensors)
        return await self._computed(asked, encoded.features, finish, deadline)

    async def embed(
        self,
        route: str,
        key: str,
        inputs: Sequence[str] | Sequence[Sequence[int]],
        *,
        sticky: str | None = None,
        deadline: float | None = None,
    ) -> Embedded:
        """Return the vectors that a route's head reads, after the call was written down.

        Args:
            route: As in the address.
            key: Id of the caller's key.
            inputs: Up to `MOST_TEXTS` texts, or their token ids as they are.
            sticky: See `predict`.
            deadline: Seconds after which nobody wants the answer any more.

        Raises:
            RequestError: The route's texts have no one vector, or a token id does not exist.
            BessemerError: See `predict`.
        """
        asked = self._asked(route, key, sticky, len(inputs))
        resident = asked.served.resident
        if not resident.task.pooled:
            raise RequestError(
                f"The route {route!r} has a vector for each token, none for a text.",
                remedy="Ask a route that classifies whole texts.",
            )
        texts = [given for given in inputs if isinstance(given, str)]
        if len(texts) == len(inputs):
            features = (await self._encode(asked, texts)).features
        else:
            features = [resident.features(ids) for ids in inputs if not isinstance(ids, str)]
        finish = partial(self._embedded, asked, features)
        return await self._computed(asked, features, finish, deadline)

    def _asked(self, route: str, key: str, sticky: str | None, count: int) -> _Asked:
        """Return a request that may come in."""
        if self._routing.version < 0:
            self.check_ready()
        served = self._routing.route(route, sticky or key)
        if count > MOST_TEXTS:
            raise TooLargeError(
                f"The request holds {count} texts.",
                remedy=f"Send at most {MOST_TEXTS} in one request.",
            )
        self._workers.admit(key)
        return _Asked(served, key, time.perf_counter())

    async def _encode(self, asked: _Asked, texts: Sequence[str]) -> Encoded:
        for number, text in enumerate(texts):
            if not text.isascii():
                _check_unicode(number, text)
        resident = asked.served.resident
        if len(texts) <= FEW_TEXTS and sum(map(len, texts)) <= FEW_CHARACTERS:
            return resident.encode(texts)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._tokenising, resident.encode, texts)

    async def _computed(
        self,
        asked: _Asked,
        features: Sequence[Features],
        finish: Callable[[list[States], Timings], Answered],
        deadline: float | None,
    ) -> Answered:
        """Return what `finish` makes of the rows' states in an engine thread."""
        model = asked.served.resident.model
        tokenising = time.perf_counter() - asked.began

        def made(states: list[States], queue: float, computing: float) -> Answered:
            return finish(states, Timings(tokenising, queue, computing))

        if not features:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._tokenising, made, [], 0.0, 0.0)
        future = self._workers.submit(model.engine, features, model.adapter, made, tenant=asked.key)
        left = None if deadline is None else deadline - tokenising
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), left)
        except TimeoutError as error:
            raise DeadlineError(
                f"The answer was not there within {deadline:.3f} seconds.",
                remedy="Ask again with a later deadline, or when less is waiting.",
            ) from error

    def _answer(
        self,
        asked: _Asked,
        encoded: Encoded,
        top_k: int | None,
        tensors: bool,
        states: list[States],
        timings: Timings,
    ) -> Answer:
        """Return the answer to a request, which is in the journal by then."""
        resident = asked.served.resident
        logits = [resident.model.logits(row) for row in states]
        predictions = resident.decode(encoded, logits, top_k)
        answered = predictions if top_k is None else resident.decode(encoded, logits, None)
        told = [resident.task.brief(row) for row in answered]
        calibration = resident.contents.calibration
        flat = resident.task.tensors(encoded, logits, calibration) if tensors else {}
        call = self._called(asked, encoded.features, told)
        return Answer(call.id, call.release, call.tokens, timings, resident.task, predictions, flat)

    def _embedded(
        self,
        asked: _Asked,
        features: Sequence[Features],
        states: list[States],
        timings: Timings,
    ) -> Embedded:
        vectors = [asked.served.resident.model.vectors(row) for row in states]
        call = self._called(asked, features, [])
        return Embedded(call.id, call.release, call.tokens, timings, vectors)

    def _called(
        self, asked: _Asked, features: Sequence[Features], told: list[tuple[str, float]]
    ) -> Call:
        """Write a request down and return what stands in the journal by then."""
        call = Call(
            id=secrets.token_hex(12),
            at=self._clock(),
            route=asked.served.route,
            release=asked.served.release,
            key=asked.key,
            texts=len(features),
            tokens=sum(map(len, features)),
            labels=tuple(label for label, _ in told),
            scores=tuple(score for _, score in told),
            milliseconds=round((time.perf_counter() - asked.began) * 1000, 3),
        )
        self._record(call)
        return call


def _check_unicode(number: int, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"Text {number} holds half a character (a lone surrogate, {text[error.start]!r}).",
            remedy="Send whole Unicode characters.",
        ) from error
