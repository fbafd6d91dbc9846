"""The data plane in the shape of Hugging Face's pipelines: `POST /predict/{route}`."""

from __future__ import annotations

import time
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from bessemer.core.errors import RequestError
from bessemer.http.bodies import Json, Strict, deadline, headers, key, parse, sticky, unless_gone
from bessemer.http.metrics import Metrics
from bessemer.serve.answers import Answer, Wanted
from bessemer.serve.dataplane import DataPlane
from bessemer.tasks.base import Task

#: Parameters that the data plane itself holds against what serves.
EVERYWHERE = ("top_k", "label_sets", "group")


class Parameters(Strict):
    """Options of a prediction, those that `huggingface_hub` sends among them."""

    top_k: int | None = Field(1, ge=1, le=10_000)
    #: Of texts with one label: how often the labels told must have the right one among them.
    label_sets: float | None = Field(None, gt=0, lt=1)
    #: Whose thresholds apply, where the release has some by group.
    group: str | None = Field(None, max_length=1000)
    #: Of text classification: how scores are made of logits.
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None
    #: Of token classification: how tokens become entities.
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] | None = None
    #: Entities with these labels are left out.
    ignore_labels: list[str] | None = None


class Prediction(Strict):
    """The body of a prediction.

    `top_k`, `label_sets` and `group` may stand beside `inputs` or in `parameters`.
    """

    inputs: str | list[str]
    top_k: int | None = Field(None, ge=1, le=10_000)
    label_sets: float | None = Field(None, gt=0, lt=1)
    group: str | None = Field(None, max_length=1000)
    parameters: Parameters = Field(default_factory=Parameters)

    @property
    def asked(self) -> bool:
        """Return whether it says how many labels are wanted."""
        return self.top_k is not None or "top_k" in self.parameters.model_fields_set

    @property
    def coverage(self) -> float | None:
        """Return how often the labels told must have the right one among them, or None."""
        return self.label_sets or self.parameters.label_sets


def routes(plane: DataPlane, metrics: Metrics) -> APIRouter:
    """Return the prediction route of `plane`."""
    router = APIRouter(tags=["data plane"])

    @router.post("/predict/{route}", name="predict")
    async def predict(route: str, request: Request) -> Json:
        """Answer each text with its most probable labels, or with the entities in it.

        One text gives `[{"label", "score"}, …]`. Several give one object a text where each has
        one label, else, or with `top_k` or `label_sets`, one list a text. With `parameters` the
        answer is shaped as Hugging Face's hosted models shape it: labels come in one list a text,
        however many.
        """
        began = time.perf_counter()
        body = await parse(request, Prediction)
        if body.parameters.model_fields_set.difference(EVERYWHERE):
            _check(body.parameters, plane.routing.route(route).resident.task)
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        top_k = (body.top_k or body.parameters.top_k or 0) if body.asked else None
        coverage = body.coverage
        if coverage is not None and body.asked:
            raise RequestError("top_k and label_sets exclude each other.", remedy="Send one.")
        coming = plane.predict(
            route,
            key(request),
            texts,
            Wanted(top_k, coverage, body.group or body.parameters.group),
            sticky=sticky(request),
            deadline=deadline(request),
        )
        answer = await unless_gone(request, coming)
        metrics.answered(route, len(texts), began)
        return Json(_shaped(body, answer), headers=headers(answer, began))

    return router


def _check(given: Parameters, task: Task) -> None:
    """Raise for a parameter that the task cannot follow."""
    known = ("function_to_apply",) if task.pooled else ("aggregation_strategy", "ignore_labels")
    for name in given.model_fields_set - {*EVERYWHERE, *known}:
        raise RequestError(
            f"parameters.{name} has no meaning for this route's task.",
            remedy=f"It takes {', '.join([*EVERYWHERE, *known])}.",
        )
    if given.function_to_apply not in (None, task.link):
        raise RequestError(
            f"parameters.function_to_apply is {given.function_to_apply!r}, but this route was"
            f" trained and calibrated for {task.link!r}.",
            remedy="Leave it out.",
        )
    if given.aggregation_strategy == "none":
        raise RequestError(
            "parameters.aggregation_strategy is 'none', but this route answers with whole"
            " entities only.",
            remedy="Leave it out, or say 'simple'.",
        )


def _shaped(body: Prediction, answer: Answer) -> list[Any]:
    rows: list[Any] = answer.predictions
    if ignored := body.parameters.ignore_labels:
        rows = [[found for found in row if found["entity_group"] not in ignored] for row in rows]
    one = isinstance(body.inputs, str)
    if "parameters" in body.model_fields_set:
        return rows[0] if one and not answer.task.pooled else rows
    if one:
        return list(rows[0])
    if answer.task.answers_once and not body.asked and body.coverage is None:
        return [best[0] for best in rows]
    return rows
