"""The model as a BentoML service."""

from __future__ import annotations

from typing import Any

import bentoml
from bench.peers.minilm import Model, Settings

SETTINGS = Settings.of_environment()


@bentoml.service(
    workers=SETTINGS.workers,
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Classifier:
    """`{"texts": [one text]}` in, a list of one `{"label", "score"}` out."""

    def __init__(self) -> None:
        self._model = Model(SETTINGS)

    @bentoml.api(
        batchable=SETTINGS.batch > 1,
        max_batch_size=max(2, SETTINGS.batch),
        # The latency that its dispatcher aims at, not the time it waits.
        max_latency_ms=1000,
    )
    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        return self._model.classify(texts)
