"""How far a model's probabilities can be believed, and the one number that mends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Return softmax(logits / temperature), shape [n, classes]."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """Return 1 / (1 + exp(-logits)) of any shape."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64))))


def log_loss(logits: NDArray[np.floating], actual: NDArray[Any], temperature: float = 1.0) -> float:
    """Return the mean negative log-likelihood of what is true, in nats.

    Args:
        logits: Shape [n, classes].
        actual: True class numbers, shape [n]; or 0 and 1 of shape [n, classes], where each class
            is true or not by itself.
        temperature: Divides the logits.
    """
    if actual.ndim == 2:
        scaled = np.asarray(logits, dtype=np.float64) / temperature
        return float(np.mean(np.logaddexp(0, scaled) - actual * scaled))
    chances = probabilities(logits, temperature)[np.arange(len(actual)), actual]
    return float(-np.mean(np.log(np.maximum(chances, 1e-12))))


def fit_temperature(logits: NDArray[np.floating], actual: NDArray[Any]) -> float:
    """Return the temperature that minimises negative log-likelihood (Guo et al. 2017).

    Golden-section search over log-temperature in [1/20, 20]: the loss is unimodal there.

    Args:
        logits: Shape [n, classes], of examples that were not trained on.
        actual: What is true; see `log_loss`.
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


def by_example(told: Sequence[Sequence[tuple[float, bool]]]) -> Callable[..., float]:
    """Return the calibration error as a function of example numbers, for a bootstrap.

    Args:
        told: For each example the score of each of its answers and whether that was right;
            answers of one example are right or wrong together, so they are drawn together.
    """
    counts = [len(answers) for answers in told]
    ends = np.cumsum([0, *counts])
    scores = np.array([score for answers in told for score, _ in answers])
    right = np.array([hit for answers in told for _, hit in answers], dtype=bool)
    groups = [np.arange(a, b) for a, b in pairwise(ends)]

    def error(rows: NDArray[np.int64]) -> float:
        chosen = np.concatenate([groups[row] for row in rows])
        return calibration_error(scores[chosen], right[chosen]) if len(chosen) else 0.0

    return error


def f1_threshold(chances: Floats, actual: NDArray[np.floating]) -> float:
    """Return the probability above which telling a label gives the highest micro-F1.

    Args:
        chances: Shape [n, classes].
        actual: 0 and 1, same shape.

    Returns:
        Halfway between the last label that is told and the first that is not.
    """
    order = np.argsort(-chances, axis=None, kind="stable")
    sorted_chances = chances.ravel()[order]
    hits = np.cumsum(actual.ravel()[order])
    if not hits[-1]:
        return 1.0
    scores = 2 * hits / (np.arange(1, len(order) + 1) + hits[-1])
    # Equal probabilities are told together or not at all.
    scores[:-1][sorted_chances[:-1] == sorted_chances[1:]] = -1
    best = int(scores.argmax())
    below = sorted_chances[best + 1] if best + 1 < len(order) else 0.0
    return float(max((sorted_chances[best] + below) / 2, np.nextafter(below, 1.0)))
