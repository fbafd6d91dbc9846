"""Embeddings in the shape of Hugging Face's feature extraction: `POST /embed/{route}`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import Field

from bessemer.core.errors import RequestError
from bessemer.http.bodies import Json, Strict, deadline, headers, key, parse, sticky, unless_gone
from bessemer.http.metrics import Metrics
from bessemer.serve.answers import Embedded
from bessemer.serve.dataplane import DataPlane


class Extraction(Strict):
    """The body: texts, and what `huggingface_hub` and TEI's clients may say about their vectors."""

    inputs: str | list[str]
    dimensions: int | None = Field(None, ge=1)
    #: Vectors always have length 1, texts that are too long are always cut at their end, and
    #: JSON holds numbers.
    normalize: Literal[True] | None = None
    truncate: Literal[True] | None = None
    truncation_direction: Literal["right", "Right"] | None = None
    encoding_format: Literal["float"] | None = None


def routes(plane: DataPlane, metrics: Metrics) -> APIRouter:
    """Return the embedding route of `plane`."""
    router = APIRouter(tags=["data plane"])

    @router.post("/embed/{route}", name="embed")
    async def embed(route: str, request: Request) -> Json:
        """Answer each text with the vector that the route's encoder makes of it, of length 1."""
        began = time.perf_counter()
        body = await parse(request, Extraction)
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        found = await embedded(plane, request, route, texts, body.dimensions)
        metrics.answered(route, len(texts), began)
        vectors = [vector.tolist() for vector in found.vectors]
        return Json(vectors, headers=headers(found, began))

    return router


async def embedded(
    plane: DataPlane,
    request: Request,
    route: str,
    inputs: Sequence[str] | Sequence[Sequence[int]],
    dimensions: int | None,
) -> Embedded:
    """Return what the data plane makes of the inputs, its vectors cut to their first dimensions.

    Raises:
        RequestError: The vectors have not so many dimensions.
    """
    coming = plane.embed(
        route, key(request), inputs, sticky=sticky(request), deadline=deadline(request)
    )
    found = await unless_gone(request, coming)
    if dimensions is None:
        return found
    return found._replace(vectors=[_first(vector, dimensions) for vector in found.vectors])


def _first(vector: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Return the first dimensions of a vector, of length 1 again."""
    if dimensions > len(vector):
        raise RequestError(
            f"dimensions is {dimensions}, the route's vectors have {len(vector)}.",
            remedy=f"Ask for at most {len(vector)}.",
        )
    cut = vector[:dimensions]
    return cut / max(float(np.linalg.norm(cut)), 1e-12)
