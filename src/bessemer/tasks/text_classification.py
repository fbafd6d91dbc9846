"""One label for one text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import ClassReport, Confusion, Measurement
from bessemer.measures.calibration import calibration_error, probabilities
from bessemer.measures.classification import by_class, confusions, macro_f1
from bessemer.measures.intervals import bootstrap, wilson
from bessemer.tasks.base import Task, TokenIds

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn


class TextClassification(Task):
    """Single-label classification with a linear head on a sentence vector."""

    version = 1
    roles = ("text", "label")
    metric_names = ("accuracy", "macro_f1", "calibration_error")

    def targets(self, values: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
        """Return class numbers, shape [n]."""
        numbers = {label: number for number, label in enumerate(labels)}
        return np.array([numbers[value] for value in values], dtype=np.int64)

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> TokenIds:
        """Return token ids; a longer text keeps its beginning and its closing token."""
        encodings = tokenizer.encode_batch_fast(list(texts))
        return [
            ids if len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]]
            for ids in (encoding.ids for encoding in encodings)
        ]

    def head(self, width: int, labels: Sequence[str]) -> nn.Module:
        """Return a linear layer."""
        from torch import nn

        return nn.Linear(width, len(labels))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets)

    def decode(
        self, logits: NDArray[np.float32], labels: Sequence[str], temperature: float, top_k: int
    ) -> list[list[dict[str, Any]]]:
        """Return `{"label", "score"}` dictionaries, most probable first."""
        chances = probabilities(logits, temperature)
        order = np.argsort(-chances, axis=1, kind="stable")[:, :top_k]
        return [
            [{"label": labels[number], "score": float(row[number])} for number in best]
            for row, best in zip(chances, order, strict=True)
        ]

    def metrics(
        self,
        targets: NDArray[np.int64],
        logits: NDArray[np.float32],
        labels: Sequence[str],
        *,
        temperature: float,
        confidence: float,
        resamples: int,
        seed: int,
    ) -> tuple[dict[str, Measurement], list[ClassReport], list[Confusion]]:
        """Return accuracy (Wilson), macro-F1 and calibration error (bootstrap)."""
        predicted = logits.argmax(axis=1).astype(np.int64)
        best = probabilities(logits, temperature).max(axis=1)
        correct = predicted == targets
        draws: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
        draws["bounds"] = (0.0, 1.0)
        metrics = [
            wilson("accuracy", int(correct.sum()), len(targets), confidence),
            bootstrap(
                "macro_f1",
                lambda rows: macro_f1(targets[rows], predicted[rows], len(labels)),
                len(targets),
                **draws,
            ),
            bootstrap(
                "calibration_error",
                lambda rows: calibration_error(best[rows], correct[rows]),
                len(targets),
                **draws,
            ),
        ]
        return (
            {metric.name: metric for metric in metrics},
            by_class(targets, predicted, labels, confidence),
            confusions(targets, predicted, labels, confidence),
        )
