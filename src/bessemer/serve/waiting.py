"""Rows that wait to be computed: whose turn it is, and which others are about as long."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import count

#: Tenants that do not wait, but whose share is remembered until nobody waits.
MOST_REMEMBERED = 1000


@dataclass(slots=True, eq=False)
class Row:
    """One text of a request."""

    #: Whoever waits for it: rows of one request are cancelled together.
    request: int
    #: Its number in the request.
    place: int
    tokens: int
    #: Rows of one lane may be computed together: they have one engine.
    lane: Hashable
    #: Whose it is; tenants get equal shares while they wait.
    tenant: str
    #: Seconds by a clock that only goes forward.
    arrived: float
    #: Number of its arrival; the queue sets it.
    order: int = 0
    waits: bool = False


@dataclass(slots=True)
class _Tenant:
    """A tenant's rows in the order of their arrival, and the tokens computed for it so far."""

    rows: deque[Row] = field(default_factory=deque)
    served: float = 0.0
    #: Rows and tokens that wait.
    waiting: int = 0
    tokens: int = 0


class Waiting:
    """The rows that wait. Adding, removing and finding the next take constant time, nearly.

    Turns follow the virtual token counter of Sheng et al. (2024, "Fairness in Serving Large
    Language Models"): the waiting tenant for whom the fewest tokens were computed is next, and
    one that was idle begins at the level of those who wait, so that nobody saves up. A tenant
    that is not served comes ever nearer to its turn, and its oldest row is first.

    Rows that left stay in the queues behind an older one that waits, until that one leaves.
    """

    def __init__(self) -> None:
        self._orders = count()
        self._arrivals: deque[Row] = deque()
        self._tenants: dict[str, _Tenant] = {}
        #: Waiting tenants by tokens served; entries that are no longer true are passed over.
        self._turns: list[tuple[float, str]] = []
        #: Rows of each lane by their tokens.
        self._lanes: dict[Hashable, dict[int, deque[Row]]] = {}
        self._requests: dict[int, dict[int, Row]] = {}
        self.tokens = 0
        self.rows = 0
        #: Tenants of whom something waits.
        self.tenants = 0
        #: That were taken out so far.
        self.batches = 0

    def add(self, row: Row) -> None:
        """Let a row wait."""
        row.order, row.waits = next(self._orders), True
        tenant = self._tenants.setdefault(row.tenant, _Tenant())
        if not tenant.waiting:
            tenant.served = max(tenant.served, self._level())
            self._takes_turns(row.tenant, tenant)
            self.tenants += 1
        for queue in (tenant.rows, self._arrivals, self._bucket(row)):
            queue.append(row)
        self._requests.setdefault(row.request, {})[row.order] = row
        tenant.waiting += 1
        tenant.tokens += row.tokens
        self.tokens += row.tokens
        self.rows += 1

    def remove(self, row: Row, *, charge: bool) -> None:
        """Take a row out, computed at its tenant's expense or dropped."""
        row.waits = False
        mates = self._requests[row.request]
        del mates[row.order]
        if not mates:
            del self._requests[row.request]
        tenant, lane = self._tenants[row.tenant], self._lanes[row.lane]
        tenant.waiting -= 1
        tenant.tokens -= row.tokens
        self.tokens -= row.tokens
        self.rows -= 1
        if charge:
            tenant.served += row.tokens
        if tenant.waiting and charge:
            self._takes_turns(row.tenant, tenant)
        elif not tenant.waiting:
            self.tenants -= 1
            self._forget()
        _first(tenant.rows)
        _first(self._arrivals)
        if _first(lane[row.tokens]) is None:
            del lane[row.tokens]
            if not lane:
                del self._lanes[row.lane]
        if not self.rows:  # nobody owes anybody anything
            self._tenants.clear()
            self._turns.clear()

    def of_request(self, request: int) -> list[Row]:
        """Return the rows of a request that still wait."""
        return list(self._requests.get(request, {}).values())

    def tokens_of(self, tenant: str) -> int:
        """Return how many tokens of a tenant wait."""
        return self._tenants[tenant].tokens if tenant in self._tenants else 0

    def oldest(self) -> Row | None:
        """Return the row that has waited longest, if one waits."""
        return self._arrivals[0] if self._arrivals else None

    def next_in_turn(self) -> Row | None:
        """Return the oldest row of the tenant whose turn it is, if one waits."""
        self._level()
        return self._tenants[self._turns[0][1]].rows[0] if self._turns else None

    def in_order(self, lane: Hashable) -> Iterator[Row]:
        """Yield a lane's rows in the order of their arrival."""
        return (row for row in self._arrivals if row.waits and row.lane == lane)

    def alike(self, head: Row) -> Iterator[Row]:
        """Yield a row and then those of its lane, the nearest by length first."""
        yield head
        lane = self._lanes[head.lane]
        for tokens in sorted(lane, key=lambda tokens: abs(tokens - head.tokens)):
            for row in lane[tokens]:
                if row.waits and row is not head:
                    yield row

    def lead(self, row: Row, over: Row) -> float:
        """Return how many more tokens were computed for one row's tenant than for another's."""
        return self._tenants[row.tenant].served - self._tenants[over.tenant].served

    def _bucket(self, row: Row) -> deque[Row]:
        return self._lanes.setdefault(row.lane, {}).setdefault(row.tokens, deque())

    def _takes_turns(self, name: str, tenant: _Tenant) -> None:
        if len(self._turns) > 2 * len(self._tenants) + 64:
            self._turns = [(t.served, other) for other, t in self._tenants.items() if t.waiting]
            heapq.heapify(self._turns)
        heapq.heappush(self._turns, (tenant.served, name))

    def _forget(self) -> None:
        """Forget those who do not wait, if they are many: they come back at the others' level."""
        if len(self._tenants) > self.tenants + MOST_REMEMBERED:
            self._tenants = {name: t for name, t in self._tenants.items() if t.waiting}

    def _level(self) -> float:
        """Return the tokens served to the tenant whose turn it is, 0 where nobody waits."""
        while self._turns:
            served, name = self._turns[0]
            tenant = self._tenants.get(name)
            if tenant and tenant.waiting and served == tenant.served:
                return served
            heapq.heappop(self._turns)
        return 0.0


def _first(rows: deque[Row]) -> Row | None:
    """Forget the rows at the front that left, and return the first that waits."""
    while rows and not rows[0].waits:
        rows.popleft()
    return rows[0] if rows else None
