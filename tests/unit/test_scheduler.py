"""The scheduler under seeded traces: nothing lost, doubled, mixed up, idle, starved or unfair."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from bessemer.core.errors import OverloadedError, TooLargeError
from bessemer.serve.policies import BUDGET, MOST_ROWS, POLICIES, LengthWindow, Policy
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.waiting import Row

CORES = 2
TRACES = 250


@dataclass
class Trace:
    """A seeded day of a server with two cores, run to its end."""

    policy: Policy
    seed: int
    batches: list[tuple[float, list[Row]]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    dropped: list[Row] = field(default_factory=list)

    def run(self) -> Trace:
        draws = random.Random(self.seed)
        scheduler = Scheduler(self.policy, most_tokens=10**6)
        events: list[tuple[float, int, str, object]] = []
        number = 0

        def at(instant: float, kind: str, what: object = None) -> None:
            nonlocal number
            number += 1
            heapq.heappush(events, (instant, number, kind, what))

        rate = draws.choice([50, 300, 2000])  # requests a second, from idle to overrun
        instant = 0.0
        for request in range(draws.randint(1, 60)):
            instant += draws.expovariate(rate)
            at(instant, "submit", request)
            if draws.random() < 0.1:
                at(instant + draws.expovariate(100), "cancel", request)
        free, now = CORES, 0.0
        while events:
            now, _, kind, what = heapq.heappop(events)
            if kind == "submit":
                rows = self._request(draws, int(what), now)
                scheduler.submit(rows)
                self.rows += rows
            elif kind == "cancel":
                self.dropped += scheduler.cancel(int(what))
            elif kind == "done":
                batch, seconds = what
                scheduler.done(batch, seconds, CORES)
                free += 1
            while free and (batch := scheduler.take(now)):
                self.batches.append((now, batch))
                self._look(scheduler, batch, now)
                seconds = 0.0002 + 4e-5 * max(r.tokens for r in batch) * len(batch)
                at(now + seconds, "done", (batch, seconds))
                free -= 1
            if free and scheduler.waiting_rows:
                assert self.policy.name == "count+timeout", "a core is idle while rows wait"
                assert scheduler.wakes_at() > now
                at(scheduler.wakes_at(), "wake")
        assert scheduler.waiting_rows == scheduler.waiting_tokens == 0
        return self

    def _request(self, draws: random.Random, number: int, now: float) -> list[Row]:
        tenant = draws.choice(["a", "a", "a", "b", "c"])
        lane = draws.choice(["small", "small", "large"])
        count = draws.choice([1, 1, 1, 5, 30])
        return [
            Row(
                number,
                place,
                min(128, 3 + int(draws.expovariate(0.08))),
                lane,
                tenant,
                now,
            )
            for place in range(count)
        ]

    def _look(self, scheduler: Scheduler, batch: list[Row], now: float) -> None:
        assert len({row.lane for row in batch}) == 1
        assert len(batch) <= MOST_ROWS
        padded = max(row.tokens for row in batch) * len(batch)
        if self.policy.name in ("length-window", "fifo-token-budget"):
            assert padded <= BUDGET or len(batch) == 1


@pytest.mark.parametrize("name", POLICIES)
def test_every_row_goes_out_once_and_no_core_is_idle(name: str) -> None:
    batches = 0
    for seed in range(TRACES):
        trace = Trace(POLICIES[name](), seed).run()
        out = [row for _, batch in trace.batches for row in batch] + trace.dropped
        times = Counter(map(id, out))
        assert set(times) == set(map(id, trace.rows))
        assert set(times.values()) == {1}
        batches += len(trace.batches)
    assert batches > 10 * TRACES


def test_a_tenants_oldest_row_is_passed_over_by_a_few_rows_of_each_other() -> None:
    """One row a batch, as the data plane has it: nothing fills gaps."""
    most = 2 * 3 * 60  # rows have up to 60 tokens; all together some 32,000
    for seed in range(50):
        draws = random.Random(seed)
        scheduler = Scheduler(LengthWindow(tokens=1), most_tokens=10**6)
        rows = []
        for number in range(1000):
            tenant = draws.choice("aaaaaaaabbc")
            rows.append(Row(number, 0, draws.randint(4, 60), "base", tenant, 0.0))
            scheduler.submit([rows[-1]])
        left = {tenant: [row for row in rows if row.tenant == tenant] for tenant in "abc"}
        passed: Counter[str] = Counter()
        while batch := scheduler.take(0.0):
            heads = {tenant: waiting[0] for tenant, waiting in left.items() if waiting}
            assert any(row in batch for row in heads.values())
            for tenant, head in heads.items():
                passed[tenant] += sum(row.tokens for row in batch if row.tenant != tenant)
                if head in batch:
                    passed[tenant] = 0
                assert passed[tenant] <= most
                left[tenant] = [row for row in left[tenant] if row not in batch]
        assert not any(left.values())


@pytest.mark.parametrize("policy", [LengthWindow(), LengthWindow(tokens=1)], ids=["256", "1"])
def test_who_sends_much_does_not_make_others_wait(policy: LengthWindow) -> None:
    scheduler = Scheduler(policy, most_tokens=10**6)
    draws = random.Random(0)
    for number in range(3000):
        scheduler.submit([Row(number, 0, draws.randint(4, 60), "base", "flood", 0.0)])
    alone: Counter[str] = Counter()
    while alone["flood"] < 50_000:
        alone["flood"] += sum(row.tokens for row in scheduler.take(1.0))
    # A long backlog that is seconds old, and another who asks now.
    for number in range(300):
        scheduler.submit([Row(9000 + number, 0, draws.randint(4, 60), "base", "few", 100.0)])
    served: Counter[str] = Counter()
    waits, first = 300, []
    for turn in range(10_000):
        batch = scheduler.take(100.0)
        if turn < 3 and any(row.tenant == "few" for row in batch):
            first.append("few")
        for row in batch:
            served[row.tenant] += row.tokens
            waits -= row.tenant == "few"
        if not waits:
            break
        assert abs(served["flood"] - served["few"]) <= policy.lead + 2 * BUDGET
    assert not waits
    assert first


def test_a_row_of_another_length_is_computed_before_long() -> None:
    """Whoever is answered asks again, so that rows of the usual length never end."""
    policy = LengthWindow()
    scheduler = Scheduler(policy, most_tokens=10**6)
    for tenant in "ab":
        scheduler.submit([Row(0, n, 10, "base", tenant, 0.0) for n in range(200)])
    odd = Row(1, 0, 100, "base", "a", 0.0)
    scheduler.submit([odd])
    for turn in range(policy.every * 401):
        batch = scheduler.take(0.0)
        if odd in batch:
            break
        for number, row in enumerate(batch):
            scheduler.submit([Row(2 + turn, number, row.tokens, "base", row.tenant, 0.0)])
    assert odd in batch


def test_padding_is_not_paid_for_more_rows() -> None:
    scheduler = Scheduler(LengthWindow(), most_tokens=10**6)
    lengths = [10, 12, 13, 18, 19, 40]
    scheduler.submit([Row(1, n, length, "base", "a", 0.0) for n, length in enumerate(lengths)])
    found = []
    while batch := scheduler.take(0.0):
        found.append(sorted(row.tokens for row in batch))
    assert found == [[10, 12, 13], [18, 19], [40]]


def test_what_does_not_fit_is_sent_away_with_an_honest_time() -> None:
    scheduler = Scheduler(LengthWindow(), most_tokens=2000, speed=1000.0)
    with pytest.raises(TooLargeError, match="1,001 tokens"):
        scheduler.submit([Row(1, 0, 1001, "base", "a", 0.0)])
    scheduler.submit([Row(2, place, 100, "base", "a", 0.0) for place in range(9)])
    with pytest.raises(OverloadedError, match="900 tokens are waiting, 900 of them") as caught:
        scheduler.submit([Row(3, place, 100, "base", "a", 0.0) for place in range(3)])
    assert caught.value.seconds == pytest.approx(0.2)
    assert scheduler.waiting_rows == 9
    for _ in range(200):  # 500 tokens a second on each of two cores
        scheduler.done([Row(4, 0, 100, "base", "a", 0.0)], 0.2, 2)
    with pytest.raises(OverloadedError) as caught:
        scheduler.submit([Row(5, place, 100, "base", "a", 0.0) for place in range(3)])
    assert caught.value.seconds == pytest.approx(0.2, rel=0.01)


def test_who_fills_the_queue_keeps_nobody_out() -> None:
    scheduler = Scheduler(LengthWindow(), most_tokens=2000)
    number = 0

    def fills(tenant: str) -> int:
        nonlocal number
        admitted = 0
        while True:
            number += 1
            try:
                scheduler.submit([Row(number, 0, 10, "base", tenant, 0.0)])
            except OverloadedError:
                return admitted
            admitted += 10

    assert fills("flood") == 1000
    assert fills("other") == 500
    assert fills("third") == 330
    assert fills("flood") == 0
    assert scheduler.waiting_tokens <= 2000


@pytest.mark.parametrize("name", POLICIES)
def test_a_queue_that_never_empties_does_not_grow(name: str) -> None:
    policy = POLICIES[name]()
    scheduler = Scheduler(policy, most_tokens=10**6)
    draws = random.Random(0)
    for number in range(20_000):
        tenant = draws.choice(["a", "a", "b", f"once-{number}"])
        scheduler.submit([Row(number, 0, draws.randint(4, 60), "base", tenant, float(number))])
        while scheduler.waiting_rows > 200:
            assert scheduler.take(float(number + 1))
    waiting = scheduler._waiting
    kept = [len(waiting._arrivals), len(waiting._turns), len(waiting._requests)]
    kept += [len(tenant.rows) for tenant in waiting._tenants.values()]
    kept += [len(rows) for lane in waiting._lanes.values() for rows in lane.values()]
    assert max(kept) < 4_000
    assert len(waiting._tenants) < 2_000


def test_what_is_cancelled_leaves_room() -> None:
    scheduler = Scheduler(LengthWindow(), most_tokens=2000)
    rows = [Row(1, place, 100, "base", "a", 0.0) for place in range(10)]
    scheduler.submit(rows)
    taken = scheduler.take(0.0)
    assert len(taken) == 2
    assert [row.place for row in scheduler.cancel(1)] == list(range(2, 10))
    assert scheduler.cancel(1) == []
    assert scheduler.take(0.0) == []
    scheduler.submit([Row(2, 0, 1000, "base", "a", 0.0)])
