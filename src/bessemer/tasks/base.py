"""The contract of a task family: what is learnt, from which columns, judged by what.

Everything that is said about an example is a set of *answers*: the one label of a text, the
several labels of a text, the spans in a text. So precision, recall and every comparison of two
models are the same code for all families.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bessemer.core.catalogue import Catalogue
from bessemer.core.project import Labels
from bessemer.core.report import ClassReport, Confusion, Measurement
from bessemer.measures import calibration
from bessemer.measures.answers import Totals, micro_f1, tally
from bessemer.measures.intervals import Floats, Sampling

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

#: What an engine computes from for one example: token ids, shape [length].
Features = NDArray[np.int64]
#: What an engine computes for one example: shape [outputs], or [length, outputs] where the head
#: reads every position.
Logits = NDArray[np.float32]
#: What the loss of one example is computed against; see `Task.targets`.
Target = NDArray[Any]
#: Numbers learnt on the validation split: "temperature", "threshold" where one is used, and for
#: each coverage that sets of labels can be had for, as "set_0.9", from which probability.
Calibration = dict[str, float]
SET = "set_"

#: A position that nothing is learnt from: padding, the rest of a word, an unknown label.
IGNORED = -100


class Span(NamedTuple):
    """A labelled part of a text: its characters are `text[start:end]`."""

    start: int
    end: int
    label: str


Answers = frozenset[Any]


def cut(ids: list[int], special: list[int], max_length: int) -> Features:
    """Return token ids, those of a longer text cut at the end but for a closing special token."""
    if not ids:
        ids = [0]  # some tokenizers make nothing of an empty text
    if len(ids) > max_length:
        ids = [*ids[: max_length - 1], ids[-1 if special[-1] else max_length - 1]]
    return np.array(ids, dtype=np.int64)


def coverages(calibration: Calibration) -> list[float]:
    """Return the coverages that sets of labels can be had for, lowest first."""
    return sorted(float(name.removeprefix(SET)) for name in calibration if name.startswith(SET))


def said_by(writer: Task, reader: Task, rows: Sequence[Answers]) -> list[Answers]:
    """Return one task's answers in the words of another of its family.

    What says that no label fits has a name of its own in each, unless that name is a label of the
    other: then it means that label.
    """
    nothing = writer.nothing if writer.nothing in reader.labels else reader.nothing
    return [frozenset(nothing if one == writer.nothing else one for one in row) for row in rows]


def label_of(answer: str | Span) -> str:
    """Return the label of an answer."""
    return answer if isinstance(answer, str) else answer.label


@dataclass(frozen=True)
class Encoded:
    """Texts as an engine takes them, and what is needed to point back into them."""

    texts: list[str]
    features: list[Features]
    #: For each text, shape [length, 2], the characters that each position stands for, or -1
    #: where it stands for none; None where answers do not point into a text.
    places: list[NDArray[np.int64]] | None = None


Judgement = tuple[dict[str, Measurement], list[ClassReport], list[Confusion]]


class Task(ABC):
    """A task family, told which labels there are. Importing one loads no torch.

    Args:
        rules: What the project says about its labels.
        labels: Those that were learnt, in the order of their numbers; none while the rows that
            hold them are only being read.
    """

    #: Raised when the same examples would give other results.
    version: ClassVar[int]
    #: What the project may say about labels that means something here.
    label_rules: ClassVar[tuple[str, ...]] = ()
    #: Whether the head reads one vector a text, or one a position.
    pooled: ClassVar[bool]
    #: How many labels a data set must have at least.
    least_labels: ClassVar[int]

    def __init__(self, rules: Labels, labels: Sequence[str] = ()) -> None:
        self.rules = rules
        self.labels = tuple(labels)
        self.numbers = {label: number for number, label in enumerate(labels)}

    @property
    def link(self) -> Literal["softmax", "sigmoid"]:
        """Return how logits become probabilities: of one out of all, or of each by itself."""
        return "softmax"

    @property
    def label_may_be_empty(self) -> bool:
        """Return whether an empty label cell says something: that no label fits."""
        return False

    @property
    def nothing(self) -> str | None:
        """Return the answer that none of the labels fits, where there is such an answer."""
        return None

    @property
    @abstractmethod
    def intended(self) -> str:
        """Return what the model card says about use."""

    @property
    def answers_once(self) -> bool:
        """Return whether each text has exactly one answer."""
        return False

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return what each logit is for."""
        return self.labels

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """Return the names of what `judge` measures; the first one is the headline."""

    @abstractmethod
    def parse(self, text: str, cell: str) -> Answers:
        """Return what a cell of the label column says about a text.

        Raises:
            ValueError: It says nothing that this family understands; the message says why.
        """

    @abstractmethod
    def write(self, answers: Answers) -> str:
        """Return the cell that says `answers`, the inverse of `parse`."""

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Encoded:
        """Return token ids, special tokens included, at most `max_length` a text."""

    @abstractmethod
    def targets(self, encoded: Encoded, answers: Sequence[Answers]) -> list[Target]:
        """Return what the loss is computed against, one array a text.

        Of link "softmax": class numbers, int64, shape [] or [length], `IGNORED` where there is
        nothing to learn. Of link "sigmoid": 0 and 1, float32, shape [outputs].
        """

    @abstractmethod
    def answers(
        self, encoded: Encoded, logits: Sequence[Logits], calibration: Calibration
    ) -> list[Answers]:
        """Return what is answered to each text."""

    @abstractmethod
    def decode(
        self,
        encoded: Encoded,
        logits: Sequence[Logits],
        calibration: Calibration,
        top_k: int | None,
        coverage: float | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Return for each text its predictions, as they appear in an answer.

        Args:
            encoded: The texts.
            logits: As many rows.
            calibration: From `calibrate`.
            top_k: How many labels are told whatever their score; 0 for all of them; None for
                what `answers` answers.
            coverage: One of `coverages`: tell the labels of the set that holds the right one as
                often as that, which may be none; `top_k` makes no difference then.
        """

    @abstractmethod
    def judge(
        self,
        actual: Sequence[Answers],
        encoded: Encoded,
        logits: Sequence[Logits],
        calibration: Calibration,
        sampling: Sampling,
    ) -> Judgement:
        """Return the metrics by name, per label, and the confusions, each with its interval."""

    @abstractmethod
    def describe(self) -> list[dict[str, Any]]:
        """Return name, datatype and shape of the tensors that `tensors` makes (Open Inference)."""

    @abstractmethod
    def tensors(
        self, encoded: Encoded, logits: Sequence[Logits], calibration: Calibration
    ) -> dict[str, list[Any]]:
        """Return what is answered to the texts as flat tensors, by name."""

    @abstractmethod
    def brief(self, predictions: list[dict[str, Any]]) -> tuple[str, float]:
        """Return one text's answer in a word and its score, for the journal."""

    def tallies(self, actual: Sequence[Answers], answered: Sequence[Answers]) -> NDArray[np.int64]:
        """Return what `score` is computed from, shape [n, k]: numbers that may be added up.

        Here hits, answered and actual answers of each example.
        """
        return tally(actual, answered)

    def score(self, totals: Totals) -> Floats:
        """Return the headline metric from summed tallies, shape [..., k] to [...].

        F1; where each text has one answer, that is the accuracy.
        """
        return micro_f1(totals)

    def head(self, width: int) -> nn.Module:
        """Return an untrained linear head: [..., width] to [..., outputs] logits."""
        from torch import nn

        return nn.Linear(width, len(self.outputs))

    def flat(self, rows: Sequence[NDArray[Any]], targets: Sequence[Target]) -> tuple[Any, Any]:
        """Return vectors or logits [m, width] and their targets [m, ...] that can be learnt from.

        Positions are laid end to end and ignored ones left out.
        """
        values = np.concatenate([np.atleast_2d(row) for row in rows])
        wanted = np.concatenate([self._rows(target) for target in targets])
        if self.link == "sigmoid":
            return values, wanted
        kept = wanted != IGNORED
        return values[kept], wanted[kept]

    def _rows(self, target: Target) -> NDArray[Any]:
        return np.atleast_2d(target) if self.link == "sigmoid" else np.atleast_1d(target)

    def loss(
        self,
        logits: Tensor,
        targets: Sequence[Target],
        smoothing: float,
        weights: Tensor | None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, float]:
        """Return the summed loss of a batch, a scalar, and the weight that it is a sum over.

        Args:
            logits: Shape [batch, outputs] or [batch, length, outputs], padded.
            targets: One a row of the batch.
            smoothing: Share of each target that is spread over all outputs (Szegedy et al. 2016).
            weights: Of rows of each output, shape [outputs]; of link "sigmoid" of rows without
                and with each output, shape [2, outputs]; or None.
            rows: How much each row of the batch counts, shape [batch]; or None.
        """
        import torch
        from torch.nn import functional

        if self.link == "sigmoid":
            wanted = torch.from_numpy(np.stack(targets)).to(logits.device)
            smooth = wanted * (1 - smoothing) + smoothing / 2
            each = torch.ones_like(wanted)
            if weights is not None:
                each = torch.where(wanted > 0, weights[1], weights[0])
            if rows is not None:
                each = each * rows[:, None]
            lost = functional.binary_cross_entropy_with_logits(
                logits, smooth, weight=each, reduction="sum"
            )
            return lost, float(each.sum())
        length = max((target.size for target in targets), default=1)
        padded = np.full((len(targets), length), IGNORED, dtype=np.int64)
        for row, target in zip(padded, targets, strict=True):
            row[: target.size] = target
        if logits.ndim == 3:
            logits = logits[:, :length]
        flat = torch.from_numpy(padded.reshape(-1)).to(logits.device)
        each = functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]),
            flat,
            ignore_index=IGNORED,
            reduction="none",
            label_smoothing=smoothing,
        )
        # Not torch's own weights: with smoothing these weigh the spread share by its own label,
        # which pulls frequent labels' rows towards rare labels.
        weight = (flat != IGNORED).float()
        if weights is not None:
            weight = weight * weights[flat.clamp(min=0)]
        if rows is not None:
            weight = weight * rows.repeat_interleave(length)
        return (each * weight).sum(), float(weight.sum())

    def log_loss(
        self, logits: Sequence[Logits], targets: Sequence[Target], temperature: float
    ) -> float:
        """Return the mean negative log-likelihood of the targets, in nats."""
        return calibration.log_loss(*self.flat(logits, targets), temperature)

    def temperature(self, logits: Sequence[Logits], targets: Sequence[Target]) -> float:
        """Return the temperature that makes the targets most likely."""
        return calibration.fit_temperature(*self.flat(logits, targets))

    def calibrate(
        self,
        encoded: Encoded,
        logits: Sequence[Logits],
        answers: Sequence[Answers],
        refuse: float | None,
        precision: float | None = None,
    ) -> Calibration:
        """Return what is learnt on the validation split after training.

        Args:
            encoded: The validation texts.
            logits: What was computed for them.
            answers: What would be right.
            refuse: Share of the texts with a known label that may be refused, or None.
            precision: How often what is not refused must be right, instead; or None.

        Raises:
            ProjectError: `precision` cannot be promised.
        """
        return {"temperature": self.temperature(logits, self.targets(encoded, answers))}


TASKS: Catalogue[Task] = Catalogue("task", "bessemer.tasks", Task)  # type: ignore[type-abstract]
