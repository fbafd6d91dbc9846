"""How far a model's scores can be believed, and what can be promised by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Bin, CalibrationReport, LabelSet, Point, Selective
from bessemer.evaluate.examined import Examined
from bessemer.measures import selective
from bessemer.measures.calibration import Floats, binned, measured_error
from bessemer.measures.intervals import share
from bessemer.tasks.base import SET, Span, coverages

#: Texts whose scores of every label are in memory at once.
AT_ONCE = 1000
#: Precisions for which the report tells what it takes.
PRECISIONS = (0.9, 0.95, 0.98, 0.99)
#: Of each text the score of each of its answers, and whether that answer is right.
Scored = list[list[tuple[float, bool]]]


def calibration_report(examined: Examined, validation: Examined | None) -> CalibrationReport | None:
    """Return what the scores of the test split are worth; None where nothing is answered.

    Args:
        examined: The test split.
        validation: The validation split, where thresholds are chosen; without it none are.
    """
    after = _scored(examined, examined.predictions)
    before = _scored(examined, _uncalibrated(examined))
    if not any(after) or not any(before):
        return None
    once = examined.task.answers_once
    return CalibrationReport(
        temperature=examined.calibration["temperature"],
        before=measured_error(before, examined.sampling),
        after=measured_error(after, examined.sampling),
        bins=tuple(_bins(after, examined)),
        curve=_curve(after, _given(examined) if once else None),
        selective=tuple(_selective(examined, validation)) if once and validation else (),
        sets=tuple(_sets(examined)),
    )


def _uncalibrated(examined: Examined) -> list[list[dict[str, Any]]]:
    """Return the same answers with the scores that they have at temperature 1.

    Of spans those that are found at temperature 1: their scores are of other spans else.
    """
    task = examined.task
    calibration = {**examined.calibration, "temperature": 1.0}
    if task.answers_once and "threshold" not in calibration:
        # The most probable label is the same at every temperature.
        return task.decode(examined.encoded, examined.logits, calibration, None)
    if not task.pooled:
        return task.decode(examined.encoded, examined.logits, calibration, 0)
    rows = []
    for start in range(0, len(examined), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        texts, features = examined.encoded.texts[part], examined.encoded.features[part]
        some = replace(examined.encoded, texts=texts, features=features)
        every = task.decode(some, examined.logits[part], calibration, 0)
        for scores, told in zip(every, examined.predictions[part], strict=True):
            known = {one["label"]: one for one in scores}
            rows.append([known[one["label"]] for one in told])
    return rows


def _scored(examined: Examined, predictions: list[list[dict[str, Any]]]) -> Scored:
    return [
        [(one["score"], _answer(one) in right) for one in row]
        for row, right in zip(predictions, examined.actual, strict=True)
    ]


def _answer(told: dict[str, Any]) -> str | Span:
    """Return the answer that a prediction tells."""
    if "label" in told:
        label: str = told["label"]
        return label
    return Span(told["start"], told["end"], told["entity_group"])


def _flat(scored: Scored) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Return score, whether it is right, and the number of its text, of each answer."""
    pairs = [pair for row in scored for pair in row]
    return (
        np.array([score for score, _ in pairs], dtype=np.float64),
        np.array([right for _, right in pairs], dtype=bool),
        np.repeat(np.arange(len(scored)), [len(row) for row in scored]),
    )


def _bins(scored: Scored, examined: Examined) -> list[Bin]:
    """Return bins of about as many answers each, surest last."""
    score, right, rows = _flat(scored)
    number = binned(score)
    parts = (np.flatnonzero(number == one) for one in range(number.max() + 1))
    return [
        Bin(
            confidence=float(score[part].mean()),
            right=share("right", right[part], examined.sampling.over(rows[part])),
        )
        for part in parts
    ]


def _given(examined: Examined) -> NDArray[np.bool_]:
    """Return which texts are answered with a label: to say that none fits is no answer."""
    nothing = examined.task.nothing
    return np.array([nothing not in one for one in examined.answered], dtype=bool)


def _curve(scored: Scored, given: NDArray[np.bool_] | None) -> tuple[Point, ...]:
    """Return the risk-coverage curve of all answers, or of those to the texts of a mask."""
    score, right, rows = _flat(scored)
    kept = np.ones(len(score), dtype=bool) if given is None else given[rows]
    if not kept.any():
        return ()
    points = selective.curve(score[kept], right[kept])
    part = float(kept.mean())
    return tuple(point.model_copy(update={"coverage": point.coverage * part}) for point in points)


def _selective(examined: Examined, validation: Examined) -> list[Selective]:
    """Return for each precision the threshold of validation, and what it reaches here."""
    given, known = _given(examined), _given(validation)
    found = []
    for precision in PRECISIONS:
        threshold = selective.threshold(validation.score[known], validation.right[known], precision)
        kept = given & (examined.score >= (np.inf if threshold is None else threshold))
        reached = None
        if kept.any():
            reached = share("precision", examined.right[kept], examined.sampling.of(kept))
        found.append(
            Selective(
                precision=precision,
                threshold=threshold,
                coverage=None if threshold is None else share("coverage", kept, examined.sampling),
                reached=reached,
            )
        )
    return found


def _sets(examined: Examined) -> list[LabelSet]:
    """Return for each coverage what its sets hold, of the texts that one of the labels fits."""
    task = examined.task
    learnt = task.numbers.keys() - {task.nothing}
    known = np.array([one <= learnt for one in examined.actual], dtype=bool)
    if not known.any():
        return []
    found = []
    for coverage in coverages(examined.calibration):
        told = task.decode(examined.encoded, examined.logits, examined.calibration, None, coverage)
        names = [{one["label"] for one in row} for row in told]
        hits = np.array([a <= b for a, b in zip(examined.actual, names, strict=True)], dtype=bool)
        sizes = np.array([len(row) for row in names])[known]
        found.append(
            LabelSet(
                wanted=coverage,
                threshold=examined.calibration[f"{SET}{coverage:g}"],
                coverage=share("coverage", hits[known], examined.sampling.of(known)),
                size=float(sizes.mean()),
                empty=float((sizes == 0).mean()),
            )
        )
    return found
