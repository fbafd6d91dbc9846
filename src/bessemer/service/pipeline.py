"""The chain: each stage made once under the digest of what determines it, then reused."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bessemer.bundle import weights
from bessemer.bundle.format import ADAPTER, ADAPTER_CONFIG, ENCODER, HEAD
from bessemer.core import digest, folder
from bessemer.core.dataset import Dataset
from bessemer.core.errors import needs
from bessemer.core.progress import Watcher
from bessemer.core.report import Examples, Report
from bessemer.pretrained import resolve
from bessemer.service.datasets import Datasets
from bessemer.service.home import Home
from bessemer.service.inputs import check_unchanged
from bessemer.service.recipe import Plan, column_of
from bessemer.tasks.base import TASKS, Answers, Encoded, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from bessemer.core.block import Block
    from bessemer.train.methods.base import Lesson, Method

DATASET, NOTES, EXPORTED, FOUND = "dataset.json", "notes.json", "export.json", "search.json"
#: What tokenizers call the token that hides another.
MASKS = ("[MASK]", "<mask>")


@dataclass
class Pipeline:
    """One walk along the chain; `service.releasing` has the rest, which needs the live release."""

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
            from bessemer.service import checking

            checking.check(self)
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
        from bessemer.service import evaluating

        self.export()
        return self.stage("evaluate", lambda target: evaluating.evaluate(self, target))

    @property
    def _work(self) -> Path:
        return self.home.root / "work" / f"train-{self.plan.keys['train']}"

    def stage(
        self,
        name: str,
        make: Callable[[Path], str],
        *,
        unsealed: tuple[str, ...] = (),
        key: str | None = None,
    ) -> Path:
        """Return a stage's output; `make` fills its folder and returns a note for the watcher.

        Args:
            name: Of the stage.
            make: Is called if the output is not there.
            unsealed: Files that its manifest does not name.
            key: Under which it is kept, by default the plan's.
        """
        key, stages = key or self.plan.keys[name], self.home.stages
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

    def rows(self, split: str, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of a split, with some columns or all."""
        import pyarrow.parquet as pq

        return pq.read_table(self.input("prepare") / f"{split}.parquet", columns=columns)

    def column(self, split: str, name: str) -> list[Any]:
        """Return a column of a split's rows, by the name that it has in the source."""
        known = column_of(self.plan.project, name)
        values: list[Any] = self.rows(split, [known])[known].to_pylist()
        return values

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

    def report(self) -> tuple[Report, Examples]:
        """Return the report on the test split, and the texts that it shows."""
        from bessemer.service import evaluations

        return evaluations.read(self.input("evaluate"))

    def course(self) -> dict[str, tuple[float, ...]]:
        """Return how validation went from epoch to epoch; see `Run.course`."""
        notes = json.loads((self.input("train") / NOTES).read_text(encoding="utf-8"))
        history = notes.get("validation")
        if not isinstance(history, list) or not history:
            return {}
        return {name: tuple(one[name] for one in history) for name in ("log_loss", "score")}

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
        inputs = Inputs(plan.files, digest.of_json(plan.digests), project.seed, plan.pii_model)
        prepared = prepare(
            self.task, project.data, project.prepare, inputs, target, self.watcher.step
        )
        check_unchanged(plan.files, plan.digests)
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
        notes = {**lesson.notes, **learnt.notes}
        _write_json(target / NOTES, {**notes, "tier": tier, "log_loss": learnt.log_loss})
        told = [(name.replace("_", " "), value) for name, value in notes.items()]
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
        from bessemer.service.mitigating import mitigated
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
        lesson = Lesson(
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
        return mitigated(self, lesson)

    def _export(self, target: Path) -> str:
        with needs("onnx"):
            from bessemer.service import exporting

            exported = exporting.export(self, target)
        _write_json(target / EXPORTED, exported)
        asked: str = self.plan.project.serve.engine
        return exporting.told(exported, asked, self.task.metric_names[0])


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
