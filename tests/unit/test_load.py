from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from bench.load import Plan, apply
from bench.schedule import POPULARITIES, arrivals, spread

Answering = Callable[[str], tuple[float, str]]


@contextmanager
def server(answering: Answering) -> Iterator[str]:
    """Answer each body after so many seconds with a status line and headers; yield the address."""

    handlers = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                body = (await reader.readexactly(length)).decode()
                seconds, status = answering(body)
                await asyncio.sleep(seconds)
                answer = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
                writer.write(answer.encode())
                if "close" in status:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def ended() -> None:
        """Close every connection before the loop ends: one that is left warns in another test."""
        listening.close()
        if handlers:
            await asyncio.wait(handlers, timeout=10)

    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    asyncio.run_coroutine_threadsafe(ended(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_latency_begins_when_a_request_is_due() -> None:
    """One connection, 30 ms an answer, a request each 10 ms: each one waits 20 ms longer."""
    due = [0.01 * number for number in range(10)]
    with server(lambda body: (0.03, "200 OK")) as url:
        found = apply(Plan(url, {}, [("/", str(number)) for number in range(10)], 1, due))
    assert found.bodies == [str(number) for number in range(10)]
    for number, seconds in enumerate(found.latencies):
        assert seconds >= 0.03 + 0.02 * number
    assert found.failed == 0


def test_a_closed_loop_waits_for_answers() -> None:
    with server(lambda body: (0.03, "200 OK")) as url:
        found = apply(Plan(url, {}, [("/", str(number)) for number in range(10)], 2))
    assert found.seconds >= 5 * 0.03
    assert max(found.latencies) < 2 * 0.03


def test_refusals_and_broken_connections_are_counted() -> None:
    def answering(body: str) -> tuple[float, str]:
        return 0.0, {"1": "429 Too Many Requests", "2": "200 OK\r\nConnection: close"}.get(
            body, "200 OK"
        )

    with server(answering) as url:
        found = apply(Plan(url, {}, [("/", str(number)) for number in range(5)], 1))
    assert found.statuses == [200, 429, 200, 200, 200]
    assert found.failed == 1


def test_arrivals_are_a_poisson_process() -> None:
    times = arrivals(200, 60, seed=1)
    assert times == sorted(times)
    assert times == arrivals(200, 60, seed=1) != arrivals(200, 60, seed=2)
    assert times[0] > 0
    assert times[-1] < 60
    assert abs(len(times) - 12_000) < 5 * 12_000**0.5
    seconds = Counter(int(time) for time in times)
    mean = len(times) / 60
    spread_of = sum((seconds[second] - mean) ** 2 for second in range(60)) / 60
    assert 0.5 < spread_of / mean < 1.6  # a Poisson count's variance is its mean


@pytest.mark.parametrize("popularity", POPULARITIES)
def test_popularity(popularity: str) -> None:
    routes = [f"r{number}" for number in range(10)]
    drawn = spread(popularity, routes, 10_000, seed=3)
    counts = Counter(drawn)
    shares = [counts[route] / 10_000 for route in routes]
    if popularity == "identical":
        assert counts == {"r0": 10_000}
    elif popularity == "zipf":
        assert shares[0] / shares[4] == pytest.approx(5, rel=0.15)
    else:
        assert shares == pytest.approx([0.1] * 10, abs=0.015)
    if popularity == "distinct":
        assert all(len(set(drawn[start : start + 10])) == 10 for start in range(9_990))
