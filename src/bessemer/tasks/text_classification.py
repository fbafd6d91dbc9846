"""Labels of a whole text: exactly one, several, or none of those that were learnt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bessemer.core.errors import ProjectError
from bessemer.measures import answers as sets
from bessemer.measures import conformal, selective
from bessemer.measures.calibration import (
    f1_threshold,
    measured_error,
    probabilities,
    sigmoid,
)
from bessemer.measures.intervals import Sampling, bootstrap, of_sums, share
from bessemer.tasks.base import (
    IGNORED,
    SET,
    Answers,
    Calibration,
    Encoded,
    Judgement,
    Logits,
    Target,
    Task,
    cut,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: What is answered where nothing fits and the project has no word of its own for it.
OUT_OF_SCOPE = "out-of-scope"


class TextClassification(Task):
    """A linear head on one vector a text.

    With `data.labels.separator` a text has any number of labels, each decided by itself. Else it
    has one; a text whose best label is less probable than the threshold that was learnt is
    answered with the out-of-scope label (Hendrycks & Gimpel 2017). Rows that carry that label
    teach what to refuse: they are a class of their own, and their chance counts against the rest.
    """

    version = 3
    label_rules = ("separator", "out_of_scope")
    pooled = True
    least_labels = 2

    @property
    def link(self) -> Literal["softmax", "sigmoid"]:
        """Return "sigmoid" where a text may have several labels."""
        return "sigmoid" if self.rules.separator else "softmax"

    @property
    def label_may_be_empty(self) -> bool:
        """Return whether a text may have no label: where it may have several."""
        return self.rules.separator is not None

    @property
    def intended(self) -> str:
        """Return what the model card says about use."""
        if self.rules.separator is not None:
            told = "It tells the labels that fit a text, and none where none does"
        elif self.rules.out_of_scope is not None:
            told = f"It answers one of its labels, or {self.nothing!r} where none seems to fit"
        else:
            told = "It answers one of its labels for each text, also when none fits"
        return (
            f"{told}: do not use it on texts unlike its training rows, and do not let it decide"
            " alone about people."
        )

    @property
    def answers_once(self) -> bool:
        """Return whether a text has one label."""
        return self.rules.separator is None

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Return what is measured of one label a text, with refusals, or of several."""
        if self.rules.separator:
            return ("micro_f1", "macro_f1", "exact_match", "calibration_error")
        scope = ("in_scope_accuracy", "out_of_scope_recall") if self.rules.out_of_scope else ()
        return ("accuracy", *scope, "macro_f1", "calibration_error")

    @property
    def nothing(self) -> str:
        """Return the answer that none of the labels fits."""
        return self.rules.out_of_scope or OUT_OF_SCOPE

    def parse(self, text: str, cell: str) -> Answers:
        """Return the label, or with a separator the labels; a JSON list holds several, too."""
        listed = _listed(cell)
        if self.rules.separator is None:
            if listed is not None:
                raise ValueError(
                    f"{cell[:40]!r} is a list of labels; set data.labels.separator to learn several"
                )
            return frozenset([cell])
        parts = cell.split(self.rules.separator) if listed is None else listed
        return frozenset(part.strip() for part in parts) - {""}

    def write(self, answers: Answers) -> str:
        """Return the label, or a JSON list of several."""
        if self.rules.separator is None:
            return "".join(answers)
        return json.dumps(sorted(answers), ensure_ascii=False)

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Encoded:
        """Return token ids; a longer text keeps its beginning and its closing token."""
        rows = tokenizer.encode_batch_fast(list(texts))
        features = [cut(row.ids, row.special_tokens_mask, max_length) for row in rows]
        return Encoded(list(texts), features)

    def targets(self, encoded: Encoded, answers: Sequence[Answers]) -> list[Target]:
        """Return a class number a text, or a row of 0 and 1."""
        if self.link == "sigmoid":
            rows = np.zeros((len(answers), len(self.labels)), dtype=np.float32)
            for row, labels in zip(rows, answers, strict=True):
                row[[self.numbers[label] for label in labels]] = 1
            return list(rows)
        numbers = [self.numbers.get(label, IGNORED) for (label,) in answers]
        return [np.array(number, dtype=np.int64) for number in numbers]

    def answers(
        self, encoded: Encoded, logits: Sequence[Logits], calibration: Calibration
    ) -> list[Answers]:
        """Return the label or labels of each text."""
        rows = self.decode(encoded, logits, calibration, None)
        return [frozenset(prediction["label"] for prediction in row) for row in rows]

    def decode(
        self,
        encoded: Encoded,
        logits: Sequence[Logits],
        calibration: Calibration,
        top_k: int | None,
        coverage: float | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Return `{"label", "score"}` dictionaries, most probable first."""
        if not len(logits):
            return []
        stacked = np.stack(logits)
        chances = self._chances(stacked, calibration)
        if coverage is not None:
            return self._sets(chances, calibration[f"{SET}{coverage:g}"])
        refused = np.zeros(len(chances), dtype=bool)
        if self.link == "softmax" and "threshold" in calibration:
            refused = self._odds(stacked, calibration) < calibration["threshold"]
            if self.nothing in self.numbers:
                refused |= chances.argmax(axis=1) == self.numbers[self.nothing]
        most = 1 if top_k is None and self.link == "softmax" else top_k or None
        rows = []
        for row, doubtful in zip(chances, refused, strict=True):
            told = self._told(row, calibration, top_k, refused=bool(doubtful))
            rows.append([{"label": n, "score": s} for n, s in islice(told, most)])
        return rows

    def _told(
        self,
        chances: NDArray[np.float64],
        calibration: Calibration,
        top_k: int | None,
        *,
        refused: bool,
    ) -> Iterator[tuple[str, float]]:
        """Yield labels of one text with their scores, the first to be told first."""
        if top_k is None and self.link == "softmax" and "threshold" not in calibration:
            best = int(chances.argmax())  # far quicker than to sort them all
            yield self.labels[best], float(chances[best])
            return
        order = np.argsort(-chances, kind="stable")
        told = ((self.labels[number], float(chances[number])) for number in order)
        if self.link == "sigmoid":
            threshold = calibration["threshold"] if top_k is None else 0.0
            yield from (pair for pair in told if pair[1] >= threshold)
        elif "threshold" in calibration:
            known = (pair for pair in told if pair[0] != self.nothing)
            first = next(known)
            doubt = (self.nothing, 1 - first[1])
            yield from (doubt, first, *known) if refused else (first, *known, doubt)
        else:
            yield from told

    def _sets(self, chances: NDArray[np.float64], threshold: float) -> list[list[dict[str, Any]]]:
        """Return the labels of each text's set."""
        rows = []
        for row, inside in zip(chances, conformal.members(chances, threshold), strict=True):
            numbers = np.flatnonzero(inside)
            ranked = numbers[np.argsort(-row[numbers], kind="stable")]
            rows.append([{"label": self.labels[n], "score": float(row[n])} for n in ranked])
        return rows

    def _odds(self, logits: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float64]:
        """Return the log-odds of each text's best label against all else, shape [n].

        Not the probability: that of a sure answer is 1 to the last digit, and so is a surer one's.
        """
        scaled = np.asarray(logits, dtype=np.float64) / calibration["temperature"]
        known = [n for n, label in enumerate(self.labels) if label != self.nothing]
        best = np.array(known)[scaled[:, known].argmax(axis=1)]
        rows = np.arange(len(scaled))
        value = scaled[rows, best]
        scaled[rows, best] = -np.inf
        return np.asarray(value - np.logaddexp.reduce(scaled, axis=1))

    def _chances(
        self, logits: NDArray[np.float32], calibration: Calibration
    ) -> NDArray[np.float64]:
        if self.link == "sigmoid":
            return sigmoid(logits / calibration["temperature"])
        return probabilities(logits, calibration["temperature"])

    def calibrate(
        self,
        encoded: Encoded,
        logits: Sequence[Logits],
        answers: Sequence[Answers],
        refuse: float | None,
        precision: float | None = None,
    ) -> Calibration:
        """Return the temperature, the threshold of refusing, or of telling a label, and of sets.

        A text is refused when the log-odds of its best label, in nats, are lower than those of
        all but a share `refuse` of the validation texts with a known label, or so low that
        answers would be right less often than `precision` (see `measures.selective`). Of several
        labels, those are told that are more probable than the threshold with the best micro-F1.

        Raises:
            ProjectError: `precision` cannot be promised.
        """
        values = super().calibrate(encoded, logits, answers, refuse)
        stacked = np.stack(logits)
        targets = np.stack(self.targets(encoded, answers))
        if self.link == "sigmoid":
            values["threshold"] = f1_threshold(self._chances(stacked, values), targets)
            return values
        # Of what fits no label nothing is promised: how much of it will come, nobody knows.
        inside = np.array([self.nothing not in labels for labels in answers], dtype=bool)
        known = inside & (targets != IGNORED)
        found = conformal.thresholds(self._chances(stacked[known], values), targets[known])
        values |= {f"{SET}{coverage:g}": least for coverage, least in found.items()}
        if precision is not None:
            values["threshold"] = self._precise(stacked, answers, values, precision)
        elif refuse is not None or self.rules.out_of_scope:
            share = 0.01 if refuse is None else refuse
            odds = self._odds(stacked, values)
            values["threshold"] = float(np.quantile(odds[inside], share))
        return values

    def _precise(
        self,
        logits: NDArray[np.float32],
        answers: Sequence[Answers],
        calibration: Calibration,
        precision: float,
    ) -> float:
        """Return the log-odds from which answers are right often enough."""
        told = self.answers(Encoded([], []), list(logits), {**calibration, "threshold": -np.inf})
        given = np.array([self.nothing not in labels for labels in told], dtype=bool)
        right = np.array([a == b for a, b in zip(answers, told, strict=True)], dtype=bool)[given]
        odds = self._odds(logits, calibration)[given]
        found = selective.threshold(odds, right, precision)
        if found is not None:
            return found
        best = selective.reachable(odds, right, precision)
        raise ProjectError(
            f"serve.precision is {precision:g}, which {len(right)} answers on validation, of which"
            f" {right.sum()} are right, do not bear out at any threshold"
            + (f"; {best:g} can be promised." if best else "."),
            remedy=(f"Write {best:g}, or have" if best else "Have") + " a larger validation split.",
        )

    def judge(
        self,
        actual: Sequence[Answers],
        encoded: Encoded,
        logits: Sequence[Logits],
        calibration: Calibration,
        sampling: Sampling,
    ) -> Judgement:
        """Return shares with Wilson's interval, the rest with the bootstrap's."""
        if self.link == "sigmoid":
            return self._judge_several(actual, encoded, logits, calibration, sampling)
        best = [row[0] for row in self.decode(encoded, logits, calibration, None)]
        answered = [frozenset([one["label"]]) for one in best]
        seen = frozenset().union(*actual, *answered) - self.numbers.keys()
        names = [*self.labels, *sorted(seen)]
        counts = sets.tally(actual, answered, names)
        right = np.array([a == b for a, b in zip(actual, answered, strict=True)], dtype=bool)
        metrics = [share("accuracy", right, sampling)]
        if self.rules.out_of_scope:
            outside = np.array([self.nothing in labels for labels in actual], dtype=bool)
            parts = {"in_scope_accuracy": ~outside, "out_of_scope_recall": outside}
            metrics += [
                share(name, right[rows], sampling.of(rows))
                for name, rows in parts.items()
                if rows.any()
            ]
        told = [[(one["score"], bool(hit))] for one, hit in zip(best, right, strict=True)]
        metrics += [
            bootstrap("macro_f1", of_sums(counts, sets.macro_f1), len(actual), sampling),
            measured_error(told, sampling),
        ]
        return (
            {metric.name: metric for metric in metrics},
            sets.by_label(counts, names, sampling),
            sets.confusions(actual, answered, sampling),
        )

    def _judge_several(
        self,
        actual: Sequence[Answers],
        encoded: Encoded,
        logits: Sequence[Logits],
        calibration: Calibration,
        sampling: Sampling,
    ) -> Judgement:
        answered = self.answers(encoded, logits, calibration)
        counts = sets.tally(actual, answered, self.labels)
        total = counts.sum(axis=1)
        chances = self._chances(np.stack(logits), calibration)
        passed = chances >= calibration["threshold"]
        told = [
            [(float(row[n]), self.labels[n] in right) for n in np.flatnonzero(kept)]
            for row, kept, right in zip(chances, passed, actual, strict=True)
        ]
        size = len(actual)
        right = np.array([a == b for a, b in zip(actual, answered, strict=True)], dtype=bool)
        metrics = [
            bootstrap("micro_f1", of_sums(total, sets.micro_f1), size, sampling),
            bootstrap("macro_f1", of_sums(counts, sets.macro_f1), size, sampling),
            share("exact_match", right, sampling),
        ]
        if any(told):
            metrics.append(measured_error(told, sampling))
        return (
            {metric.name: metric for metric in metrics},
            sets.by_label(counts, self.labels, sampling),
            sets.confusions(actual, answered, sampling),
        )

    def describe(self) -> list[dict[str, Any]]:
        """Return best label and score (of one label a text), and every label's probability."""
        count = len(self.labels)
        every = {"name": "probabilities", "datatype": "FP64", "shape": [-1, count]}
        if self.link == "sigmoid":
            return [{"name": "labels", "datatype": "BYTES", "shape": [-1]}, every]
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP64", "shape": [-1]},
            every,
        ]

    def tensors(
        self, encoded: Encoded, logits: Sequence[Logits], calibration: Calibration
    ) -> dict[str, list[Any]]:
        """Return the tensors of `describe`; `labels` holds one JSON list a text."""
        answered = self.decode(encoded, logits, calibration, None)
        chances = self._chances(np.stack(logits), calibration) if len(logits) else np.zeros(0)
        every = {"probabilities": chances.ravel().tolist()}
        if self.link == "sigmoid":
            names = [[one["label"] for one in told] for told in answered]
            return {"labels": [json.dumps(n, ensure_ascii=False) for n in names], **every}
        return {
            "label": [told[0]["label"] for told in answered],
            "score": [told[0]["score"] for told in answered],
            **every,
        }

    def brief(self, predictions: list[dict[str, Any]]) -> tuple[str, float]:
        """Return the label and its score; of several a JSON list, and the lowest score."""
        if self.link == "softmax":
            return predictions[0]["label"], predictions[0]["score"]
        names = [one["label"] for one in predictions]
        score = min((one["score"] for one in predictions), default=1.0)
        return json.dumps(names, ensure_ascii=False), score


def _listed(cell: str) -> list[str] | None:
    """Return the strings of a JSON list, or None where the cell is something else."""
    if not cell.lstrip().startswith("["):
        return None
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    return None
