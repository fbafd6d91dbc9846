"""What the server tells Prometheus at `/metrics`."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition

from bessemer.serve.dataplane import DataPlane

#: Stands for every route that does not exist, so that callers cannot invent label values.
UNKNOWN = "(unknown)"


class Metrics:
    """Counters of one server."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.registry = CollectorRegistry()
        kinds: dict[str, Any] = {"registry": self.registry, "namespace": "bessemer"}
        names = ("route", "outcome")
        self.requests = Counter("requests", "Prediction requests by outcome.", names, **kinds)
        self.texts = Counter("texts", "Texts answered.", ("route",), **kinds)
        self.seconds = Histogram(
            "request_seconds",
            "Seconds from the whole request to its answer.",
            ("route",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            **kinds,
        )
        #: Of each route; to find them by their labels takes longer than to count.
        self._counters: dict[str, tuple[Counter, Counter, Histogram]] = {}
        Gauge("ready", "1 while requests are taken.", **kinds).set_function(
            lambda: float(plane.ready)
        )
        Gauge("waiting_texts", "Texts that wait for a core.", **kinds).set_function(
            lambda: plane.waiting[0]
        )
        Gauge("waiting_tokens", "Their tokens.", **kinds).set_function(lambda: plane.waiting[1])
        Gauge("routes", "Routes that can serve.", **kinds).set_function(
            lambda: len(plane.routing.served)
        )
        Gauge("broken_routes", "Routes whose release could not be loaded.", **kinds).set_function(
            lambda: len(plane.routing.broken)
        )

    def answered(self, route: str, texts: int, began: float) -> None:
        """Count a request that was answered.

        Args:
            route: As in the address; an alias counts for its route.
            texts: How many it held.
            began: When its handling began, by the performance counter.
        """
        route = self._plane.routing.resolve(route)
        if route not in self._counters:
            self._counters[route] = (
                self.requests.labels(route, "answered"),
                self.texts.labels(route),
                self.seconds.labels(route),
            )
        requests, counted, histogram = self._counters[route]
        requests.inc()
        counted.inc(texts)
        seconds = time.perf_counter() - began
        histogram.observe(seconds)
        self._plane.meter.answered(self._plane.routing.resolve(route), texts, seconds)

    def failed(self, outcome: str, route: str | None = None) -> None:
        """Count a request that was not answered.

        Args:
            outcome: The kind of error.
            route: As in the address, which may name none that exists; None where the address
                names none at all.
        """
        self.requests.labels(UNKNOWN, outcome).inc()
        known = self._plane.routing.resolve(route or "")
        self._plane.meter.failed(known if known in self._plane.routing.served else None)

    def routes(self) -> APIRouter:
        """Return `/metrics`."""
        router = APIRouter()

        @router.get("/metrics", name="metrics")
        def metrics() -> Response:
            """Give all counters in Prometheus' text format."""
            content = exposition.generate_latest(self.registry)
            return Response(content, media_type=exposition.CONTENT_TYPE_LATEST)

        return router
