"""Inference by the Open Inference Protocol, version 2, with tensors as JSON or as bytes."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field
from pydantic_core import to_json

from bessemer.core.errors import RequestError
from bessemer.http import tensors
from bessemer.http.bodies import (
    Json,
    Strict,
    content,
    deadline,
    header,
    headers,
    key,
    sticky,
    unless_gone,
    validated,
)
from bessemer.http.metrics import Metrics
from bessemer.http.v2 import check_version, find
from bessemer.serve.answers import Answer, Wanted
from bessemer.serve.dataplane import DataPlane

_JSON_LENGTH = tensors.JSON_LENGTH.lower().encode()
Described = dict[str, Any]


class InputParameters(Strict):
    """Where a tensor's values lie."""

    #: Bytes behind the JSON; without it the values are `data`.
    binary_data_size: int | None = Field(None, ge=0)


class InputTensor(Strict):
    """One input tensor; only `text` of BYTES is known."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: InputParameters = Field(default_factory=InputParameters)


class OutputParameters(Strict):
    """How an output is wanted."""

    binary_data: bool | None = None


class Output(Strict):
    """An output that is wanted."""

    name: str
    parameters: OutputParameters = Field(default_factory=OutputParameters)


class InferenceParameters(Strict):
    """Options of a whole inference."""

    #: Whether outputs that do not say so themselves come as bytes.
    binary_data_output: bool = False
    #: Microseconds after which the answer is of no use; 0 for none.
    timeout: int = Field(0, ge=0, le=10**12)


class Inference(Strict):
    """The body of an inference, as far as it is JSON."""

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[Output] = Field(default_factory=list)
    parameters: InferenceParameters = Field(default_factory=InferenceParameters)


def routes(plane: DataPlane, metrics: Metrics) -> APIRouter:
    """Return the routes of inference on `plane`."""
    router = APIRouter(prefix="/v2/models/{model}", tags=["data plane"])

    async def answered(model: str, version: str | None, request: Request) -> Response:
        began = time.perf_counter()
        told, behind = tensors.split(await content(request), header(request, _JSON_LENGTH))
        body = validated(told, Inference)
        texts = texts_of(body, behind)
        # Before anything is computed; the answer may be another release's by then.
        owner, caller = key(request), sticky(request)
        served = find(plane, model, version, caller or owner)
        wanted(body, served.resident.task.describe())
        seconds = sooner(body, deadline(request))
        coming = plane.predict(
            model, owner, texts, Wanted(tensors=True), sticky=caller, deadline=seconds
        )
        answer = await unless_gone(request, coming)
        check_version(model, version, answer.release)
        metrics.answered(model, len(texts), began)
        return _rendered(model, body, answer, len(texts), headers(answer, began))

    @router.post("/infer", name="v2.infer")
    async def infer(model: str, request: Request) -> Response:
        """Answer a tensor of texts with the tensors that the model's metadata names."""
        return await answered(model, None, request)

    @router.post("/versions/{version}/infer", name="v2.version_infer")
    async def infer_version(model: str, version: str, request: Request) -> Response:
        """Answer a tensor of texts, if the route serves this release."""
        return await answered(model, version, request)

    return router


def texts_of(body: Inference, behind: bytes) -> list[str]:
    """Return the texts of an inference, whose bytes may lie behind it.

    Raises:
        RequestError: There is another tensor than `text`, or it is not as it says.
    """
    if len(body.inputs) != 1 or body.inputs[0].name != "text":
        names = ", ".join(repr(tensor.name) for tensor in body.inputs) or "none"
        raise RequestError(f"The inputs are {names}.", remedy="Send the one tensor 'text'.")
    tensor = body.inputs[0]
    if tensor.datatype != "BYTES":
        raise RequestError(f"text has datatype {tensor.datatype!r}.", remedy="Send BYTES.")
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is None):
        both = "both data and" if tensor.data is not None else "neither data nor"
        raise RequestError(f"text has {both} binary_data_size.", remedy="Send one of them.")
    if (size or 0) != len(behind):
        raise RequestError(
            f"text has binary_data_size {size}, and {len(behind)} bytes lie behind the JSON.",
            remedy=f"Send the tensor's size in bytes, and {tensors.JSON_LENGTH}.",
        )
    texts = _flat(tensor) if tensor.data is not None else tensors.unpack(behind)
    if tensor.shape not in ([len(texts)], [len(texts), 1]):
        raise RequestError(
            f"text has shape {str(tensor.shape)[:80]} and {len(texts)} values.",
            remedy=f"Send shape [{len(texts)}].",
        )
    return texts


def _flat(tensor: InputTensor) -> list[str]:
    """Return the values of a tensor in JSON, which may be nested like its shape."""
    values = tensor.data or []
    if len(tensor.shape) == 2 and all(isinstance(row, list) and len(row) == 1 for row in values):
        values = [row[0] for row in values]
    if odd := [value for value in values if not isinstance(value, str)]:
        raise RequestError(
            f"text holds {repr(odd[0])[:80]}.",
            remedy="Send strings, nested like the shape or flat.",
        )
    return values


def sooner(body: Inference, seconds: float | None) -> float | None:
    """Return the sooner one of the two deadlines that a request may have."""
    if not body.parameters.timeout:
        return seconds
    own = body.parameters.timeout / 1e6
    return own if seconds is None else min(own, seconds)


def wanted(body: Inference, described: list[Described]) -> list[tuple[Described, bool]]:
    """Return the outputs that were asked for, of all if none were, and which come as bytes.

    Raises:
        RequestError: One that was asked for does not exist.
    """
    binary = body.parameters.binary_data_output
    if not body.outputs:
        return [(tensor, binary) for tensor in described]
    known = {tensor["name"]: tensor for tensor in described}
    chosen = []
    for output in body.outputs:
        if output.name not in known:
            raise RequestError(
                f"There is no output {output.name!r}.", remedy=f"Known: {', '.join(known)}."
            )
        own = output.parameters.binary_data
        chosen.append((known[output.name], binary if own is None else own))
    return chosen


def _rendered(
    model: str, body: Inference, answer: Answer, count: int, told: dict[str, str]
) -> Response:
    """Return the answer as tensors."""
    outputs, blobs = [], []
    for tensor, binary in wanted(body, answer.task.describe()):
        values = answer.tensors[tensor["name"]]
        output = {**tensor, "shape": [count, *tensor["shape"][1:]]}
        if binary:
            blobs.append(tensors.pack(tensor["datatype"], values))
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = values
        outputs.append(output)
    result = {
        "model_name": model,
        "model_version": answer.release,
        "id": answer.call if body.id is None else body.id,
        "outputs": outputs,
    }
    if not blobs:
        return Json(result, headers=told)
    head = to_json(result)
    told[tensors.JSON_LENGTH] = str(len(head))
    return Response(b"".join([head, *blobs]), headers=told, media_type="application/octet-stream")
