"""Bessemer as a peer of the others: one training in this process, its accuracy over its seconds.

    python -m bench.ours --method full --train T --test T --out R [--options '{"epochs": 3}']

The clock starts when the table is opened, as that of the peers does, and stands still while the
test split is scored. The test split decides nothing: epochs are chosen on validation rows, which
are taken from the training table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from bench.command import peak_bytes
from bessemer.core.progress import Step, Watcher
from bessemer.core.version import VERSION
from bessemer.measures.answers import tally
from bessemer.pretrained.encoder import Encoder
from bessemer.service.pipeline import Pipeline
from bessemer.service.platform import Platform
from bessemer.service.project_file import parse
from bessemer.service.recipe import plan
from bessemer.train import checkpoints
from bessemer.train.cores import Cores
from bessemer.train.curriculum import logits
from bessemer.train.methods.base import Batch, Learnt, Lesson
from bessemer.train.network import Network


class Clock:
    """Seconds since it was made, but for those inside `paused`."""

    def __init__(self) -> None:
        self._began, self._lost, self._since = time.monotonic(), 0.0, 0.0

    def seconds(self) -> float:
        return time.monotonic() - self._began - self._lost

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._lost += time.monotonic() - self._since


class Speed(Watcher):
    """Notes when the gradient steps began and ended, and how many there were."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.first: tuple[float, int] | None = None
        self.last = (0.0, 0)

    def step(self, step: Step) -> None:
        if step.what != "train" or not step.total:
            return
        self.last = (self._clock.seconds(), step.done)
        self.first = self.first or self.last

    def examples_per_second(self, batch: int) -> float:
        """Return the rate of the steps, validation between the epochs included."""
        if self.first is None or self.last[1] == self.first[1]:
            return 0.0
        seconds, steps = (b - a for a, b in zip(self.first, self.last, strict=True))
        return steps * batch / seconds


def accuracy(lesson: Lesson, test: Batch, learnt: Learnt) -> float:
    """Return the test accuracy of weights as they would be saved."""
    task = lesson.task
    body = Encoder(lesson.config, lesson.weights, pooled=task.pooled)
    if learnt.encoder is not None:
        body.transformer.load_state_dict(learnt.encoder)
    head = task.head(body.width)
    head.load_state_dict(learnt.head)
    return _score(lesson, test, Network(body, head))


def _score(lesson: Lesson, test: Batch, network: Network) -> float:
    with Cores() as cores:
        found = logits(network, test, cores)
    answered = lesson.task.answers(test.encoded, found, {"temperature": 1.0})
    return lesson.task.score(tally(test.answers, answered).sum(axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = Clock()
    project = {
        "name": "bench",
        "seed": options.seed,
        "data": {
            "source": str(options.train),
            "columns": {"text": "text", "label": "category"},
            "split": {"test": str(options.test), "validation": 0.05},
        },
        "train": {"method": options.method, **options.options},
    }
    speed = Speed(clock)
    curve: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Platform.open(Path(folder)).home
        pipeline = Pipeline(
            home, plan(parse(yaml.dump(project), Path(), "bench"), home.root), speed
        )
        pipeline.prepare()
        lesson = pipeline.lesson()
        with clock:
            encoded, answers = pipeline.examples("test")
            test = Batch(encoded, answers, lesson.task.targets(encoded, answers))

        def told(epoch: int, log_loss: float) -> None:
            seconds = clock.seconds()
            with clock:
                curve.append([seconds, epoch * len(lesson.train), _kept(lesson, test, scale)])

        method, settings = pipeline.method()
        scale = getattr(settings, "alpha", 0.0) / getattr(settings, "rank", 1)
        learnt = method.learn(replace(lesson, told=told), settings)
        seconds = clock.seconds()
        final = accuracy(lesson, test, learnt)
        home.database.close()
    curve.append([seconds, len(lesson.train) * len(curve), final])
    batch = getattr(settings, "batch_size", 0)
    result: dict[str, Any] = {
        "name": f"bessemer {options.method}",
        "versions": {"bessemer": VERSION, "torch": version("torch")},
        "settings": {**settings.model_dump(mode="json"), "notes": learnt.notes},
        "curve": curve,
        "examples_per_second": speed.examples_per_second(batch),
        "peak_bytes": peak_bytes(),
        "final_accuracy": final,
        "seconds": seconds,
    }
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"{result['name']}: {final:.4f} in {seconds:.0f} s", flush=True)


def _kept(lesson: Lesson, test: Batch, scale: float) -> float:
    """Return the test accuracy of the running average in the last checkpoint."""
    found = checkpoints.load(lesson.work)
    assert found is not None
    encoder = Encoder(lesson.config, lesson.weights, pooled=lesson.task.pooled)
    network = Network(encoder, lesson.task.head(encoder.width))
    names = dict(network.named_parameters())
    average = {
        name.removeprefix("average."): tensor
        for name, tensor in found.tensors.items()
        if name.startswith("average.")
    }
    with torch.no_grad():
        for name, tensor in average.items():
            if name.endswith(".lora_A.default.weight"):
                matrix = name.removesuffix(".lora_A.default.weight")
                other = average[f"{matrix}.lora_B.default.weight"]
                names[f"{matrix}.weight"].add_(scale * (other @ tensor))
            elif not name.endswith(".lora_B.default.weight"):
                names[name].copy_(tensor)
    return _score(lesson, test, network)


if __name__ == "__main__":
    main()
