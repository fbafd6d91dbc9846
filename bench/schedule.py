"""When requests are due, and which route each asks: drawn before anything is timed, from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, TypeVar, get_args

#: How requests spread over routes, after Punica (Chen et al. 2023): all ask one; each route is as
#: likely; the k-th has 1 / k of the first's share; no route comes again before all others came.
Popularity = Literal["identical", "uniform", "zipf", "distinct"]
POPULARITIES: tuple[Popularity, ...] = get_args(Popularity)
Route = TypeVar("Route")


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the times of a Poisson process, in seconds from its start.

    Args:
        rate: Requests a second on average.
        seconds: Nothing is due later.
        seed: The same one gives the same times.
    """
    draw = random.Random(seed)
    times: list[float] = []
    now = draw.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += draw.expovariate(rate)
    return times


def spread(popularity: Popularity, routes: Sequence[Route], count: int, seed: int) -> list[Route]:
    """Return the route of each of `count` requests.

    Args:
        popularity: One of `POPULARITIES`.
        routes: The most popular first.
        count: Of requests.
        seed: The same one gives the same routes.
    """
    draw = random.Random(seed)
    if popularity == "identical":
        return [routes[0]] * count
    if popularity == "uniform":
        return draw.choices(routes, k=count)
    if popularity == "zipf":
        shares = list(accumulate(1 / place for place in range(1, len(routes) + 1)))
        return draw.choices(routes, cum_weights=shares, k=count)
    order = draw.sample(routes, len(routes))
    return [order[number % len(order)] for number in range(count)]
