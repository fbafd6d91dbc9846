"""Texts that are alike but for a few words: mistyped, left out, put in or exchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA, Indel

from bessemer.core.progress import Progress, Step
from bessemer.prepare import minhash
from bessemer.prepare.minhash import Places
from bessemer.prepare.words import frequencies, words

#: Share of two texts' information that must be in both; and where their labels differ, which few
#: texts do that mean the same.
ALIKE, OTHERWISE_LABELLED = 0.855, 0.93
#: Characters in common that are asked for before words are compared: a bound from below on what
#: `ALIKE` lets through, and much cheaper.
COMMON = 0.78
#: Of longer texts, the estimate of minhash must be as high instead: words then matter little.
LONG, LONG_ALIKE = 4000, 0.75
#: How many of the most probable partners of a text are looked at.
RANKS = 4
#: Least and greatest information of a word, in nats.
LEAST, MOST = 0.5, 6.5
#: Words that decide what is asked, and what is lost with one: more than with any other word,
#: however common it is.
QUESTIONS = frozenset(["how", "why", "when", "where", "怎", "何", "哪", "谁"])
ASKED = 8.0
#: Share of a word's information that is lost when it stands elsewhere, or is mistyped.
MOVED, MISTYPED = 0.15, 0.05
#: Words by which it may have moved.
NEAR = 2
#: A mistyped word stands in so many texts at most, or in this share of the texts of the right one;
#: in one of `LONG_WORD` letters two may be wrong.
RARE, SLIPS, LONG_WORD = 2, 0.05, 8
#: Pairs that are compared at once.
TOGETHER = 1 << 15

_NO_DIGIT = re.compile(r"\D+")


@dataclass(frozen=True)
class Near:
    """Rows that are like another one, by their places; shapes [rows]."""

    rows: Places
    #: The row that each is like: in the same split an earlier one, else of an earlier split.
    others: Places
    across: NDArray[np.bool_]


def find(
    texts: pa.ChunkedArray,
    splits: NDArray[np.int8],
    labels: NDArray[np.int32],
    progress: Progress,
    *,
    by_earlier: bool = False,
) -> Near:
    """Return rows whose text is nearly that of another row, at most one partner of each kind.

    Of minhash's probable pairs a text's best few are compared word by word. What two texts do
    not share is weighed by how much it tells: "my" says little, "refund" much; a mistyped word
    or one that has moved by a place is nearly the same. Texts that are equal to the letter but
    for case are found too.

    Args:
        texts: Strings, none of them null.
        splits: The number of each row's split, in the order in which they are learnt from.
        labels: The number of each row's set of labels.
        progress: Is told of texts hashed, trees and pairs.
        by_earlier: Across splits, return for each row of an earlier one its best partner in a
            later one, and not the other way round.
    """
    trees = minhash.HASHES // minhash.DEPTH
    signed = minhash.signatures(
        texts, lambda done: progress(Step("hash texts", done, len(texts), "texts"))
    )
    probable = minhash.pairs(
        signed, lambda done: progress(Step("find pairs", done, trees, "trees"))
    )
    del signed
    firsts, seconds = probable.firsts, probable.seconds
    across = splits[firsts] != splits[seconds]
    turned = splits[firsts] > splits[seconds]
    rows, others = np.where(turned, firsts, seconds), np.where(turned, seconds, firsts)
    comparison = Comparison(texts, labels)
    groups = np.where(across & by_earlier, others, rows) * 2 + across
    order = np.lexsort((-probable.likeness, groups))
    ranks = minhash.ranks(groups[order])
    settled = np.zeros(2 * len(texts), dtype=bool)
    alike = np.zeros(len(rows), dtype=bool)
    for rank in range(RANKS):
        chosen = order[ranks == rank]
        chosen = chosen[~settled[groups[chosen]]]
        for at in range(0, len(chosen), TOGETHER):
            progress(Step(f"compare pairs, round {rank + 1}", at, len(chosen), "pairs"))
            some = chosen[at : at + TOGETHER]
            alike[some] = comparison.alike(others[some], rows[some], probable.likeness[some])
        settled[groups[alike]] = True
    found = np.flatnonzero(alike)
    found = found[np.argsort(rows[found], kind="stable")]
    return Near(rows[found], others[found], across[found])


class Comparison:
    """Compares texts word by word; learns from a sample of them what a word tells.

    Args:
        texts: All of them.
        labels: The number of each one's set of labels.
    """

    def __init__(self, texts: pa.ChunkedArray, labels: NDArray[np.int32]) -> None:
        self._texts = texts
        self._labels = labels
        self._counts, self._size = frequencies(texts)
        self._weights: dict[str, float] = {}

    def alike(
        self, firsts: Places, seconds: Places, likeness: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Return which pairs are near duplicates."""
        one = [text.lower() for text in self._texts.take(pa.array(firsts)).to_pylist()]
        other = [text.lower() for text in self._texts.take(pa.array(seconds)).to_pylist()]
        short = np.array([max(len(a), len(b)) <= LONG for a, b in zip(one, other, strict=True)])
        at = np.flatnonzero(short)
        common = process.cpdist(
            [one[n] for n in at],
            [other[n] for n in at],
            scorer=Indel.normalized_similarity,
            score_cutoff=COMMON,
            workers=-1,
        )
        found: NDArray[np.bool_] = ~short & (likeness >= LONG_ALIKE)
        agreed = self._labels[firsts] == self._labels[seconds]
        for n in at[np.asarray(common) > 0]:
            least = ALIKE if agreed[n] else OTHERWISE_LABELLED
            found[n] = one[n] == other[n] or self.shared(words(one[n]), words(other[n])) >= least
        return found

    def shared(self, one: Sequence[str], other: Sequence[str]) -> float:
        """Return the share of two texts' information that is in both, between 0 and 1."""
        total = sum(map(self._weight, one)) + sum(map(self._weight, other))
        gone: list[tuple[int, str]] = []
        came: list[tuple[int, str]] = []
        for step in Indel.opcodes(one, other):
            if step.tag != "equal":
                gone += enumerate(one[step.src_start : step.src_end], step.src_start)
                came += enumerate(other[step.dest_start : step.dest_end], step.dest_start)
        lost = 0.0
        for place, word in gone:
            lost += self._loss(word) * self._part(place, word, came)
        lost += sum(self._loss(word) for _, word in came)
        return 1 - lost / total if total else 0.0

    def _part(self, place: int, word: str, came: list[tuple[int, str]]) -> float:
        """Return the share of a word that is lost; what stands for it is taken from `came`."""
        for n, (other_place, other) in enumerate(came):
            if abs(place - other_place) <= NEAR and (word == other or self._mistyped(word, other)):
                del came[n]
                return MOVED if word == other else MISTYPED
        return 1.0

    def _mistyped(self, one: str, other: str) -> bool:
        longest, shortest = max(len(one), len(other)), min(len(one), len(other))
        # Another digit is another thing: 15 is not 16, item7 not item8.
        if shortest < 2 or _NO_DIGIT.sub("", one) != _NO_DIGIT.sub("", other):
            return False
        # What many write is no slip: "reactivate" is not "activate". A plural changes little.
        rare, common = sorted((self._counts[one], self._counts[other]))
        if rare > max(RARE, SLIPS * common) and f"{one}s" != other and f"{other}s" != one:
            return False
        most = 1 if longest < LONG_WORD else 2
        return OSA.distance(one, other, score_cutoff=most) <= most

    def _weight(self, word: str) -> float:
        found = self._weights.get(word)
        if found is None:
            rarity = log((self._size + 1) / (self._counts[word] + 1)) + LEAST
            found = self._weights[word] = min(rarity, MOST)
        return found

    def _loss(self, word: str) -> float:
        return ASKED if word in QUESTIONS else self._weight(word)
