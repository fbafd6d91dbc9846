"""The verb `evaluate`: from logits to a report with intervals; and one model against another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bessemer.core.project import Evaluate
from bessemer.core.report import Measurement, Report
from bessemer.measures.intervals import bootstrap
from bessemer.tasks.base import Task


def report(
    task: Task,
    targets: NDArray[np.int64],
    logits: NDArray[np.float32],
    labels: tuple[str, ...],
    settings: Evaluate,
    *,
    temperature: float,
    engine: str,
    seed: int,
) -> Report:
    """Return the report of the test split.

    Args:
        task: Which decides what is measured.
        targets: Class numbers, shape [n].
        logits: Of the engine that will serve, shape [n, labels].
        labels: In the order of the logits' columns.
        settings: Coverage and resamples.
        temperature: As it will be served.
        engine: Its name, for the record.
        seed: Of the bootstrap.
    """
    metrics, classes, confusions = task.metrics(
        targets,
        logits,
        labels,
        temperature=temperature,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
    )
    return Report(
        split="test",
        confidence=settings.confidence,
        engine=engine,
        metrics=metrics,
        classes=tuple(classes),
        confusions=tuple(confusions),
    )


def difference(
    correct: NDArray[np.bool_], other: NDArray[np.bool_], settings: Evaluate, seed: int
) -> Measurement:
    """Return the accuracy of one model less another's on the same rows, paired bootstrap.

    Args:
        correct: Whether the new model was right, shape [n].
        other: Whether the other was, same rows.
        settings: Coverage and resamples.
        seed: Of the bootstrap.
    """
    gain = correct.astype(np.float64) - other.astype(np.float64)
    return bootstrap(
        "accuracy_difference",
        lambda rows: float(gain[rows].mean()),
        len(gain),
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
    )
