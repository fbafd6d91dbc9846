"""The Open Inference Protocol, version 2, over REST (KServe's and Triton's)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from bessemer.core.errors import RequestError
from bessemer.core.version import VERSION
from bessemer.http.bodies import headers, parse, unless_gone
from bessemer.http.metrics import Metrics
from bessemer.serve.answers import Answer
from bessemer.serve.dataplane import DataPlane


class InputTensor(BaseModel):
    """One input tensor; only `text` of BYTES is known."""

    model_config = ConfigDict(extra="forbid")

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = Field(default_factory=dict)


class Inference(BaseModel):
    """The body of an inference."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[dict[str, Any]] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)


def routes(plane: DataPlane, metrics: Metrics) -> APIRouter:
    """Return the protocol's routes on `plane`."""
    router = APIRouter(prefix="/v2", tags=["data plane"])

    @router.get("", name="v2.server")
    async def server() -> dict[str, Any]:
        """Name the server."""
        return {"name": "bessemer", "version": VERSION, "extensions": []}

    @router.get("/health/live", name="v2.live")
    async def live() -> dict[str, bool]:
        """Say that the process answers."""
        return {"live": True}

    @router.get("/health/ready", name="v2.ready")
    async def ready() -> dict[str, bool]:
        """Say whether requests are taken; 503 while loading or draining."""
        plane.check_ready()
        return {"ready": True}

    _models(router, plane, metrics)
    return router


def _models(router: APIRouter, plane: DataPlane, metrics: Metrics) -> None:
    @router.get("/models/{model}/ready", name="v2.model_ready")
    async def model_ready(model: str) -> dict[str, Any]:
        """Say whether a route can serve."""
        plane.check_ready()
        plane.routing.route(model)
        return {"name": model, "ready": True}

    @router.get("/models/{model}", name="v2.metadata")
    async def metadata(model: str) -> dict[str, Any]:
        """Describe a route's tensors."""
        served = plane.routing.route(model)
        contents = served.resident.contents
        return {
            "name": model,
            "versions": [served.release],
            "platform": contents.engine,
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
            "outputs": served.resident.task.describe(),
            "parameters": {"labels": list(contents.labels), "task": contents.task},
        }

    @router.post("/models/{model}/infer", name="v2.infer")
    async def infer(model: str, request: Request) -> JSONResponse:
        """Answer a tensor of texts with the tensors that the model's metadata names."""
        with metrics.watch(model):
            body = await parse(request, Inference)
            texts = _texts(body)
            # Before anything is computed; the answer may be another release's by then.
            _wanted(body, plane.routing.route(model).resident.task.describe())
            coming = plane.predict(model, request.state.key, texts, None, tensors=True)
            answer = await unless_gone(request, coming)
        metrics.texts.labels(model).inc(len(texts))
        told = _answered(model, body, answer, len(texts))
        return JSONResponse(told, headers=headers(answer))


def _answered(model: str, body: Inference, answer: Answer, count: int) -> dict[str, Any]:
    """Return the answer as tensors."""
    outputs = [
        {**tensor, "shape": [count, *tensor["shape"][1:]], "data": answer.tensors[tensor["name"]]}
        for tensor in _wanted(body, answer.task.describe())
    ]
    return {
        "model_name": model,
        "model_version": answer.release,
        "id": body.id or answer.call,
        "outputs": outputs,
    }


def _texts(body: Inference) -> list[str]:
    if len(body.inputs) != 1 or body.inputs[0].name != "text":
        names = ", ".join(repr(tensor.name) for tensor in body.inputs) or "none"
        raise RequestError(f"The inputs are {names}.", remedy="Send the one tensor 'text'.")
    tensor = body.inputs[0]
    if tensor.datatype != "BYTES":
        raise RequestError(f"text has datatype {tensor.datatype!r}.", remedy="Send BYTES.")
    if odd := [value for value in tensor.data if not isinstance(value, str)]:
        raise RequestError(f"text holds {odd[0]!r}.", remedy="Send a flat list of strings.")
    if tensor.shape not in ([len(tensor.data)], [len(tensor.data), 1]):
        raise RequestError(
            f"text has shape {tensor.shape} and {len(tensor.data)} values.",
            remedy=f"Send shape [{len(tensor.data)}].",
        )
    return list(tensor.data)


def _wanted(body: Inference, described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the descriptions of the outputs that were asked for, of all if none were."""
    known = {tensor["name"]: tensor for tensor in described}
    wanted = [str(output.get("name")) for output in body.outputs] or list(known)
    if odd := [name for name in wanted if name not in known]:
        raise RequestError(f"There is no output {odd[0]!r}.", remedy=f"Known: {', '.join(known)}.")
    return [known[name] for name in wanted]
