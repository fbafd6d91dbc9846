"""What the rows of a data set look like: labels and text lengths, counted batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from bessemer.core.datasets import Profile
from bessemer.prepare.checks import answers_of
from bessemer.tasks.base import Task, label_of

#: Classes of text lengths, but for the last one, which has no end.
CLASSES = 24
#: Share of the texts that these classes hold at least.
SHARE = 0.99


def profile(splits: Mapping[str, Iterable[pa.RecordBatch]], task: Task) -> Profile:
    """Count a data set's labels and text lengths, in memory that does not grow with its rows.

    Args:
        splits: Batches with the columns text and label, by split.
        task: Which reads the label column.
    """
    labels, lengths = {}, {}
    for split, batches in splits.items():
        told: Counter[str] = Counter()
        long: Counter[int] = Counter()
        for batch in batches:
            told.update(_labels(batch, task))
            long.update(_counted(pc.utf8_length(pc.fill_null(batch["text"], ""))))
        labels[split] = dict(sorted(told.items(), key=lambda one: (-one[1], one[0])))
        lengths[split] = long
    edges = _edges(sum(lengths.values(), Counter()))
    binned = {split: _binned(long, edges) for split, long in lengths.items()}
    return Profile(labels=labels, edges=edges, lengths=binned)


def _labels(batch: pa.RecordBatch, task: Task) -> Counter[str]:
    if task.answers_once:
        return Counter({str(label): n for label, n in _counted(batch["label"]).items()})
    answers = answers_of(pa.table(batch), task)
    return Counter(label for row in answers for label in {label_of(answer) for answer in row})


def _counted(values: pa.Array) -> Counter[int]:
    pairs = pc.value_counts(values)
    return Counter(dict(zip(pairs.field(0).to_pylist(), pairs.field(1).to_pylist(), strict=True)))


def _edges(lengths: Counter[int]) -> tuple[int, ...]:
    """Return where classes of equal, round width begin, that hold nearly all texts."""
    wanted, held, end = SHARE * lengths.total(), 0, 0
    for length in sorted(lengths):
        end = length
        held += lengths[length]
        if held >= wanted:
            break
    width, step = 1, 1
    while width * CLASSES <= end:
        # 1, 2, 5, 10, 20, 50 …
        width = {1: 2, 2: 5, 5: 10}[width // step] * step
        step = step * 10 if width == step * 10 else step
    return tuple(range(0, end + width, width)) if lengths else (0,)


def _binned(lengths: Counter[int], edges: tuple[int, ...]) -> tuple[int, ...]:
    width = edges[1] - edges[0] if len(edges) > 1 else 1
    counts = [0] * len(edges)
    for length, count in lengths.items():
        counts[min(length // width, len(edges) - 1)] += count
    return tuple(counts)
