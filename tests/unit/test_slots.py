"""Slots of adapters: each row reads its own, whatever comes, goes and makes room meanwhile."""

from __future__ import annotations

import random
import threading
from collections import Counter

import numpy as np
import pytest

from bessemer.bundle.weights import Adapter
from bessemer.core.errors import CorruptError, UnknownNameError
from bessemer.engines.lora import slots as module
from bessemer.engines.lora.slots import Slots

SHAPES = {"query": (4, 6), "value": (4, 4)}


def adapter(number: float, rank: int = 2, modules: tuple[str, ...] = ("query", "value")) -> Adapter:
    """Return matrices that hold one number."""
    return Adapter(
        {
            name: (
                np.full((SHAPES[name][0], rank), number, np.float32),
                np.full((rank, SHAPES[name][1]), number, np.float32),
            )
            for name in modules
        }
    )


def read(slots: Slots, *names: str | None) -> list[float]:
    """Return the number that each name's matrices hold, all of them."""
    with slots.held(names) as (numbers, stacks):
        found = []
        for slot in numbers:
            held = {float(x) for key in stacks.arrays for x in np.unique(stacks.arrays[key][slot])}
            held.discard(0.0)
            assert len(held) <= 1
            found.append(held.pop() if held else 0.0)
        return found


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Slots:
    """Return four slots at any rank, one of them the one with zeros."""
    monkeypatch.setattr(module, "LEAST_SLOTS", 4)
    return Slots(SHAPES, most_bytes=1)


def test_each_name_reads_its_own_and_none_reads_zeros() -> None:
    slots = Slots(SHAPES)
    for number in (1.0, 2.0, 3.0):
        slots.attach(f"n{number:.0f}", lambda number=number: adapter(number))
    assert read(slots, "n2", None, "n1", "n3", "n2") == [2, 0, 1, 3, 2]
    slots.detach("n2")
    with pytest.raises(UnknownNameError, match="n2"):
        read(slots, "n2")
    assert read(slots, "n1", "n3") == [1, 3]


def test_what_was_in_a_slot_before_is_gone() -> None:
    slots = Slots(SHAPES)
    slots.attach("wide", lambda: adapter(5.0, rank=8))
    slots.detach("wide")
    slots.attach("narrow", lambda: adapter(7.0, rank=1, modules=("value",)))
    with slots.held(["narrow"]) as ([slot], stacks):
        assert not stacks.arrays["query.down"][slot].any()
        assert (stacks.arrays["value.down"][slot] == 7).sum() == 4  # one column of eight


def test_the_least_recently_used_makes_room_and_comes_back(few: Slots) -> None:
    loads: Counter[str] = Counter()

    def loading(name: str, number: float):
        def load() -> Adapter:
            loads[name] += 1
            return adapter(number)

        return load

    for number in range(1, 7):
        few.attach(str(number), loading(str(number), float(number)))
    assert few.used == 3
    assert read(few, "4") == [4]  # it is used last now, 5 is the oldest
    assert read(few, "1") == [1]
    assert loads == Counter({"1": 2} | dict.fromkeys("23456", 1))
    assert read(few, "5", "4") == [5, 4]
    assert loads["5"] == 2
    assert loads["4"] == 1


def test_a_higher_rank_keeps_what_is_there(few: Slots) -> None:
    few.attach("low", lambda: adapter(1.0, rank=1))
    with few.held(["low"]) as (_, before):
        few.attach("high", lambda: adapter(2.0, rank=5))
        assert before.rank == 1  # whoever reads goes on with what was there
    assert read(few, "low", "high") == [1, 2]


def test_what_does_not_fit_changes_nothing(few: Slots) -> None:
    few.attach("good", lambda: adapter(1.0))
    wrong = Adapter({"query": (np.zeros((5, 2), np.float32), np.zeros((2, 6), np.float32))})
    unknown = Adapter({"key": (np.zeros((4, 2), np.float32), np.zeros((2, 4), np.float32))})
    for bad in (wrong, unknown):
        with pytest.raises(CorruptError, match="rank 2"):
            few.attach("bad", lambda bad=bad: bad)
        with pytest.raises(UnknownNameError):
            read(few, "bad")
    assert read(few, "good") == [1]
    assert few.used == 1


def test_readers_never_see_anothers_matrices(few: Slots) -> None:
    """Four threads read while adapters come, go, change rank and make room for each other."""
    names = [f"n{number}" for number in range(8)]

    def load(name: str):
        return lambda: adapter(1.0 + names.index(name), rank=random.choice([1, 2, 3]))

    for name in names:
        few.attach(name, load(name))
    ended, wrong = threading.Event(), []

    def reads(seed: int) -> None:
        draws = random.Random(seed)
        while not ended.is_set():
            name = draws.choice(names[:6])
            if read(few, name) != [1.0 + names.index(name)]:
                wrong.append(name)

    threads = [threading.Thread(target=reads, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for number in range(300):
        name = names[6 + number % 2]
        few.detach(name)
        few.attach(name, load(name))
    ended.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert not wrong
