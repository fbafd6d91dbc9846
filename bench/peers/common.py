"""What the peers share: command line, data, a clock, scoring, the result. Runs in their Python."""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

SCORES_AN_EPOCH = 4
#: The longest text of BANKING77 has 98 tokens: nothing is cut off.
MAX_TOKENS = 128
SCORE_BATCH = 64


@dataclass(frozen=True)
class Split:
    texts: list[str]
    #: Places in the sorted list of categories.
    labels: list[int]


def parser(about: str | None) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=about)
    result.add_argument("--train", type=Path, required=True, help="CSV: text, category")
    result.add_argument("--test", type=Path, required=True, help="CSV: text, category")
    result.add_argument("--base", type=Path, required=True, help="folder of the encoder")
    result.add_argument("--out", type=Path, required=True, help="where the result goes, JSON")
    result.add_argument("--limit", type=int, help="only so many shuffled rows of both tables")
    result.add_argument("--threads", type=int, default=2)
    result.add_argument("--seed", type=int, default=0)
    return result


def limit_threads(threads: int) -> None:
    """Bound PyTorch's threads and those of the tokenizers."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def read(options: argparse.Namespace) -> tuple[Split, Split, int]:
    """Return the training rows, the test rows, and how many classes there are."""
    train, test = _rows(options.train), _rows(options.test)
    names = sorted({category for _, category in train})
    splits = []
    for rows in (train, test):
        if options.limit is not None:
            random.Random(options.seed).shuffle(rows)
            del rows[options.limit :]
        labels = [names.index(category) for _, category in rows]
        splits.append(Split([text for text, _ in rows], labels))
    return splits[0], splits[1], len(names)


def _rows(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


class Clock:
    """Seconds since it was made, without those spent in `stopped`."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stopped = 0.0

    def seconds(self) -> float:
        return time.perf_counter() - self._began - self._stopped

    @contextmanager
    def stopped(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._stopped += time.perf_counter() - began


class Curve:
    """Test accuracy over training seconds and examples seen."""

    def __init__(self) -> None:
        self.points: list[tuple[float, int, float]] = []

    def add(self, seconds: float, seen: int, accuracy: float) -> None:
        self.points.append((seconds, seen, accuracy))
        print(f"{seconds:8.1f} s  {seen:7} examples  test accuracy {accuracy:.4f}", flush=True)


def marks(rows: int, batch: int, epochs: int) -> dict[int, int]:
    """Return the steps after which to score, each with the examples seen by then."""
    steps = math.ceil(rows / batch)
    result = {}
    for epoch in range(epochs):
        for part in range(1, SCORES_AN_EPOCH + 1):
            step = math.ceil(steps * part / SCORES_AN_EPOCH)
            result[epoch * steps + step] = epoch * rows + min(step * batch, rows)
    return result


def scorer(model: Any, tokenizer: Any, split: Split) -> Callable[[], float]:
    """Return what computes the model's accuracy, in batches of texts of about one length."""
    token_ids = tokenizer(split.texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    order = sorted(range(len(token_ids)), key=lambda row: len(token_ids[row]))
    batches = [order[start : start + SCORE_BATCH] for start in range(0, len(order), SCORE_BATCH)]
    labels = torch.tensor(split.labels)

    def score() -> float:
        right = 0
        model.eval()
        with torch.inference_mode():
            for rows in batches:
                ids = [torch.tensor(token_ids[row]) for row in rows]
                inputs = torch.nn.utils.rnn.pad_sequence(
                    ids, batch_first=True, padding_value=tokenizer.pad_token_id
                )
                mask = (inputs != tokenizer.pad_token_id).long()
                found = model(input_ids=inputs, attention_mask=mask).logits.argmax(dim=-1)
                right += int((found == labels[rows]).sum())
        model.train()
        return right / len(order)

    return score


def write(
    options: argparse.Namespace,
    name: str,
    packages: list[str],
    settings: dict[str, Any],
    curve: Curve,
    *,
    seconds: float,
    examples_per_second: float,
) -> None:
    shared = {"threads": options.threads, "seed": options.seed, "limit": options.limit}
    versions = {package: version(package) for package in packages}
    result = {
        "name": name,
        "versions": {"python": platform.python_version(), **versions},
        "settings": {**settings, **shared},
        "curve": curve.points,
        "examples_per_second": examples_per_second,
        "peak_bytes": _peak_bytes(),
        "final_accuracy": curve.points[-1][2],
        "seconds": seconds,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _peak_bytes() -> int:
    """Return the largest resident memory of this process.

    On Linux ru_maxrss also counts the parent's memory at the fork, VmHWM does not.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
