"""How far a model's probabilities can be believed, and the one number that mends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Measurement
from bessemer.measures.intervals import SEEN, Sampling, equal_clusters, share, stretch

Floats = NDArray[np.float64]
#: Bins of the calibration error.
BINS = 10


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

    Golden-section search over log-temperature in [1/20, 20]: the loss is unimodal there. A standard
    normal prior of the log-temperature keeps few examples, none of which is answered wrongly, from
    asking for endless confidence; of many it changes nothing.

    Args:
        logits: Shape [n, classes], of examples that were not trained on.
        actual: What is true; see `log_loss`.
    """

    def loss(log_temperature: float) -> float:
        prior = log_temperature**2 / (2 * len(actual))
        return log_loss(logits, actual, float(np.exp(log_temperature))) + prior

    low, high = -np.log(20.0), np.log(20.0)
    ratio = (np.sqrt(5.0) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def binned(confidence: Floats) -> NDArray[np.int64]:
    """Return the number of each answer's bin, shape [n]: `BINS` of about as many, surest last.

    Answers of one confidence share a bin, so that the order in which they stand decides nothing.
    """
    count = len(confidence)
    levels, level = np.unique(confidence, return_inverse=True)
    before = np.concatenate([[0], np.cumsum(np.bincount(level, minlength=len(levels)))[:-1]])
    filled = before[level] * min(BINS, count) // count
    return np.unique(filled, return_inverse=True)[1].astype(np.int64)


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over equally filled bins (Nixon et al. 2019).

    Args:
        confidence: Probability of the answered class, shape [n].
        correct: Whether the answer was right, shape [n].
    """
    gaps = np.bincount(binned(confidence), weights=confidence - correct)
    return float(np.abs(gaps).sum()) / len(confidence)


def measured_error(told: Sequence[Sequence[tuple[float, bool]]], sampling: Sampling) -> Measurement:
    """Return the calibration error of all answers, with an interval for the true one.

    The error of a sample lies above the truth: noise in a bin counts as error. So the interval is
    that of an inverted test (docs/decisions/0004-bootstrap-bias.md): it ends where noise would
    seldom lead to so high a value, or to so low a one.

    Args:
        told: For each example the score of each of its answers and whether that was right, one
            answer at least in all; answers of one example, and of one cluster, are alike.
        sampling: Coverage, draws of the noise and their seed, clusters of the examples.
    """
    rows = np.repeat(np.arange(len(told)), [len(answers) for answers in told])
    confidence = np.array([score for answers in told for score, _ in answers], dtype=np.float64)
    right = np.array([hit for answers in told for _, hit in answers], dtype=bool)
    number = binned(confidence)
    gaps = np.bincount(number, weights=confidence - right) / len(rows)
    value = float(np.abs(gaps).sum())
    of = rows if sampling.clusters is None else sampling.clusters[rows]
    units = np.unique(of, return_inverse=True)[1]
    low, high, count = 0.0, 1.0, int(units.max()) + 1
    if count > 1:
        covariance = _covariance(confidence, right, number, units)
        noise = np.random.default_rng(sampling.seed).multivariate_normal(
            np.zeros(len(gaps)), covariance, sampling.resamples, method="eigh"
        )
        noise *= stretch(equal_clusters(units), sampling.confidence)
        low, high = _inverted(gaps, noise, (1 - sampling.confidence) / 2)
    if min(right.sum(), (~right).sum()) < SEEN:
        # Where so few are wrong, their noise is known too little. But the error is no less than the
        # gap of all answers together.
        together, sure = share("right", right, sampling.over(rows)), float(confidence.mean())
        high = max(high, sure - together.low, together.high - sure)
    return Measurement(
        name="calibration_error",
        value=value,
        low=min(value, low),
        high=max(value, min(1.0, high)),
        count=len(told),
        interval="inverted test",
    )


def _covariance(
    confidence: Floats, right: NDArray[np.bool_], bins: NDArray[np.int64], units: NDArray[np.int64]
) -> Floats:
    """Return the covariance of the bins' mean gaps, shape [bins, bins].

    Args:
        confidence: Of each answer, shape [m].
        right: Whether it is, shape [m].
        bins: The number of its bin, shape [m].
        units: The number of its example or cluster, shape [m]; all answers of one are alike.
    """
    size, count = len(confidence), int(units.max()) + 1
    gaps = np.bincount(bins, weights=confidence - right) / size
    each = np.zeros((count, len(gaps)))
    np.add.at(each, (units, bins), confidence - right)
    each -= np.outer(np.bincount(units), gaps)
    covariance = each.T @ each * count / (count - 1) / size**2
    # Where few answers are wrong, none of a bin's may be so by chance, and the bin seems to have
    # no variance: it has at least that of answers that are right as often as they say.
    least = np.bincount(bins, weights=confidence * (1 - confidence)) / size**2
    return np.asarray(covariance + np.diag(np.maximum(0, least - np.diag(covariance))))


def _inverted(gaps: Floats, noise: Floats, tail: float) -> tuple[float, float]:
    """Return the ends of an interval for the sum of absolute true gaps.

    Of all true gaps with so low a sum as the lower end, those are supposed that are likeliest,
    given those that were seen: each of these less a part in proportion to its variance. Of all
    with so high a sum as the upper end, those to which noise adds least: in proportion to its
    standard deviation.

    Args:
        gaps: As they were seen, shape [bins].
        noise: Draws of what the sample adds to the true gaps, shape [draws, bins].
        tail: Share of the draws beyond each end.
    """
    sizes, signs, spread = np.abs(gaps), np.where(gaps < 0, -1.0, 1.0), noise.var(axis=0)
    value = float(sizes.sum())
    if not spread.any():
        return value, value
    even = np.sqrt(spread) / np.sqrt(spread).sum()

    def seen(supposed: Floats) -> Floats:
        return np.asarray(np.abs(signs * supposed + noise).sum(axis=1))

    def lower(step: float) -> Floats:
        return np.asarray(np.maximum(0, sizes - step * spread))

    # At half of the last step nothing is left.
    last = 2 * float(np.max(np.divide(sizes, spread, out=np.zeros_like(sizes), where=spread > 0)))
    low = _last(0.0, last, lambda step: float((seen(lower(step)) >= value).mean()) > tail)
    # From this sum on, noise cannot lead back to the value.
    far = value + float(np.abs(noise).sum(axis=1).max())
    high = _last(0.0, far, lambda total: float((seen(total * even) <= value).mean()) > tail)
    return float(lower(low).sum()), high


def _last(start: float, end: float, holds: Callable[[float], bool]) -> float:
    """Return up to where it holds, by bisection."""
    for _ in range(30):
        middle = (start + end) / 2
        start, end = (middle, end) if holds(middle) else (start, middle)
    return start


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
