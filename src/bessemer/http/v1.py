"""OpenAI's addresses: `/v1/models` and `/v1/embeddings`; a model is a route."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import Field

from bessemer.core.errors import RequestError
from bessemer.http.bodies import Json, Strict, headers, parse
from bessemer.http.embed import embedded
from bessemer.http.metrics import Metrics
from bessemer.serve.dataplane import DataPlane


class Embedding(Strict):
    """The body of a request for embeddings."""

    model: str
    #: A text, texts, the token ids of a text, or those of several.
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    #: Accepted and not used: the key says who asks.
    user: str | None = None


def routes(plane: DataPlane, metrics: Metrics) -> APIRouter:
    """Return OpenAI's routes on `plane`."""
    router = APIRouter(prefix="/v1", tags=["data plane"])

    @router.get("/models", name="v1.models")
    async def models() -> dict[str, Any]:
        """List the routes as models."""
        return {"object": "list", "data": [_model(route) for route in plane.routing.served]}

    @router.get("/models/{model}", name="v1.model")
    async def model(model: str) -> dict[str, Any]:
        """Describe a route as a model."""
        plane.routing.route(model)
        return _model(model)

    @router.post("/embeddings", name="v1.embeddings")
    async def embeddings(request: Request) -> Json:
        """Answer each text, or list of token ids, with a vector of length 1."""
        began = time.perf_counter()
        body = await parse(request, Embedding)
        inputs = _inputs(body.input)
        found = await embedded(plane, request, body.model, inputs, body.dimensions)
        metrics.answered(body.model, len(inputs), began)
        data = [
            {"object": "embedding", "index": index, "embedding": _written(vector, body)}
            for index, vector in enumerate(found.vectors)
        ]
        usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
        told = {"object": "list", "data": data, "model": body.model, "usage": usage}
        return Json(told, headers=headers(found, began))

    return router


def _model(route: str) -> dict[str, Any]:
    # When it was made is in the database, which the data plane does not read.
    return {"id": route, "object": "model", "created": 0, "owned_by": "bessemer"}


def _written(vector: NDArray[np.float32], body: Embedding) -> str | list[float]:
    if body.encoding_format == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _inputs(given: str | list[Any]) -> Sequence[str] | Sequence[list[int]]:
    """Return texts, or the token ids of texts."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise RequestError("input is empty.", remedy="Send a text, or token ids.")
    if all(isinstance(each, str) for each in given):
        return given
    rows = [given] if all(isinstance(each, int) for each in given) else given
    for number, row in enumerate(rows):
        if not isinstance(row, list) or not all(type(token) is int for token in row):
            raise RequestError(
                f"input.{number} is {repr(row)[:80]}.",
                remedy="Send a text, a list of texts, token ids, or a list of lists of token ids.",
            )
    return rows
