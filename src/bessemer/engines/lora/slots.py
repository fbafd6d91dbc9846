"""Where the LoRA matrices of many tasks lie, so that a graph can gather each row's own."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bessemer.bundle.weights import Adapter
from bessemer.core.errors import CorruptError, UnknownNameError

#: Of adapters in memory; the least recently used ones make room.
MOST_BYTES = 1 << 30
#: Fewer are never held: as many as two threads may need at a time.
LEAST_SLOTS = 256
#: More are never needed.
MOST_SLOTS = 16_384
#: Names of a matrix' two stacks.
DOWN, UP = ".down", ".up"


@dataclass(frozen=True)
class Stacks:
    """All matrices of one size each: [slots, in, rank] and [slots, rank, out] by name."""

    rank: int
    arrays: Mapping[str, NDArray[np.float32]]


class Slots:
    """Adapters in numbered slots. Slot 0 holds zeros: rows of it get what the base says.

    Attaching writes a slot that nobody uses, and a stack is replaced whole when a higher rank
    comes, so computing never waits for either. The operating system gives memory to a stack as
    its slots are written.

    Args:
        shapes: (in, out) of each matrix that takes an adapter, by its name.
        most_bytes: Of all slots at the rank that is in use.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, int]], *, most_bytes: int = MOST_BYTES
    ) -> None:
        self._shapes = shapes
        self._most_bytes = most_bytes
        self._loaders: dict[str, Callable[[], Adapter]] = {}
        #: Slots by adapter, the least recently used first.
        self._slots: OrderedDict[str, int] = OrderedDict()
        #: How many batches read a slot right now.
        self._read: Counter[int] = Counter()
        self._stacks = self._empty(1)
        #: Slots without an adapter; some may still be read.
        self._free = list(range(1, self.count))
        #: Held for moments, and by whoever changes what follows.
        self._state = threading.Condition()
        #: Held while matrices are read from disk and written.
        self._writing = threading.Lock()

    @property
    def count(self) -> int:
        """Return how many slots there are, the one with zeros included."""
        return self._count(self._stacks.rank)

    @property
    def used(self) -> int:
        """Return how many hold an adapter."""
        return len(self._slots)

    def attach(self, name: str, load: Callable[[], Adapter]) -> None:
        """Write an adapter into a slot; see `Engine.attach`."""
        with self._writing:
            self._loaders[name] = load
            try:
                self._write(name, load())
            except BaseException:
                self.detach(name)
                raise

    def detach(self, name: str) -> None:
        """Forget an adapter. It never waits for one that is being written."""
        with self._state:
            self._loaders.pop(name, None)
            if name in self._slots:
                self._free.append(self._slots.pop(name))

    @contextmanager
    def held(self, names: Sequence[str | None]) -> Iterator[tuple[NDArray[np.int64], Stacks]]:
        """Yield the slot of each name, 0 for None, and the stacks to gather from.

        What is held is neither moved nor overwritten. They must be fewer names than slots.

        Raises:
            UnknownNameError: A name is not attached.
        """
        wanted = {name for name in names if name is not None}
        slots: dict[str, int] = {}
        try:
            with self._state:
                stacks = self._stacks
                if wanted <= self._slots.keys():
                    self._hold(wanted, slots)
            if len(slots) < len(wanted):
                with self._writing:
                    for name in wanted:
                        self._bring_back(name, slots)
                    stacks = self._stacks
            numbers = [0 if name is None else slots[name] for name in names]
            yield np.array(numbers, dtype=np.int64), stacks
        finally:
            with self._state:
                self._read.subtract(slots.values())
                self._state.notify_all()

    def _hold(self, names: Iterable[str], slots: dict[str, int]) -> None:
        """Note that slots are read; the caller holds `_state`."""
        for name in names:
            self._slots.move_to_end(name)
            slots[name] = self._slots[name]
            self._read[slots[name]] += 1

    def _bring_back(self, name: str, slots: dict[str, int]) -> None:
        """Hold an adapter, written anew if it made room for others; `_writing` is held."""
        with self._state:
            load = self._loaders.get(name)
            if load is not None and name in self._slots:
                self._hold([name], slots)
                return
        if load is None:
            raise UnknownNameError("adapter", name, ())
        self._write(name, load())
        with self._state:
            if name not in self._slots:
                raise UnknownNameError("adapter", name, ())
            self._hold([name], slots)

    def _write(self, name: str, adapter: Adapter) -> None:
        """Give an adapter a slot and its matrices; the caller holds `_writing`."""
        for module, (down, up) in adapter.matrices.items():
            found, rank = (down.shape[0], up.shape[1]), down.shape[1]
            if module not in self._shapes or found != self._shapes[module]:
                raise CorruptError(
                    f"The adapter changes {module} from {found[0]} to {found[1]} numbers (rank"
                    f" {rank}); the encoder's is {self._shapes.get(module, 'none')}."
                )
        if adapter.rank > self._stacks.rank:
            self._raise_rank(adapter.rank)
        with self._state:
            while (slot := self._take_slot()) is None:
                self._state.wait()
        for module in self._shapes:
            down, up = self._stacks.arrays[module + DOWN], self._stacks.arrays[module + UP]
            down[slot], up[slot] = 0, 0
            if module in adapter.matrices:
                own_down, own_up = adapter.matrices[module]
                down[slot, :, : own_down.shape[1]] = own_down
                up[slot, : own_up.shape[0]] = own_up
        with self._state:
            if name in self._loaders:
                self._slots[name] = slot
            else:  # it was detached meanwhile
                self._free.append(slot)

    def _take_slot(self) -> int | None:
        """Return a slot that nobody reads: a free one, else that of the least recently used."""
        for slot in self._free:
            if not self._read[slot]:
                self._free.remove(slot)
                return slot
        for name, slot in self._slots.items():
            if not self._read[slot]:
                return self._slots.pop(name)
        return None

    def _raise_rank(self, rank: int) -> None:
        """Replace the stacks by some of a higher rank, without those who find no room there."""
        old, new = self._stacks, self._empty(rank)
        with self._state:
            kept = dict(self._slots)
        most = self._count(rank)
        for key, array in new.arrays.items():
            source = old.arrays[key]
            for slot in kept.values():
                if slot < most:
                    height, width = source.shape[1:]
                    array[slot, :height, :width] = source[slot]
        with self._state:
            for name, slot in kept.items():
                if slot >= most:
                    self._slots.pop(name, None)
            taken = {0, *self._slots.values()}
            self._free = [slot for slot in range(most) if slot not in taken]
            self._stacks = new

    def _count(self, rank: int) -> int:
        bytes_each = sum(4 * rank * (width + out) for width, out in self._shapes.values())
        return min(MOST_SLOTS, max(LEAST_SLOTS, self._most_bytes // max(bytes_each, 1)))

    def _empty(self, rank: int) -> Stacks:
        arrays: dict[str, NDArray[np.float32]] = {}
        for module, (width, out) in self._shapes.items():
            count = self._count(rank)
            arrays[module + DOWN] = np.zeros((count, width, rank), np.float32)
            arrays[module + UP] = np.zeros((count, rank, out), np.float32)
        return Stacks(rank, arrays)
