"""How far a model's probabilities can be believed, and the one number that mends them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Return softmax(logits / temperature), shape [n, classes]."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def log_loss(
    logits: NDArray[np.floating], actual: NDArray[np.int64], temperature: float = 1.0
) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats.

    Args:
        logits: Shape [n, classes].
        actual: True class numbers, shape [n].
        temperature: Divides the logits.
    """
    chances = probabilities(logits, temperature)[np.arange(len(actual)), actual]
    return float(-np.mean(np.log(np.maximum(chances, 1e-12))))


def fit_temperature(logits: NDArray[np.floating], actual: NDArray[np.int64]) -> float:
    """Return the temperature that minimises negative log-likelihood (Guo et al. 2017).

    Golden-section search over log-temperature in [1/20, 20]: the loss is unimodal there.

    Args:
        logits: Shape [n, classes], of examples that were not trained on.
        actual: True class numbers, shape [n].
    """

    def loss(log_temperature: float) -> float:
        return log_loss(logits, actual, float(np.exp(log_temperature)))

    low, high = -np.log(20.0), np.log(20.0)
    ratio = (np.sqrt(5.0) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Return the expected calibration error over equally filled bins (Nixon et al. 2019).

    Args:
        confidence: Probability of the answered class, shape [n].
        correct: Whether the answer was right, shape [n].
        bins: How many bins; each holds about n / bins examples.
    """
    order = np.argsort(confidence, kind="stable")
    error = 0.0
    for part in np.array_split(order, min(bins, len(order))):
        error += len(part) * abs(float(confidence[part].mean() - correct[part].mean()))
    return error / len(order)
