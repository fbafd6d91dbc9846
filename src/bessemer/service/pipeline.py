"""The chain: each stage made once under the digest of what determines it, then reused."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bessemer.core import folder
from bessemer.core.dataset import Dataset
from bessemer.core.errors import needs
from bessemer.core.progress import Watcher
from bessemer.core.report import Report
from bessemer.prepare.locate import PREFIX, public_licence
from bessemer.pretrained import resolve
from bessemer.service.home import Home
from bessemer.service.recipe import Plan, engine_name
from bessemer.tasks.base import TASKS, Task, TokenIds

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

DATASET, NOTES, EXPORTED, REPORT = "dataset.json", "notes.json", "export.json", "report.json"
HEAD, ENCODER, GRAPH, LOGITS = "head.safetensors", "encoder.safetensors", "model.onnx", "logits.npy"


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
        """Return the project's task."""
        return TASKS.load(self.plan.project.task)()

    def prepare(self) -> Path:
        """Return the folder with the checked and split rows, made if need be."""
        return self.stage("prepare", self._prepare)

    def train(self) -> Path:
        """Return the folder with the weights, made if need be."""
        self.prepare()
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

    def examples(self, split: str) -> tuple[TokenIds, NDArray[np.int64]]:
        """Return a split's token ids and class numbers."""
        from bessemer.serve.residents import tokenizer

        table, task = self.rows(split), self.task
        targets = task.targets(table["label"].to_pylist(), self.dataset().labels)
        tokens = tokenizer(self.plan.base.folder / resolve.TOKENISER)
        length = self.plan.project.train.max_length
        return task.encode(tokens, table["text"].to_pylist(), length), targets

    def weights(self) -> Path:
        """Return the encoder's safetensors file: the trained one, else the base's."""
        trained = self.input("train") / ENCODER
        return trained if trained.exists() else self.plan.base.folder / resolve.WEIGHTS

    def report(self) -> Report:
        """Return the report on the test split."""
        text = (self.input("evaluate") / REPORT).read_text(encoding="utf-8")
        return Report.model_validate_json(text)

    def exported(self) -> dict[str, Any]:
        """Return engine, temperature and validation accuracies of the exported graph."""
        text = (self.input("export") / EXPORTED).read_text(encoding="utf-8")
        result: dict[str, Any] = json.loads(text)
        return result

    def _prepare(self, target: Path) -> str:
        import pyarrow.parquet as pq

        from bessemer.prepare.runner import prepare

        plan, project = self.plan, self.plan.project
        prepared = prepare(project.data, project.prepare, project.seed, plan.files)
        for split, table in prepared.tables.items():
            pq.write_table(table, target / f"{split}.parquet")
        source, licence = project.data.source, project.data.licence
        if licence is None and source.startswith(PREFIX):
            licence = public_licence(source)
        record = Dataset(
            digest=plan.keys["prepare"],
            source=source,
            source_digests=plan.digests,
            columns=tuple(prepared.tables["train"].column_names),
            labels=prepared.labels,
            counts={split: table.num_rows for split, table in prepared.tables.items()},
            licence=licence,
            findings=prepared.findings,
        )
        _write_json(target / DATASET, record.model_dump(mode="json"))
        counts = ", ".join(f"{count} {split}" for split, count in record.counts.items())
        return f"{counts}; {len(record.labels)} labels"

    def _train(self, target: Path) -> str:
        plan, train = self.plan, self.plan.project.train
        key = plan.keys["train"]
        with needs("train"):
            from bessemer.train import checkpoints
            from bessemer.train.methods.base import METHODS, Batch, Lesson

            method = METHODS.load(train.method)
            lesson = Lesson(
                task=self.task,
                labels=self.dataset().labels,
                train=Batch(*self.examples("train")),
                validation=Batch(*self.examples("validation")),
                config=plan.base.config,
                weights=plan.base.folder / resolve.WEIGHTS,
                seed=plan.project.seed,
                work=self._work,
                events=self.home.root / "tensorboard" / f"{plan.project.name}-{key[:12]}",
                progress=self.watcher.step,
            )
            with folder.storage_errors(self._work):
                learnt = method().learn(lesson, method.Options.model_validate(train.options))
            checkpoints.write(target / HEAD, learnt.head)
            if learnt.encoder is not None:
                checkpoints.write(target / ENCODER, learnt.encoder)
        _write_json(target / NOTES, learnt.notes)
        shown = {n: v for n, v in learnt.notes.items() if isinstance(v, (int, float))}
        return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in shown.items())

    def _export(self, target: Path) -> str:
        from bessemer.engines.base import ENGINES
        from bessemer.evaluate.answers import answers
        from bessemer.measures.calibration import fit_temperature

        plan, serve = self.plan, self.plan.project.serve
        with needs("onnx"):
            from bessemer.release.export import GRAPHS, export

            export(
                self.task,
                self.dataset().labels,
                config=plan.base.config,
                encoder=self.weights(),
                head=self.input("train") / HEAD,
                target=target,
            )
        engine = ENGINES.load(engine_name(serve.engine))
        token_ids, targets = self.examples("validation")
        asked: str = serve.engine
        logits, accuracy = {}, {}
        for name in dict.fromkeys([asked, "onnx-fp32"]):
            run = engine(target / GRAPHS[name]).run
            logits[name] = answers(run, token_ids, self.watcher.step, f"validate {name}")
            accuracy[name] = float((logits[name].argmax(axis=1) == targets).mean())
        loses = accuracy["onnx-fp32"] - accuracy[asked]
        chosen = "onnx-fp32" if loses > serve.max_loss else asked
        (target / GRAPHS[chosen]).rename(target / GRAPH)
        for name in GRAPHS.values():
            (target / name).unlink(missing_ok=True)
        exported = {
            "engine": chosen,
            "temperature": fit_temperature(logits[chosen], targets),
            "validation_accuracy": accuracy,
        }
        _write_json(target / EXPORTED, exported)
        fallen = f" (int8 loses {loses:.4f} on validation)" if chosen != asked else ""
        return f"{chosen}{fallen}, validation accuracy {accuracy[chosen]:.4f}"

    def _evaluate(self, target: Path) -> str:
        from bessemer.engines.base import ENGINES
        from bessemer.evaluate.answers import answers
        from bessemer.evaluate.report import report

        project, exported = self.plan.project, self.exported()
        engine = ENGINES.load(engine_name(exported["engine"]))(self.input("export") / GRAPH)
        token_ids, targets = self.examples("test")
        logits = answers(engine.run, token_ids, self.watcher.step, "evaluate")
        # Through memory: numpy's own writing tells of a full disk without an error number.
        buffer = io.BytesIO()
        np.save(buffer, logits)
        (target / LOGITS).write_bytes(buffer.getvalue())
        result = report(
            self.task,
            targets,
            logits,
            self.dataset().labels,
            project.evaluate,
            temperature=exported["temperature"],
            engine=exported["engine"],
            seed=project.seed,
        )
        _write_json(target / REPORT, result.model_dump(mode="json"))
        best = result.metrics["accuracy"]
        return f"accuracy {best.value:.4f} [{best.low:.4f}, {best.high:.4f}] on {best.count}"


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
