"""From computed states to answers: those of a whole batch at a time, in the journal by then.

What costs little for one request costs much when it is done for each: every turn of the
interpreter's lock and every write is one for all requests that a batch was the last of.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bessemer.core.clock import Clock
from bessemer.core.records import Call
from bessemer.serve.answers import Answer, Embedded, Timings, Wanted
from bessemer.serve.routing import Served
from bessemer.serve.workers import Computed
from bessemer.tasks.base import Encoded

#: Of a call's id.
ID_BYTES = 12


class Asked(NamedTuple):
    """One request."""

    served: Served
    key: str
    #: By the performance counter, before the texts were tokenised.
    began: float
    #: Seconds that tokenising them took.
    tokenising: float
    encoded: Encoded
    wanted: Wanted = Wanted()


class _Found(NamedTuple):
    """What a request's texts are answered with, before it is written down."""

    predictions: list[list[dict[str, Any]]]
    #: Label and score of each text, for the journal.
    told: list[tuple[str, float]]
    tensors: dict[str, list[Any]]


class Answering:
    """Makes answers; it may be called from several threads.

    Args:
        record: Writes calls down, all or none.
        clock: The time of day.
    """

    def __init__(self, record: Callable[[Sequence[Call]], None], clock: Clock) -> None:
        self.record = record
        self._clock = clock

    def __call__(self, computed: Sequence[Computed]) -> list[Any]:
        """Return for each request its `Answer` or `Embedded`, or the error that it ended with.

        Raises:
            StorageError: The journal could not be written; no answer may leave.
        """
        found: dict[int, _Found | Exception] = {}
        alike: dict[tuple[int, Wanted], list[int]] = {}
        for number, one in enumerate(computed):
            asked: Asked = one.request
            alike.setdefault((id(asked.served.resident), asked.wanted), []).append(number)
        for numbers in alike.values():
            found.update(zip(numbers, _found([computed[n] for n in numbers]), strict=True))
        whole = {n: made for n, made in found.items() if isinstance(made, _Found)}
        calls = self._called([(computed[n].request, made) for n, made in whole.items()])
        answers = {
            n: _answer(computed[n], whole[n], call) for n, call in zip(whole, calls, strict=True)
        }
        return [answers.get(n, found[n]) for n in range(len(computed))]

    def _called(self, answered: Sequence[tuple[Asked, _Found]]) -> list[Call]:
        """Write requests down and return what stands in the journal by then."""
        if not answered:
            return []
        at, now = self._clock(), time.perf_counter()
        ids = secrets.token_hex(ID_BYTES * len(answered))
        calls = [
            Call(
                id=ids[2 * ID_BYTES * n : 2 * ID_BYTES * (n + 1)],
                at=at,
                route=asked.served.route,
                release=asked.served.release,
                key=asked.key,
                texts=len(asked.encoded.features),
                tokens=sum(map(len, asked.encoded.features)),
                labels=tuple(label for label, _ in found.told),
                scores=tuple(score for _, score in found.told),
                milliseconds=round((now - asked.began) * 1000, 3),
            )
            for n, (asked, found) in enumerate(answered)
        ]
        self.record(calls)
        return calls


def _answer(one: Computed, found: _Found, call: Call) -> Answer | Embedded:
    asked: Asked = one.request
    timings = Timings(asked.tokenising, one.queue, one.computing)
    if asked.wanted.vectors:
        return Embedded(call.id, call.release, call.tokens, timings, one.states)
    task = asked.served.resident.task
    return Answer(
        call.id, call.release, call.tokens, timings, task, found.predictions, found.tensors
    )


def _found(computed: Sequence[Computed]) -> list[_Found | Exception]:
    """Return what requests that want the same of one release are answered with."""
    try:
        return [*_decoded(computed)]
    except Exception as error:  # whatever it is, the others must not hear of it
        if len(computed) == 1:
            return [error]
        return [found for one in computed for found in _found([one])]


def _decoded(computed: Sequence[Computed]) -> list[_Found]:
    first: Asked = computed[0].request
    resident, wanted = first.served.resident, first.wanted
    if wanted.vectors:
        return [_Found([], [], {}) for _ in computed]
    logits = resident.model.logits([state for one in computed for state in one.states])
    if wanted.group is not None:
        logits = resident.shifted(logits, [wanted.group] * len(logits))
    encoded = together([one.request.encoded for one in computed])
    predictions = resident.decode(encoded, logits, wanted.top_k, wanted.coverage)
    plain = wanted.top_k is None and wanted.coverage is None
    answered = predictions if plain else resident.decode(encoded, logits, None)
    told = [resident.task.brief(row) for row in answered]
    found, start = [], 0
    for one in computed:
        mine = slice(start, start + len(one.states))
        flat: dict[str, list[Any]] = {}
        if wanted.tensors:
            flat = resident.task.tensors(
                one.request.encoded, logits[mine], resident.contents.calibration
            )
        found.append(_Found(predictions[mine], told[mine], flat))
        start = mine.stop
    return found


def together(several: Sequence[Encoded]) -> Encoded:
    """Return the texts of all as one."""
    if len(several) == 1:
        return several[0]
    places = [one.places for one in several if one.places is not None]
    return Encoded(
        [text for one in several for text in one.texts],
        [row for one in several for row in one.features],
        [place for some in places for place in some] if places else None,
    )
