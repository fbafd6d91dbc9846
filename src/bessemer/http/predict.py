"""The data plane in the shape of Hugging Face's pipelines: `POST /predict/{route}`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from bessemer.http.bodies import headers, parse, unless_gone
from bessemer.http.metrics import Metrics
from bessemer.serve.dataplane import DataPlane


class Parameters(BaseModel):
    """Options of a prediction."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(1, ge=1, le=10_000)


class Prediction(BaseModel):
    """The body of a prediction; `top_k` may stand beside `inputs` or in `parameters`."""

    model_config = ConfigDict(extra="forbid")

    inputs: str | list[str]
    top_k: int | None = Field(None, ge=1, le=10_000)
    parameters: Parameters = Field(default_factory=Parameters)


def routes(plane: DataPlane, metrics: Metrics) -> APIRouter:
    """Return the prediction route of `plane`."""
    router = APIRouter(tags=["data plane"])

    @router.post("/predict/{route}", name="predict")
    async def predict(route: str, request: Request) -> JSONResponse:
        """Answer each text with its most probable labels, or with the entities in it.

        One text gives `[{"label", "score"}, …]`. Several give one object a text where each has
        one label, else, or with `top_k`, one list a text.
        """
        with metrics.watch(route):
            body = await parse(request, Prediction)
            texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
            given = body.parameters
            asked = body.top_k is not None or "top_k" in given.model_fields_set
            top_k = (body.top_k or given.top_k or 0) if asked else None
            coming = plane.predict(route, request.state.key, texts, top_k)
            answer = await unless_gone(request, coming)
        metrics.texts.labels(route).inc(len(texts))
        result: list[Any] = answer.predictions
        if isinstance(body.inputs, str):
            result = answer.predictions[0]
        elif not asked and answer.task.answers_once:
            result = [best[0] for best in answer.predictions]
        return JSONResponse(result, headers=headers(answer))

    return router
