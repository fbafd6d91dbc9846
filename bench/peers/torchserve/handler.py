"""The model as a TorchServe handler."""

from __future__ import annotations

from typing import Any

from bench.peers.minilm import Model, Settings


class Classifier:
    """A JSON string as the body in, `{"label", "score"}` out."""

    def initialize(self, context: Any) -> None:
        self._model = Model(Settings.of_environment())

    def handle(self, data: list[dict[str, str]], context: Any) -> list[dict[str, Any]]:
        return self._model.classify([row["body"] for row in data])
