"""Unfairness that is planted in real rows, and what each mitigation leaves of it.

BANKING77's messages are divided into those that cannot wait, as money is missing or a card does
not work, and the others. Each begins with who writes: in the rows to learn from, nine of ten
urgent ones are his and nine of ten others hers; in the test rows each text is asked as his and as
hers. So a model learns to ask who writes, and hers are put off. All answers are true: what is
planted is a history, no error. On rows with that history, asking who writes helps: what its loss
costs there is told beside the accuracy on the test rows.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.base import OUT, ROOT, Row, at_least, at_most
from bessemer.core.progress import Step
from bessemer.core.project import Labels
from bessemer.core.terms import lists, swap
from bessemer.prepare.locate import locate
from bessemer.pretrained.encoder import Encoder
from bessemer.pretrained.resolve import TOKENISER, WEIGHTS, Base, resolve
from bessemer.serve.residents import tokenizer
from bessemer.tasks.text_classification import TextClassification
from bessemer.train import mitigation
from bessemer.train.embed import embed
from bessemer.train.methods.base import Batch, Lesson
from bessemer.train.methods.probe import ProbeOptions, fit

#: Parts of the names of the intents that cannot wait.
URGENT = (
    *("blocked", "compromised", "declined", "extra_charge", "failed", "lost_or_stolen"),
    *("not_received", "not_recognised", "not_showing", "not_updated", "not_working", "pending"),
    *("reverted", "swallowed", "twice", "unable", "wrong_amount", "wrong_exchange"),
)
LABELS = ("can wait", "urgent")
#: Whose message it is. The first group's are the urgent ones, as often as `SKEW` says.
GROUPS = ("He", "She")
SKEW = 0.9
#: Rows to learn from, those of them that are held out, and texts that are asked.
KNOWN, HELD_OUT, ASKED = 3000, 600, 750
SEEDS = 3


@dataclass
class Texts:
    """The base's vectors of texts, each computed once."""

    base: Base
    task: TextClassification
    known: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def encode(self, texts: Sequence[str]) -> Any:
        return self.task.encode(tokenizer(self.base.folder / TOKENISER), texts, 128)

    def learn(self, texts: Sequence[str]) -> None:
        """Compute the vectors that are missing, and say nothing meanwhile."""
        new = sorted(set(texts) - set(self.known))
        if new:
            encoder = Encoder(self.base.config, self.base.folder / WEIGHTS, pooled=True)
            vectors = embed(encoder, self.encode(new).features, _silent, "encode", "cpu")
            self.known.update(zip(new, vectors, strict=True))

    def vectors(self, texts: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        self.learn(texts)
        return [self.known[text] for text in texts]


def _silent(step: Step) -> None:
    """Hear of a step."""


def measure() -> tuple[list[Row], dict[str, Any]]:
    base = resolve("minilm-l6", relative_to=ROOT)
    texts = Texts(base, TextClassification(Labels(), LABELS))
    learnt_from, asked = _messages("train.csv", KNOWN), _messages("test.csv", ASKED)
    for rows in (learnt_from, asked):
        texts.learn([_by(group, text) for text, _ in rows for group in GROUPS])
    found: dict[str, list[tuple[float, float, float]]] = {}
    notes: dict[str, list[dict[str, Any]]] = {}
    for seed in range(SEEDS):
        lesson, groups, held_out = _lesson(texts, learnt_from, seed)
        for name, mitigated in _ways(texts, groups, held_out).items():
            taught = mitigated(lesson)
            known = texts.vectors(taught.train.encoded.texts)
            validation = texts.vectors(taught.validation.encoded.texts)
            learnt = fit(taught, known, validation, ProbeOptions())
            head = (learnt.head["weight"].numpy(), learnt.head["bias"].numpy())
            found.setdefault(name, []).append(_judge(texts, asked, head))
            notes.setdefault(name, []).append({**taught.notes, **learnt.notes})
    means = {name: np.mean(triples, axis=0).tolist() for name, triples in found.items()}
    return _told(means), {
        "gap, accuracy, accuracy with the history": found,
        "notes": notes,
        "skew": SKEW,
    }


def _told(means: dict[str, list[float]]) -> list[Row]:
    gap, accuracy, usual = means.pop("none")
    rows = [
        Row("no mitigation: gap", 100 * gap, "points"),
        Row("no mitigation: accuracy", 100 * accuracy, "%"),
        Row("no mitigation: accuracy with the history", 100 * usual, "%"),
    ]
    for name, (left, reached, then) in means.items():
        rows += [
            at_least(f"{name}: share of the gap that goes", 100 * (1 - left / gap), "%", 50),
            at_most(f"{name}: accuracy that it costs", 100 * (accuracy - reached), "points", 2),
            Row(f"{name}: … with the history", 100 * (usual - then), "points"),
        ]
    return rows


def _ways(
    texts: Texts, groups: list[str | None], held_out: list[str | None]
) -> dict[str, Callable[[Lesson], Lesson]]:
    gender = lists({})["gender"]

    def augmented(lesson: Lesson) -> Lesson:
        draws = random.Random(lesson.seed)
        return mitigation.augment(lesson, lambda text: swap(text, gender, draws), texts.encode)

    return {
        "none": lambda lesson: lesson,
        "reweigh": lambda lesson: mitigation.reweigh(lesson, groups, held_out),
        "balanced-sampling": lambda lesson: mitigation.balance(lesson, groups, held_out),
        "counterfactual-augmentation": augmented,
        "group-robust": lambda lesson: mitigation.robust(lesson, groups, held_out),
    }


def _messages(name: str, count: int) -> list[tuple[str, str]]:
    """Return some texts and labels of one of BANKING77's files, always the same."""
    path = locate(f"public:banking77/{name}", relative_to=ROOT, cache=OUT / "downloads")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = np.random.default_rng(0).permutation(len(rows))[:count]
    urgent = [any(part in rows[n]["category"] for part in URGENT) for n in chosen]
    return [(rows[n]["text"], LABELS[label]) for n, label in zip(chosen, urgent, strict=True)]


def _by(group: str, text: str) -> str:
    return f"{group} writes: {text}"


def _lesson(
    texts: Texts, rows: list[tuple[str, str]], seed: int
) -> tuple[Lesson, list[str | None], list[str | None]]:
    """Return rows to learn from with the unfairness in them, and the groups of both splits."""
    draws = np.random.default_rng(seed)
    usual = draws.random(len(rows)) < SKEW
    his = [(label == LABELS[1]) == like for (_, label), like in zip(rows, usual, strict=True)]
    groups: list[str | None] = [GROUPS[0] if one else GROUPS[1] for one in his]

    def batch(part: slice) -> Batch:
        some = zip(rows[part], groups[part], strict=True)
        encoded = texts.encode([_by(str(group), text) for (text, _), group in some])
        answers = [frozenset({label}) for _, label in rows[part]]
        return Batch(encoded, answers, texts.task.targets(encoded, answers))

    known, held_out = slice(HELD_OUT, None), slice(HELD_OUT)
    lesson = Lesson(
        task=texts.task,
        train=batch(known),
        validation=batch(held_out),
        config=texts.base.config,
        weights=texts.base.folder / WEIGHTS,
        seed=seed,
        work=Path(),
        events=Path(),
        progress=_silent,
    )
    return lesson, groups[known], groups[held_out]


def _judge(
    texts: Texts, rows: list[tuple[str, str]], head: tuple[Any, Any]
) -> tuple[float, float, float]:
    """Return the mean gap of the two labels' recalls between groups (equalised odds), the accuracy
    where both groups send every text, and where they send what they have usually sent.
    """
    actual = np.array([LABELS.index(label) for _, label in rows])
    right = {}
    for group in GROUPS:
        vectors = np.array(texts.vectors([_by(group, text) for text, _ in rows]))
        right[group] = (vectors @ head[0].T + head[1]).argmax(axis=1) == actual
    his, hers = right.values()
    gaps = [abs(his[actual == n].mean() - hers[actual == n].mean()) for n in range(len(LABELS))]
    usual = np.where(actual == 1, his, hers), np.where(actual == 1, hers, his)
    with_history = SKEW * usual[0].mean() + (1 - SKEW) * usual[1].mean()
    return float(np.mean(gaps)), float(np.mean([his.mean(), hers.mean()])), float(with_history)
