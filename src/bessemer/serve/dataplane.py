"""The prediction path: key, route, texts, answer, journal. It never opens the database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from bessemer.billing.keys import authenticate
from bessemer.core.clock import Clock
from bessemer.core.errors import DeadlineError, NotReadyError, RequestError, TooLargeError
from bessemer.core.records import Call, KeyState, Snapshot
from bessemer.serve.answering import Answering, Asked
from bessemer.serve.answers import Answer, Embedded, LoadedBase, Wanted
from bessemer.serve.meter import Meter
from bessemer.serve.policies import Policy
from bessemer.serve.residents import Base, Resident
from bessemer.serve.routing import Routing, Served, bundles
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.workers import Computed, Workers
from bessemer.tasks.base import Encoded, coverages

#: Texts in one request; more are refused, so that one caller cannot hold every core.
MOST_TEXTS = 1024
#: Tokens that may wait for an engine thread.
MOST_WAITING_TOKENS = 262_144
#: Fewer are tokenised at once, which takes less than handing them to a thread.
FEW_TEXTS, FEW_CHARACTERS = 8, 4_000
#: Seconds between attempts to load what could not be loaded.
HEAL_SECONDS = 5.0

_log = logging.getLogger(__name__)


class DataPlane:
    """Loaded releases behind routes. Service builds it and hands in what it may not reach for.

    Args:
        snapshot: Returns the newest published snapshot, or None before the first.
        load: Returns a bundle that was verified, in memory.
        record: Writes calls down, all or none; their answers leave after it returns.
        clock: The time of day.
        threads: How many texts are computed at the same time.
        policy: Chooses which are computed together.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot | None],
        load: Callable[[Path], Resident],
        record: Callable[[Sequence[Call]], None],
        clock: Clock,
        threads: int,
        policy: Policy,
    ) -> None:
        self._snapshot = snapshot
        self._load = load
        self.meter = Meter()
        self._answering = Answering(record, clock)
        scheduler = Scheduler(policy, most_tokens=MOST_WAITING_TOKENS)
        self._workers = Workers(scheduler, threads, self._answering)
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
        wanted: Wanted,
        *,
        sticky: str | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """Return the answer to one request after it was written to the journal.

        Args:
            route: As in the address; an alias is one too.
            key: Id of the caller's key.
            texts: Up to `MOST_TEXTS`.
            wanted: What is told of each text.
            sticky: What tells the caller from others where a canary takes a share; by default
                the key.
            deadline: Seconds after which nobody wants the answer any more.

        Raises:
            NotReadyError: The server or the route is loading, draining or unloaded.
            UnknownNameError: There is no such route.
            TooLargeError: There are too many texts.
            OverloadedError: Too much waits already.
            DeadlineError: The deadline passed.
            RequestError: A text is not Unicode, or the release has no sets of that coverage, or no
                thresholds of that group.
            StorageError: The journal could not be written; no answer leaves.
        """
        served, began = self._admitted(route, key, sticky, len(texts)), time.perf_counter()
        if wanted.coverage is not None:
            _check_coverage(served, wanted.coverage)
        if wanted.group is not None:
            _check_group(served, wanted.group)
        encoded = await self._encode(served.resident, texts)
        took = time.perf_counter() - began
        asked = Asked(served, key, began, took, encoded, wanted)
        answer: Answer = await self._answered(asked, deadline)
        return answer

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
        served, began = self._admitted(route, key, sticky, len(inputs)), time.perf_counter()
        resident = served.resident
        if not resident.task.pooled:
            raise RequestError(
                f"The route {route!r} has a vector for each token, none for a text.",
                remedy="Ask a route that classifies whole texts.",
            )
        texts = [given for given in inputs if isinstance(given, str)]
        if len(texts) == len(inputs):
            encoded = await self._encode(resident, texts)
        else:
            ids = [resident.features(row) for row in inputs if not isinstance(row, str)]
            encoded = Encoded([], ids)
        took = time.perf_counter() - began
        asked = Asked(served, key, began, took, encoded, Wanted(vectors=True))
        embedded: Embedded = await self._answered(asked, deadline)
        return embedded

    def _admitted(self, route: str, key: str, sticky: str | None, count: int) -> Served:
        """Return what answers a request that may come in."""
        if self._routing.version < 0:
            self.check_ready()
        served = self._routing.route(route, sticky or key)
        if count > MOST_TEXTS:
            raise TooLargeError(
                f"The request holds {count} texts.",
                remedy=f"Send at most {MOST_TEXTS} in one request.",
            )
        self._workers.admit(key)
        return served

    async def _encode(self, resident: Resident, texts: Sequence[str]) -> Encoded:
        for number, text in enumerate(texts):
            if not text.isascii():
                _check_unicode(number, text)
        if len(texts) <= FEW_TEXTS and sum(map(len, texts)) <= FEW_CHARACTERS:
            return resident.encode(texts)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._tokenising, resident.encode, texts)

    async def _answered(self, asked: Asked, deadline: float | None) -> Any:
        """Return what is answered to a request once its rows are computed."""
        features = asked.encoded.features
        if not features:
            loop, nothing = asyncio.get_running_loop(), Computed(asked, [], 0.0, 0.0)
            [answer] = await loop.run_in_executor(self._tokenising, self._answering, [nothing])
            if isinstance(answer, Exception):
                raise answer
            return answer
        model = asked.served.resident.model
        future = self._workers.submit(model, features, asked, tenant=asked.key)
        left = None if deadline is None else deadline - asked.tokenising
        try:
            return await asyncio.wait_for(future, left)
        except TimeoutError as error:
            raise DeadlineError(
                f"The answer was not there within {deadline:.3f} seconds.",
                remedy="Ask again with a later deadline, or when less is waiting.",
            ) from error


def _check_coverage(served: Served, coverage: float) -> None:
    known = coverages(served.resident.contents.calibration)
    if coverage in known:
        return
    if not known:
        raise RequestError(
            f"{served.release} has no sets of labels: its texts have not exactly one label, or it"
            " was calibrated on too few.",
            remedy="Leave label_sets out.",
        )
    raise RequestError(
        f"label_sets is {coverage:g}, of which {served.release} has no sets.",
        remedy=f"Known: {', '.join(f'{one:g}' for one in known)}.",
    )


def _check_unicode(number: int, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"Text {number} holds half a character (a lone surrogate, {text[error.start]!r}).",
            remedy="Send whole Unicode characters.",
        ) from error


def _check_group(served: Served, group: str) -> None:
    thresholds = served.resident.contents.group_thresholds
    if thresholds is None:
        raise RequestError(
            f"{served.release} has no thresholds of groups.", remedy="Leave group out."
        )
    if group not in thresholds.offsets:
        known = ", ".join(map(repr, thresholds.offsets))
        raise RequestError(
            f"group is {group[:60]!r}, of which {served.release} has no threshold.",
            remedy=f"Known: {known}; leave it out where none applies.",
        )
