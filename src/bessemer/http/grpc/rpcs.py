"""What each rpc answers: the fields of its response, as the protocol names them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from bessemer.core.errors import NotReadyError, UnknownNameError
from bessemer.core.version import VERSION
from bessemer.http import repository
from bessemer.http.bodies import headers
from bessemer.http.grpc import inference
from bessemer.http.infer import sooner, texts_of, wanted
from bessemer.http.metrics import Metrics
from bessemer.http.v2 import check_version, describe, find
from bessemer.serve.answers import Wanted
from bessemer.serve.dataplane import DataPlane
from bessemer.service.platform import Platform

EXTENSIONS = ["model_repository", "parameters"]
#: The fields of a message.
Fields = dict[str, Any]


class Rpc(NamedTuple):
    """How an rpc is answered."""

    #: Takes the request, the id of the caller's key, and gRPC's context of the call.
    answer: Callable[[Any, str, Any], Awaitable[Fields]]
    #: Whether only owners may call it.
    control: bool = False
    #: Whether it is counted as a prediction.
    counted: bool = False


class Rpcs:
    """The rpcs of one server."""

    def __init__(self, platform: Platform, plane: DataPlane, metrics: Metrics) -> None:
        self._platform = platform
        self._plane = plane
        self._metrics = metrics

    def table(self) -> dict[str, Rpc]:
        """Return all of them by name."""
        return {
            "ServerLive": Rpc(self.server_live),
            "ServerReady": Rpc(self.server_ready),
            "ModelReady": Rpc(self.model_ready),
            "ServerMetadata": Rpc(self.server_metadata),
            "ModelMetadata": Rpc(self.model_metadata),
            "ModelInfer": Rpc(self.model_infer, counted=True),
            "RepositoryIndex": Rpc(self.index),
            "RepositoryModelLoad": Rpc(self.load, control=True),
            "RepositoryModelUnload": Rpc(self.unload, control=True),
        }

    async def server_live(self, request: Any, key: str, context: Any) -> Fields:
        """Say that the process answers."""
        return {"live": True}

    async def server_ready(self, request: Any, key: str, context: Any) -> Fields:
        """Say whether requests are taken; not while loading or draining."""
        return {"ready": self._plane.ready}

    async def model_ready(self, request: Any, key: str, context: Any) -> Fields:
        """Say whether a route can serve, and serves the release that is asked for, if one is."""
        try:
            find(self._plane, request.name, request.version or None)
        except (NotReadyError, UnknownNameError):
            return {"ready": False}
        return {"ready": self._plane.ready}

    async def server_metadata(self, request: Any, key: str, context: Any) -> Fields:
        """Name the server."""
        return {"name": "bessemer", "version": VERSION, "extensions": EXTENSIONS}

    async def model_metadata(self, request: Any, key: str, context: Any) -> Fields:
        """Describe a route's tensors."""
        served = find(self._plane, request.name, request.version or None)
        described = describe(request.name, served)
        del described["parameters"]  # the message has no place for them
        return described

    async def model_infer(self, request: Any, key: str, context: Any) -> Fields:
        """Answer a tensor of texts with the tensors that the model's metadata names."""
        began = time.perf_counter()
        model, version = request.model_name, request.model_version or None
        asked, behind = inference.body(request)
        texts = texts_of(asked, behind)
        # Before anything is computed; the answer may be another release's by then.
        caller = dict(context.invocation_metadata()).get("x-sticky-key")
        served = find(self._plane, model, version, caller or key)
        wanted(asked, served.resident.task.describe())
        seconds = sooner(asked, context.time_remaining())
        answer = await self._plane.predict(
            model, key, texts, Wanted(tensors=True), sticky=caller, deadline=seconds
        )
        check_version(model, version, answer.release)
        self._metrics.answered(model, len(texts), began)
        told = headers(answer, began)
        context.set_trailing_metadata([(name.lower(), value) for name, value in told.items()])
        raw = bool(request.raw_input_contents)
        return inference.rendered(model, asked, answer, len(texts), raw=raw)

    async def index(self, request: Any, key: str, context: Any) -> Fields:
        """List routes with the releases they serve, and why those that cannot serve cannot."""
        _check_repository(request)
        return {"models": repository.entries(self._plane.routing, ready=request.ready)}

    async def load(self, request: Any, key: str, context: Any) -> Fields:
        """Let a route serve again, and wait until it does."""
        _check_repository(request)
        inference.plain(request.parameters)
        await repository.loaded(self._platform, self._plane, key, request.model_name)
        return {}

    async def unload(self, request: Any, key: str, context: Any) -> Fields:
        """Let a route serve no more until it is loaded again, and wait until it does not."""
        _check_repository(request)
        # No route depends on another one, so that it makes no difference.
        inference.plain(request.parameters, "unload_dependents")
        await repository.unloaded(self._platform, self._plane, key, request.model_name)
        return {}


def _check_repository(request: Any) -> None:
    """Raise `UnknownNameError` for a repository with a name; there is one, without."""
    if request.repository_name:
        raise UnknownNameError("repository", request.repository_name, [])
