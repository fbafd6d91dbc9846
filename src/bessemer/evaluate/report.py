"""The verb `evaluate`: from logits to a report with intervals; and one model against another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bessemer.core.project import Evaluate
from bessemer.core.report import Measurement, Report
from bessemer.measures.answers import resampled
from bessemer.measures.intervals import bootstrap
from bessemer.tasks.base import Answers, Calibration, Encoded, Logits, Sampling, Task


def report(
    task: Task,
    actual: Sequence[Answers],
    encoded: Encoded,
    logits: Sequence[Logits],
    settings: Evaluate,
    *,
    calibration: Calibration,
    engine: str,
    seed: int,
) -> Report:
    """Return the report of the test split.

    Args:
        task: Which decides what is measured.
        actual: What is right for each text.
        encoded: The texts.
        logits: Of the engine that will serve, one array a text.
        settings: Coverage and resamples.
        calibration: As it will be served.
        engine: Its name, for the record.
        seed: Of the bootstrap.
    """
    sampling = Sampling(settings.confidence, settings.resamples, seed)
    metrics, classes, confusions = task.judge(actual, encoded, logits, calibration, sampling)
    return Report(
        split="test",
        confidence=settings.confidence,
        engine=engine,
        headline=task.metric_names[0],
        metrics=metrics,
        classes=tuple(classes),
        confusions=tuple(confusions),
    )


def difference(
    task: Task,
    actual: Sequence[Answers],
    ours: Sequence[Answers],
    theirs: Sequence[Answers],
    settings: Evaluate,
    seed: int,
) -> Measurement:
    """Return the headline metric of one model less another's on the same rows, paired bootstrap.

    Args:
        task: Which says what the headline metric is.
        actual: What is right for each text.
        ours: What the new model answers.
        theirs: What the other one does.
        settings: Coverage and resamples.
        seed: Of the bootstrap.
    """
    counts = np.stack([task.tallies(actual, ours), task.tallies(actual, theirs)], axis=1)
    return bootstrap(
        f"{task.metric_names[0]}_difference",
        resampled(counts, lambda both: task.score(both[0]) - task.score(both[1])),
        len(counts),
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
    )
