"""The chain: each stage made once under the digest of what determines it, then reused."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bessemer.bundle import weights
from bessemer.bundle.format import ADAPTER, ADAPTER_CONFIG, ENCODER, HEAD
from bessemer.core import digest, folder
from bessemer.core.dataset import Dataset
from bessemer.core.errors import needs
from bessemer.core.progress import Watcher
from bessemer.core.report import Report
from bessemer.pretrained import resolve
from bessemer.service.datasets import Datasets
from bessemer.service.home import Home
from bessemer.service.recipe import Plan
from bessemer.tasks.base import TASKS, Answers, Encoded, Logits, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from bessemer.core.project import Block
    from bessemer.train.methods.base import Lesson, Method

DATASET, NOTES, EXPORTED, REPORT = "dataset.json", "notes.json", "export.json", "report.json"
FOUND, LOGITS = "search.json", "logits.npz"
#: What tokenizers call the token that hides another.
MASKS = ("[MASK]", "<mask>")


@dataclass
class Pipeline:
    """One walk along the chain; `release` is in `service.releases`, since it needs the live one."""

    home: Home
    plan: Plan
    watcher: Watcher
    #: Seconds of each stage so far; a reused one has 0.
    seconds: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    _checked: set[str] = field(default_factory=set)

    @property
    def task(self) -> Task:
        """Return the project's task, which knows its labels once the rows are prepared."""
        project = self.plan.project
        labels = self.dataset().labels if "prepare" in self.seconds else ()
        return TASKS.load(project.task)(project.data.labels, labels)

    def prepare(self) -> Path:
        """Return the folder with the checked and split rows, made if need be, and named."""
        first = "prepare" not in self.seconds
        output = self.stage("prepare", self._prepare)
        if first:
            Datasets(self.home).register(self.plan.project, self.dataset(), self.task)
        return output

    def search(self) -> Path:
        """Return the folder with the options that were found, made if need be."""
        from bessemer.service import searching

        self.prepare()
        output = self.stage("search", self._search)
        searching.hand_over(self, self._work)
        return output

    def train(self) -> Path:
        """Return the folder with the weights, made if need be."""
        self.prepare()
        if "search" in self.plan.keys:
            self.search()
        output = self.stage("train", self._train)
        # Checkpoints go only when what they led to is there, whole.
        shutil.rmtree(self._work, ignore_errors=True)
        return output

    def export(self) -> Path:
        """Return the folder with the graph that will serve, made if need be."""
        self.train()
        return self.stage("export", self._export)

    def evaluate(self) -> Path:
        """Return the folder with the report on the test split, made if need be."""
        self.export()
        return self.stage("evaluate", self._evaluate)

    @property
    def _work(self) -> Path:
        return self.home.root / "work" / f"train-{self.plan.keys['train']}"

    def stage(
        self, name: str, make: Callable[[Path], str], *, unsealed: tuple[str, ...] = ()
    ) -> Path:
        """Return a stage's output; `make` fills its folder and returns a note for the watcher."""
        key, stages = self.plan.keys[name], self.home.stages
        if name in self.seconds:
            return stages.path(name, key)
        with stages.lock(name, key):
            if stages.has(name, key):
                self.reused.append(name)
                self.seconds[name] = 0.0
                self.watcher.ended(name, 0.0, reused=True, note="")
                return stages.path(name, key)
            self.watcher.began(name)
            began = time.monotonic()
            with stages.make(name, key, unsealed=unsealed) as aside:
                note = make(aside)
            self.seconds[name] = round(time.monotonic() - began, 3)
            self.watcher.ended(name, self.seconds[name], reused=False, note=note)
        return stages.path(name, key)

    def input(self, name: str) -> Path:
        """Return an earlier stage's output after comparing it with its manifest."""
        path = self.home.stages.path(name, self.plan.keys[name])
        if name not in self._checked:
            folder.check(path)
            self._checked.add(name)
        return path

    def dataset(self) -> Dataset:
        """Return the record of the prepared data set."""
        text = (self.input("prepare") / DATASET).read_text(encoding="utf-8")
        return Dataset.model_validate_json(text)

    def rows(self, split: str) -> pa.Table:
        """Return the rows of a split."""
        import pyarrow.parquet as pq

        return pq.read_table(self.input("prepare") / f"{split}.parquet")

    def examples(self, split: str) -> tuple[Encoded, list[Answers]]:
        """Return a split's encoded texts and what is right for each."""
        from bessemer.prepare.checks import answers_of
        from bessemer.serve.residents import tokenizer

        table, task = self.rows(split), self.task
        tokens = tokenizer(self.plan.base.folder / resolve.TOKENISER)
        length = self.plan.project.train.max_length
        return task.encode(tokens, table["text"].to_pylist(), length), answers_of(table, task)

    def weights(self) -> Path:
        """Return the encoder's safetensors file: the trained one, else the base's."""
        trained = self.input("train") / ENCODER
        return trained if trained.exists() else self.plan.base.folder / resolve.WEIGHTS

    def report(self) -> Report:
        """Return the report on the test split."""
        text = (self.input("evaluate") / REPORT).read_text(encoding="utf-8")
        return Report.model_validate_json(text)

    def found(self, what: str) -> Any:
        """Return a part of what the search found; nothing before it, or without one."""
        if "search" not in self.seconds:
            return {}
        return json.loads((self.input("search") / FOUND).read_text(encoding="utf-8"))[what]

    def exported(self) -> dict[str, Any]:
        """Return engine, calibration and validation scores of the exported graph."""
        text = (self.input("export") / EXPORTED).read_text(encoding="utf-8")
        result: dict[str, Any] = json.loads(text)
        return result

    def _prepare(self, target: Path) -> str:
        from bessemer.prepare.runner import Inputs, prepare

        plan, project = self.plan, self.plan.project
        inputs = Inputs(plan.files, digest.of_json(plan.digests), project.seed, plan.names)
        prepared = prepare(
            self.task, project.data, project.prepare, inputs, target, self.watcher.step
        )
        record = Dataset(
            digest=plan.keys["prepare"],
            source=project.data.source,
            source_digests=plan.digests,
            columns=prepared.columns,
            labels=prepared.labels,
            counts=prepared.counts,
            licence=plan.licence,
            findings=prepared.findings,
            history=prepared.history,
        )
        _write_json(target / DATASET, record.model_dump(mode="json"))
        counts = ", ".join(f"{count} {split}" for split, count in record.counts.items())
        return f"{counts}; {len(record.labels)} labels"

    def _search(self, target: Path) -> str:
        from bessemer.service.searching import search

        with needs("train"):
            found = search(self)
        _write_json(target / FOUND, found)
        told: str = found["noise"]["told"]
        return told

    def _train(self, target: Path) -> str:
        with needs("train"):
            from bessemer.pretrained.encoder import Encoder
            from bessemer.train import checkpoints

            method, options = self.method()
            lesson = self.lesson()
            with folder.storage_errors(self._work):
                learnt = method.learn(lesson, options)
            checkpoints.write(target / HEAD, learnt.head)
            encoder, tier = learnt.encoder, 0 if learnt.encoder is None else 2
            if learnt.adapter is not None and weights.attachable(learnt.adapter_config):
                # It is the base, to which the adapter is added when rows come.
                encoder, tier = None, 1
            if encoder is None and self.plan.project.train.base_layers:
                # The base's own file has the layers that are left out, too.
                whole = Encoder(lesson.config, lesson.weights, pooled=lesson.task.pooled)
                encoder = whole.transformer.state_dict()
            if encoder is not None:
                checkpoints.write(target / ENCODER, encoder)
            if learnt.adapter is not None:
                checkpoints.write(target / ADAPTER, learnt.adapter)
                _write_json(target / ADAPTER_CONFIG, learnt.adapter_config)
        _write_json(target / NOTES, {**learnt.notes, "tier": tier, "log_loss": learnt.log_loss})
        told = [(name.replace("_", " "), value) for name, value in learnt.notes.items()]
        return ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in told
            if isinstance(value, (int, float, str))
        )

    def method(self) -> tuple[Method, Block]:
        """Return the project's training method and its options."""
        from bessemer.train.methods.base import METHODS

        train = self.plan.project.train
        method = METHODS.load(train.method)
        return method(), method.Options.model_validate({**train.options, **self.found("options")})

    def lesson(self) -> Lesson:
        """Return what the training method is given."""
        from bessemer.serve.residents import tokenizer
        from bessemer.train.device import device
        from bessemer.train.methods.base import Batch, Lesson

        plan, task = self.plan, self.task

        def batch(split: str) -> Batch:
            encoded, answers = self.examples(split)
            return Batch(encoded, answers, task.targets(encoded, answers))

        tokens = tokenizer(plan.base.folder / resolve.TOKENISER)
        masks = [tokens.token_to_id(name) for name in MASKS]
        if plan.base.config["model_type"] in resolve.DECODERS:
            masks = []  # they may have the token, but have never seen it
        name = f"{plan.project.name}-{plan.keys['train'][:12]}"
        return Lesson(
            task=task,
            train=batch("train"),
            validation=batch("validation"),
            config=plan.base.config,
            weights=plan.base.folder / resolve.WEIGHTS,
            seed=plan.project.seed,
            work=self._work,
            events=self.home.root / "tensorboard" / name,
            progress=self.watcher.step,
            mask_token=next((mask for mask in masks if mask is not None), None),
            identity=plan.identity(self.found("options"), plan.project.seed),
            device=device(plan.project.train.device),
        )

    def _export(self, target: Path) -> str:
        with needs("onnx"):
            from bessemer.service import exporting

            exported = exporting.export(self, target)
        _write_json(target / EXPORTED, exported)
        asked: str = self.plan.project.serve.engine
        return exporting.told(exported, asked, self.task.metric_names[0])

    def _evaluate(self, target: Path) -> str:
        from bessemer.evaluate.answers import answers
        from bessemer.evaluate.report import report
        from bessemer.service import exporting

        project, exported = self.plan.project, self.exported()
        run = exporting.model(self, exported["engine"], self.input("export")).run
        task = self.task
        encoded, actual = self.examples("test")
        logits = answers(run, encoded.features, self.watcher.step, "evaluate")
        write_logits(target / LOGITS, logits)
        result = report(
            task,
            actual,
            encoded,
            logits,
            project.evaluate,
            calibration=exported["calibration"],
            engine=exported["engine"],
            seed=project.seed,
        )
        _write_json(target / REPORT, result.model_dump(mode="json"))
        best = result.metrics[task.metric_names[0]]
        return f"{best.name} {best.value:.4f} [{best.low:.4f}, {best.high:.4f}] on {best.count}"


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def write_logits(path: Path, rows: Sequence[Logits]) -> None:
    """Write the logits of many texts: their lengths, and all positions end to end."""
    lengths = np.array([len(row) if row.ndim == 2 else -1 for row in rows], dtype=np.int64)
    values = np.concatenate([np.atleast_2d(row) for row in rows])
    # Through memory: numpy's own writing tells of a full disk without an error number.
    buffer = io.BytesIO()
    np.savez(buffer, lengths=lengths, values=values)
    path.write_bytes(buffer.getvalue())


def read_logits(path: Path) -> list[Logits]:
    """Return what `write_logits` wrote."""
    with np.load(path, allow_pickle=False) as file:
        lengths, values = file["lengths"], file["values"]
    ends = np.cumsum(np.abs(lengths))
    parts = np.split(values, ends[:-1])
    return [part if length >= 0 else part[0] for part, length in zip(parts, lengths, strict=True)]
