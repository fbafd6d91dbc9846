"""Labelled spans in a text: names, amounts, dates."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bessemer.core.report import Confusion
from bessemer.measures import answers as sets
from bessemer.measures.calibration import measured_error, probabilities
from bessemer.measures.intervals import Sampling, Statistic, bootstrap, of_sums, share
from bessemer.tasks.base import (
    IGNORED,
    Answers,
    Calibration,
    Encoded,
    Judgement,
    Logits,
    Span,
    Target,
    Task,
    cut,
    label_of,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Letters and digits that stand together; a character of a script without spaces by itself
#: (kana, Hangul excepted: Korean writes spaces); any other character that is no blank.
IDEOGRAPHS = (
    "\u2e80-\u2fdf\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}]+|\S")
_RUN = re.compile(rf"[^\W{IDEOGRAPHS}]")
#: Handicaps of the tag O to choose from, in nats; of equally good ones the first is taken.
HANDICAPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
#: What stands in a confusion where no span was answered, or one that ends elsewhere.
MISSED, ELSEWHERE = "(nothing)", "(other bounds)"


class TokenClassification(Task):
    """One tag a word in the BIO scheme (Ramshaw & Marcus 1995), decoded to spans of characters.

    A word's tag is read at the first token that begins in it. Tokens that hold several words, as
    those of Chinese may, speak for all of them. Spans neither overlap nor cut words.
    """

    version = 2
    pooled = False
    least_labels = 1
    metric_names = ("f1", "precision", "recall", "macro_f1", "calibration_error")

    @property
    def intended(self) -> str:
        """Return what the model card says about use."""
        return (
            "It finds spans of its labels in a text, and none where it sees none: do not use it on"
            " texts unlike its training rows, and check what it finds before it decides about"
            " people."
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the tags: O, then B and I of every label."""
        return ("O", *(f"{part}-{label}" for label in self.labels for part in "BI"))

    def parse(self, text: str, cell: str) -> Answers:
        """Return the spans of a JSON list of `{"start", "end", "label"}`, in characters."""
        try:
            listed = json.loads(cell)
            spans = [_span(one) for one in listed]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(
                f'{cell[:60]!r} is no list of spans as [{{"start": 0, "end": 5, "label": "city"}}]'
            ) from error
        words = list(_words(text))
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        last = 0
        for span in sorted(spans):
            shown = f"the span {span.start}–{span.end} ({span.label})"
            if not 0 <= span.start < span.end <= len(text):
                raise ValueError(f"{shown} does not lie in the text of {len(text)} characters")
            if span.start not in starts or span.end not in ends:
                raise ValueError(
                    f"{shown} is {text[span.start : span.end]!r}, which begins or ends inside a"
                    " word or with a blank"
                )
            if span.start < last:
                raise ValueError(f"{shown} overlaps the one before")
            last = span.end
        return frozenset(spans)

    def write(self, answers: Answers) -> str:
        """Return the spans as JSON, in the order of the text."""
        return json.dumps([span._asdict() for span in sorted(answers)], ensure_ascii=False)

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Encoded:
        """Return token ids and the words that each token speaks for; the end of long texts is cut.

        A position of `places` holds the characters from the first word that begins in the token
        to the end of the last one; -1 where no word begins.
        """
        rows, places = [], []
        for text, encoding in zip(texts, tokenizer.encode_batch(list(texts)), strict=True):
            rows.append(cut(encoding.ids, encoding.special_tokens_mask, max_length))
            offsets = encoding.offsets[: len(rows[-1])]
            if len(encoding.ids) > max_length:
                offsets[-1] = (0, 0)  # the closing token, or the first part of a word
            places.append(_places(text, offsets))
        return Encoded(list(texts), rows, places)

    def targets(self, encoded: Encoded, answers: Sequence[Answers]) -> list[Target]:
        """Return a tag number a position, `IGNORED` where no word begins."""
        assert encoded.places is not None
        numbers = {tag: number for number, tag in enumerate(self.outputs)}
        rows = []
        for places, spans in zip(encoded.places, answers, strict=True):
            row = np.where(places[:, 0] >= 0, 0, IGNORED)
            # A token may hold words of two spans: the first one has it, whatever the set's order.
            for span in sorted(spans):
                touched = (places[:, 0] < span.end) & (places[:, 1] > span.start)
                inside = touched & (row == 0)
                row[inside] = numbers.get(f"I-{span.label}", IGNORED)
                if (first := np.flatnonzero(inside)).size:
                    row[first[0]] = numbers.get(f"B-{span.label}", IGNORED)
            rows.append(row.astype(np.int64))
        return rows

    def answers(
        self, encoded: Encoded, logits: Sequence[Logits], calibration: Calibration
    ) -> list[Answers]:
        """Return the spans of each text."""
        return [
            frozenset(span for span, _ in row) for row in self._found(encoded, logits, calibration)
        ]

    def _found(
        self, encoded: Encoded, logits: Sequence[Logits], calibration: Calibration
    ) -> list[list[tuple[Span, float]]]:
        """Return each text's spans with their scores: the mean of their words' probabilities."""
        assert encoded.places is not None
        rows = []
        for places, values in zip(encoded.places, logits, strict=True):
            kept = np.flatnonzero(places[:, 0] >= 0)
            chances = probabilities(values[kept], calibration["temperature"])
            tags = best_tags(np.log(chances + 1e-30) - _doubt(chances, calibration))
            spans: list[Span] = []
            for position, tag in zip(kept, tags, strict=True):
                if tag == 0:
                    continue
                start, end = places[position].tolist()
                if tag % 2:
                    spans.append(Span(start, end, self.labels[(tag - 1) // 2]))
                else:
                    spans[-1] = spans[-1]._replace(end=end)
            rows.append([(span, _sure(span, places[kept], chances, tags)) for span in spans])
        return rows

    def decode(
        self,
        encoded: Encoded,
        logits: Sequence[Logits],
        calibration: Calibration,
        top_k: int | None,
        coverage: float | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Return the entities of each text in their order; nothing else can be asked for.

        Their keys are those of the Hugging Face pipeline: entity_group, score, word, start, end.
        """
        found = self._found(encoded, logits, calibration)
        return [
            [
                {
                    "entity_group": span.label,
                    "score": score,
                    "word": text[span.start : span.end],
                    "start": span.start,
                    "end": span.end,
                }
                for span, score in row
            ]
            for text, row in zip(encoded.texts, found, strict=True)
        ]

    def calibrate(
        self,
        encoded: Encoded,
        logits: Sequence[Logits],
        answers: Sequence[Answers],
        refuse: float | None,
        precision: float | None = None,
    ) -> Calibration:
        """Return the temperature, and the handicap of the tag O with the best F1.

        Entities to come are rarer in training than outside of it, so that recall is what lacks;
        the handicap is subtracted from the log-probability of O.
        """
        values = super().calibrate(encoded, logits, answers, refuse)
        scores = {}
        for doubt in HANDICAPS:
            answered = self.answers(encoded, logits, {**values, "doubt": doubt})
            scores[doubt] = float(sets.micro_f1(sets.tally(answers, answered).sum(axis=0)))
        return {**values, "doubt": max(scores, key=scores.__getitem__)}

    def judge(
        self,
        actual: Sequence[Answers],
        encoded: Encoded,
        logits: Sequence[Logits],
        calibration: Calibration,
        sampling: Sampling,
    ) -> Judgement:
        """Return entity-level F1, precision and recall (a span counts when all of it is right).

        Equal to seqeval's in its default mode. Intervals resample texts.
        """
        found = self._found(encoded, logits, calibration)
        answered = [frozenset(span for span, _ in row) for row in found]
        counts = sets.tally(actual, answered, self.labels, label_of)
        total = counts.sum(axis=1)
        size = len(actual)
        pairs = list(zip(actual, found, strict=True))
        metrics = [
            bootstrap("f1", of_sums(total, sets.micro_f1), size, sampling),
            bootstrap("precision", of_sums(total, _share(1)), size, sampling),
            bootstrap("recall", of_sums(total, _share(2)), size, sampling),
            bootstrap("macro_f1", of_sums(counts, sets.macro_f1), size, sampling),
        ]
        told = [[(score, span in right) for span, score in row] for right, row in pairs]
        if any(told):
            metrics.append(measured_error(told, sampling))
        return (
            {metric.name: metric for metric in metrics},
            sets.by_label(counts, self.labels, sampling),
            _confusions(actual, answered, sampling),
        )

    def describe(self) -> list[dict[str, Any]]:
        """Return one JSON list of entities a text."""
        return [{"name": "entities", "datatype": "BYTES", "shape": [-1]}]

    def tensors(
        self, encoded: Encoded, logits: Sequence[Logits], calibration: Calibration
    ) -> dict[str, list[Any]]:
        """Return the tensor of `describe`."""
        rows = self.decode(encoded, logits, calibration, None)
        return {"entities": [json.dumps(row, ensure_ascii=False) for row in rows]}

    def brief(self, predictions: list[dict[str, Any]]) -> tuple[str, float]:
        """Return the labels that were found, as a JSON list, and the lowest score."""
        names = sorted({one["entity_group"] for one in predictions})
        return json.dumps(names, ensure_ascii=False), min(
            (one["score"] for one in predictions), default=1.0
        )


def best_tags(scores: NDArray[np.float64]) -> list[int]:
    """Return the tags with the highest sum of scores in which no I follows another label (Viterbi).

    Args:
        scores: Of each word and tag, shape [words, tags]; tag 0 is O, odd tags are B, and the
            even one after each is I of the same label.
    """
    count = scores.shape[1]
    allowed = np.ones((count, count), dtype=bool)
    for inside in range(2, count, 2):
        allowed[:, inside] = False
        allowed[[inside - 1, inside], inside] = True
    penalty = np.where(allowed, 0.0, -np.inf)
    back = []
    reached = np.zeros(count)
    reached[2::2] = -np.inf
    for number, row in enumerate(scores):
        if number:
            paths = reached[:, None] + penalty
            back.append(paths.argmax(axis=0))
            reached = paths.max(axis=0)
        reached = reached + row
    tags = [int(reached.argmax())] if len(scores) else []
    for step in reversed(back):
        tags.append(int(step[tags[-1]]))
    return tags[::-1]


def _words(text: str) -> Iterator[tuple[int, int]]:
    """Yield the characters of each word; a mark belongs to what stands before it, and a run of
    letters goes on behind it.
    """
    word: tuple[int, int] | None = None
    marked = False
    for match in _WORD.finditer(text):
        start, end = match.span()
        joins = word is not None and word[1] == start
        mark = unicodedata.category(text[start])[0] == "M"
        if word is not None and joins and (mark or (marked and _RUN.match(text, start))):
            word, marked = (word[0], end), mark
            continue
        if word is not None:
            yield word
        word, marked = (start, end), False
    if word is not None:
        yield word


def _span(value: dict[str, Any]) -> Span:
    label = value.get("label", value.get("entity_group"))
    if not isinstance(label, str) or not label.strip():
        raise ValueError("no label")
    start, end = value["start"], value["end"]
    if type(start) is not int or type(end) is not int:
        raise ValueError("no whole numbers")
    return Span(start, end, label.strip())


def _places(text: str, offsets: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return for each token the characters of the words that begin in it, shape [length, 2]."""
    places = np.full((len(offsets), 2), -1, dtype=np.int64)
    words = _words(text)
    word = next(words, None)
    for position, (start, end) in enumerate(offsets):
        while word is not None and word[0] < start:
            word = next(words, None)  # its first token was cut away or made of nothing
        while word is not None and start <= word[0] < end:
            if places[position, 0] < 0:
                places[position, 0] = word[0]
            places[position, 1] = word[1]
            word = next(words, None)
    return places


def _doubt(chances: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    handicap = np.zeros(chances.shape[1])
    handicap[0] = calibration.get("doubt", 0.0)
    return handicap


def _sure(
    span: Span, places: NDArray[np.int64], chances: NDArray[np.float64], tags: list[int]
) -> float:
    inside = np.flatnonzero((places[:, 0] >= span.start) & (places[:, 1] <= span.end))
    return float(np.mean([chances[position, tags[position]] for position in inside]))


def _share(of: int) -> Statistic:
    """Return hits as a share of answered (1) or actual (2) answers, 0 where there are none."""
    return lambda totals: np.divide(
        totals[:, 0], totals[:, of], out=np.zeros(len(totals)), where=totals[:, of] > 0
    )


def _confusions(
    actual: Sequence[Answers], answered: Sequence[Answers], sampling: Sampling
) -> list[Confusion]:
    """Return what was answered in the place of each label's spans, most frequent first."""
    #: Of every span with the label: its text, and what was answered instead.
    places: dict[str, list[int]] = {}
    instead: dict[str, list[str]] = {}
    for row, (right, given) in enumerate(zip(actual, answered, strict=True)):
        bounds = {(span.start, span.end): span.label for span in given}
        for span in right:
            told = bounds.get((span.start, span.end))
            if told is None:
                touched = any(s.start < span.end and s.end > span.start for s in given)
                told = ELSEWHERE if touched else MISSED
            places.setdefault(span.label, []).append(row)
            instead.setdefault(span.label, []).append(told)
    pairs = Counter((label, told) for label, all_ in instead.items() for told in all_)
    ranked = sorted(
        ((pair, count) for pair, count in pairs.items() if pair[0] != pair[1]),
        key=lambda pair: (-pair[1], pair[0]),
    )[:20]
    return [
        Confusion(
            actual=label,
            predicted=told,
            share=share("share", np.array(instead[label]) == told, sampling.over(places[label])),
        )
        for (label, told), _ in ranked
    ]
