"""The Open Inference Protocol, version 2, over REST (KServe's and Triton's): what is there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from bessemer.core.errors import UnknownNameError
from bessemer.core.version import VERSION
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.routing import Served

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "parameters"]


def find(
    plane: DataPlane, model: str, version: str | None = None, caller: str | None = None
) -> Served:
    """Return what a route serves; its version is the release.

    Args:
        plane: Serves it.
        model: The route.
        version: The release that it must serve, or None for any.
        caller: Who is served, where a canary takes a share; None for whom it does not take.

    Raises:
        UnknownNameError: There is no such route, or it serves another release.
    """
    served = plane.routing.route(model, caller)
    check_version(model, version, served.release)
    return served


def check_version(model: str, version: str | None, release: str) -> None:
    """Raise `UnknownNameError` if a version was asked for that is not the release."""
    if version is not None and version != release:
        raise UnknownNameError("version", version, [release], where=f"Of {model!r} ")


def routes(plane: DataPlane) -> APIRouter:
    """Return the protocol's routes on `plane` that compute nothing."""
    router = APIRouter(prefix="/v2", tags=["data plane"])

    @router.get("", name="v2.server")
    async def server() -> dict[str, Any]:
        """Name the server."""
        return {"name": "bessemer", "version": VERSION, "extensions": EXTENSIONS}

    @router.get("/health/live", name="v2.live")
    async def live() -> dict[str, bool]:
        """Say that the process answers."""
        return {"live": True}

    @router.get("/health/ready", name="v2.ready")
    async def ready() -> dict[str, bool]:
        """Say whether requests are taken; 503 while loading or draining."""
        plane.check_ready()
        return {"ready": True}

    _models(router, plane)
    _versions(router, plane)
    return router


def _models(router: APIRouter, plane: DataPlane) -> None:
    @router.get("/models/{model}/ready", name="v2.model_ready")
    async def ready(model: str) -> dict[str, Any]:
        """Say whether a route can serve."""
        plane.check_ready()
        find(plane, model)
        return {"name": model, "ready": True}

    @router.get("/models/{model}", name="v2.metadata")
    async def metadata(model: str) -> dict[str, Any]:
        """Describe a route's tensors."""
        return describe(model, find(plane, model))

    @router.get("/models/{model}/config", name="v2.config")
    async def config(model: str) -> dict[str, Any]:
        """Describe a route's tensors in the form of Triton's model configuration."""
        return _config(model, find(plane, model))


def _versions(router: APIRouter, plane: DataPlane) -> None:
    """Add the same addresses with a version in them: the release, which must be served."""

    @router.get("/models/{model}/versions/{version}/ready", name="v2.version_ready")
    async def ready(model: str, version: str) -> dict[str, Any]:
        """Say whether a route can serve, and serves this release."""
        plane.check_ready()
        find(plane, model, version)
        return {"name": model, "ready": True}

    @router.get("/models/{model}/versions/{version}", name="v2.version_metadata")
    async def metadata(model: str, version: str) -> dict[str, Any]:
        """Describe a route's tensors, if it serves this release."""
        return describe(model, find(plane, model, version))

    @router.get("/models/{model}/versions/{version}/config", name="v2.version_config")
    async def config(model: str, version: str) -> dict[str, Any]:
        """Describe them in the form of Triton's model configuration."""
        return _config(model, find(plane, model, version))


def describe(model: str, served: Served) -> dict[str, Any]:
    """Return a route's tensors, as its metadata tells them."""
    contents = served.resident.contents
    return {
        "name": model,
        "versions": [served.release],
        "platform": contents.engine,
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": served.resident.task.describe(),
        "parameters": {"labels": list(contents.labels), "task": contents.task},
    }


def _config(model: str, served: Served) -> dict[str, Any]:
    described = describe(model, served)

    def tensors(which: str) -> list[dict[str, Any]]:
        return [
            {
                "name": tensor["name"],
                "data_type": f"TYPE_{tensor['datatype'].replace('BYTES', 'STRING')}",
                "dims": tensor["shape"],
            }
            for tensor in described[which]
        ]

    return {
        "name": model,
        "platform": described["platform"],
        "backend": "bessemer",
        "max_batch_size": 0,  # the tensors' first dimension is the batch
        "input": tensors("inputs"),
        "output": tensors("outputs"),
    }
