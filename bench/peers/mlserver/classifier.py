"""The model as an MLServer runtime."""

from __future__ import annotations

import numpy as np
from bench.peers.minilm import Model, Settings
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Classifier(MLModel):
    """Texts as a BYTES tensor in; label and score as tensors out."""

    async def load(self) -> bool:
        self._model = Model(Settings.of_environment())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        told = self._model.classify(StringCodec.decode_input(payload.inputs[0]))
        labels = StringCodec.encode_output("label", [one["label"] for one in told])
        scores = np.array([one["score"] for one in told])
        return InferenceResponse(
            model_name=self.name, outputs=[labels, NumpyCodec.encode_output("score", scores)]
        )
