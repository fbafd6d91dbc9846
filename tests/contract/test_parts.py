"""Every part of every kind keeps its contract; a new one is tested because it exists."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file
from tests.families import VARIANTS, rows_of, write_family

from bessemer.compute.base import EXECUTORS
from bessemer.core.errors import (
    BessemerError,
    CorruptError,
    DataError,
    ProjectError,
    UnknownNameError,
)
from bessemer.core.progress import Step, Watcher
from bessemer.core.project import Data, Labels
from bessemer.engines.base import ENGINES
from bessemer.measures.answers import tally
from bessemer.measures.intervals import Sampling
from bessemer.prepare.origins.base import ORIGINS, Place, origin_of
from bessemer.prepare.sources.base import SOURCES
from bessemer.pretrained.encoder import Encoder, has_bf16
from bessemer.pretrained.resolve import WEIGHTS, resolve
from bessemer.serve.residents import tokenizer
from bessemer.service.exporting import MOST_LOSS_GAP
from bessemer.service.pipeline import Pipeline
from bessemer.service.platform import Platform
from bessemer.service.project_file import load, parse
from bessemer.service.recipe import plan
from bessemer.tasks.base import TASKS, Task, label_of
from bessemer.train import checkpoints
from bessemer.train.cores import Cores
from bessemer.train.curriculum import logits, scores
from bessemer.train.methods.base import METHODS, Learnt
from bessemer.train.network import Network

ROWS = {"text": ["one", "zwei, “drei”\nvier", None, "四"], "label": ["a", "b", "a", "b"]}


def _write(path: Path) -> None:
    rows = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    if path.name == "table":
        path.mkdir()
        for number, row in enumerate(rows):
            label = path / row["label"]
            label.mkdir(exist_ok=True)
            (label / f"{number}.txt").write_text(row["text"] or "", encoding="utf-8")
    elif path.suffix == ".json":
        tasks = [
            {"id": number, "data": {"text": row["text"]}, "annotations": [
                {"completed_by": 1, "result": [
                    {"from_name": "intent", "type": "choices", "value": {"choices": [row["label"]]}}
                ]}
            ]}
            for number, row in enumerate(rows)
        ]  # fmt: skip
        path.write_text(json.dumps(tasks), encoding="utf-8")
    elif path.suffix in (".conll", ".bio", ".iob"):
        path.write_text("Ada B-person\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(ROWS), path)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ROWS, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize("name", SOURCES.names())
def test_source(name: str, tmp_path: Path) -> None:
    source = SOURCES.load(name)
    assert source.version >= 1
    for suffix in source.suffixes:
        path = tmp_path / f"table{suffix}".removesuffix("/")
        _write(path)
        batches = list(source().read(path, Data(source=path.name)))
        assert {batch.schema for batch in batches} == {batches[0].schema}
        assert set(batches[0].schema.types) == {pa.string()}
        table = pa.Table.from_batches(batches)
        assert {"text", "label"} <= set(table.column_names)
        if name != "conll":  # which has no table of texts, see tests/unit/test_spans.py
            found = {(row["text"] or None, row["label"]) for row in table.to_pylist()}
            assert found == set(zip(*ROWS.values(), strict=True))
        broken = path / "1.txt" if path.is_dir() else path
        broken.write_bytes(b"\x00\xff\x00garbage")
        with pytest.raises(DataError):
            list(source().read(path, Data(source=path.name)))


@pytest.mark.parametrize("name", ORIGINS.names())
def test_origin(name: str, tmp_path: Path) -> None:
    """Its names are its own; what is not there is said and leaves nothing; a project that came
    over HTTP reaches nothing through it that is not public.
    """
    origin = ORIGINS.load(name)
    for begins in origin.schemes:
        assert origin_of(f"{begins}x/y.csv") is origin
        assert begins == begins.lower()
        assert begins.endswith((":", "://"))
    near = [begins for begins in origin.schemes if begins in ("http://", "sqlite://")]
    begins = [*near, *origin.schemes, ""][0]
    wrong = f"{begins}127.0.0.1:9/none.csv"
    cache = tmp_path / "cache"
    with pytest.raises(BessemerError) as caught:
        origin().fetch(wrong, Data(source=wrong), Place(tmp_path, cache, Watcher()))
    assert caught.value.remedy
    assert not cache.exists() or not list(cache.iterdir())
    if not origin.public:
        text = f"name: x\nbase: minilm-l6\ndata: {{source: '{wrong}', query: SELECT 1}}"
        with pytest.raises(ProjectError, match=r"a server fetches nothing|was not sent"):
            plan(parse(text, tmp_path, "", uploads={}), cache)
        assert not cache.exists() or not list(cache.iterdir())


def test_every_family_has_examples_here() -> None:
    assert {task for task, _ in VARIANTS.values()} == set(TASKS.names())


def _task(variant: str) -> tuple[Task, list[str], list[frozenset]]:
    """Return a task that knows its labels, texts, and what is right for each."""
    name, rules = VARIANTS[variant]
    texts, cells = zip(*rows_of(variant), strict=True)
    known = Labels.model_validate(yaml.safe_load(rules))
    reader = TASKS.load(name)(known)
    answers = [reader.parse(text, cell) for text, cell in zip(texts, cells, strict=True)]
    labels = sorted({label_of(answer) for row in answers for answer in row})
    return TASKS.load(name)(known, labels), list(texts), answers


@pytest.mark.parametrize("variant", VARIANTS)
def test_task(variant: str, tmp_path: Path) -> None:
    """Right logits are decoded to what was read, measured as perfect, and cost little."""
    import torch

    task, texts, answers = _task(variant)
    assert [task.parse(t, task.write(a)) for t, a in zip(texts, answers, strict=True)] == answers
    base = resolve("minilm-l6", relative_to=tmp_path)
    encoded = task.encode(tokenizer(base.folder / "tokenizer.json"), texts, 64)
    targets = task.targets(encoded, answers)
    count = len(task.outputs)
    right = []
    for features, target in zip(encoded.features, targets, strict=True):
        if task.link == "sigmoid":
            right.append((target * 16 - 8).astype(np.float32))
        else:
            right.append(np.eye(count, dtype=np.float32)[np.maximum(target, 0)] * 8)
        assert right[-1].shape == ((count,) if task.pooled else (len(features), count))
    calibration = task.calibrate(encoded, right, answers, None)
    found = task.answers(encoded, right, calibration)
    wrong = sum(a != b for a, b in zip(found, answers, strict=True))
    assert wrong <= 0.01 * len(texts) + 1  # a threshold may refuse 1 %
    metrics, classes, _ = task.judge(answers, encoded, right, calibration, Sampling(0.95, 50, 0))
    assert set(metrics) <= set(task.metric_names)
    assert metrics[task.metric_names[0]].value == pytest.approx(
        task.score(tally(answers, found).sum(axis=0))
    )
    for metric in metrics.values():
        assert metric.low <= metric.value <= metric.high
    assert {c.label for c in classes} >= set(task.labels)
    names = [tensor["name"] for tensor in task.describe()]
    assert list(task.tensors(encoded, right, calibration)) == names
    decoded = task.decode(encoded, right, calibration, None)
    assert len(decoded) == len(texts)
    assert all(0 <= task.brief(row)[1] <= 1 for row in decoded)
    head = task.head(8)
    length = max(map(len, encoded.features))
    vectors = torch.zeros(len(texts), 8) if task.pooled else torch.zeros(len(texts), length, 8)
    lost, weight = task.loss(head(vectors), targets, 0.1, None)
    assert lost.ndim == 0
    assert weight > 0
    padded = torch.full((len(texts), *([length] * (not task.pooled)), count), -9.0)
    for row, values in zip(padded, right, strict=True):
        row[: len(values)] = torch.from_numpy(values)
    least, _ = task.loss(padded, targets, 0.0, None)
    assert float(least) < 0.1 * float(lost.detach())
    assert task.log_loss(right, targets, 1.0) == pytest.approx(float(least) / weight, abs=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_text_is_no_answer(variant: str, tmp_path: Path) -> None:
    task, _, _ = _task(variant)
    base = resolve("minilm-l6", relative_to=tmp_path)
    encoded = task.encode(tokenizer(base.folder / "tokenizer.json"), [], 64)
    calibration = {"temperature": 1.0, "threshold": 0.5}
    assert task.decode(encoded, [], calibration, None) == []
    assert all(not values for values in task.tensors(encoded, [], calibration).values())


@pytest.mark.parametrize("name", ENGINES.names())
def test_engine(name: str, platform: Platform, tmp_path: Path) -> None:
    bundle = platform.releases.bundle(platform.releases.show("small"))
    engine = ENGINES.load(name)(bundle)
    rows = [
        np.array(ids)
        for ids in ([101, 7592, 102], [101, *range(2000, 2060), 102], [101, 2054, 2003, 102])
    ]
    together = engine.run([*rows, rows[0]], [None] * 4, pooled=False)
    assert [row.shape for row in together] == [(3, 384), (62, 384), (4, 384), (3, 384)]
    assert together[0].dtype == np.float32
    assert together[0].tobytes() == together[3].tobytes()
    vectors = engine.run(rows, [None] * 3, pooled=True)
    for row, wanted, vector in zip(rows, together, vectors, strict=False):
        [alone] = engine.run([row], [None], pooled=False)
        if name != "torch":  # the oracle adds up in another order when others are there
            assert alone.tobytes() == wanted.tobytes(), "batch mates changed an answer"
            [one] = engine.run([row], [None], pooled=True)
            assert one.tobytes() == vector.tobytes(), "batch mates changed a vector"
        assert np.allclose(alone, wanted, atol=1e-4)
        mean = alone.mean(axis=0)
        assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-4)
    with pytest.raises(UnknownNameError):
        engine.run(rows[:1], ["nobody"], pooled=False)
    for file in engine.files:
        (tmp_path / file).write_bytes((bundle / file).read_bytes()[:100])
    with pytest.raises(CorruptError):
        ENGINES.load(name)(tmp_path)


#: What keeps each method short here.
QUICK = {
    "full": "epochs: 2, batch_size: 8, train_layers: 1",
    "lora": "epochs: 1, batch_size: 8, rank: 2, dora: true",
    "few-shot": "epochs: 2",
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", METHODS.names())
def test_method(name: str, variant: str, tmp_path: Path, tiny: Path) -> None:
    """It learns something, says how far it is, and gives the same bits twice.

    What it hands back, written and read again, answers as what was trained did: head and
    encoder both.
    """
    options = f"{{method: {name}, max_length: 24, {QUICK.get(name, '')}}}"
    place = write_family(tmp_path / "project", variant, options, base=str(tiny))
    home = Platform.open(tmp_path / "home").home
    steps: list[int] = []

    class Watching(Watcher):
        def step(self, step: Step) -> None:
            steps.append(step.done)

    pipeline = Pipeline(home, plan(load(place), tmp_path), Watching())
    pipeline.prepare()
    method, settings = pipeline.method()

    def learn(number: int) -> Learnt:
        work = tmp_path / f"work{number}"
        return method.learn(
            replace(pipeline.lesson(), work=work, events=tmp_path / f"events{number}"), settings
        )

    try:
        first, second = learn(1), learn(2)
    except ProjectError as error:
        assert "cannot learn" in str(error)  # noqa: PT017
        home.database.close()
        return
    assert max(steps) > 1
    for kind in ("head", "encoder", "adapter"):
        one, other = getattr(first, kind) or {}, getattr(second, kind) or {}
        assert one.keys() == other.keys()
        assert all(one[key].equal(other[key]) for key in one), kind
    base = pipeline.plan.base
    checkpoints.write(tmp_path / "head", first.head)
    checkpoints.write(tmp_path / "encoder", first.encoder or load_file(base.folder / WEIGHTS))
    encoder = Encoder(base.config, tmp_path / "encoder", pooled=pipeline.task.pooled)
    head = pipeline.task.head(encoder.width)
    head.load_state_dict(load_file(tmp_path / "head"))
    lesson = pipeline.lesson()
    with Cores() as cores:
        found = logits(Network(encoder, head), lesson.validation, cores)
    # Where bfloat16 is quick, a frozen base is computed in it throughout, a network in parts.
    near = MOST_LOSS_GAP / 10 if has_bf16() else 1e-4
    assert scores(lesson, found)["log_loss"] == pytest.approx(first.log_loss, abs=near)
    home.database.close()


@pytest.mark.parametrize("name", EXECUTORS.names())
def test_executor(name: str, tmp_path: Path) -> None:
    executor = EXECUTORS.load(name)(tmp_path)
    executor.submit("good", ["json.tool", "--help"])
    executor.submit("bad", ["json.tool", "/no/such/file"])
    executor.submit("slow", ["http.server", "0", "--bind", "127.0.0.1"])
    deadline = time.monotonic() + 30
    while executor.status("good") == "running" or executor.status("bad") == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (executor.status("good"), executor.status("bad")) == ("succeeded", "failed")
    assert "usage" in executor.output("good")
    assert executor.status("slow") == "running"
    executor.cancel("slow")
    assert executor.status("slow") == "failed"
    executor.cancel("slow")
    with pytest.raises(UnknownNameError):
        executor.status("never")


def test_a_part_may_come_from_another_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from bessemer.core import catalogue

    points = [
        EntryPoint("mine", "bessemer.prepare.sources.csv:Csv", "bessemer.prepare.sources"),
        EntryPoint("wrong", "json:loads", "bessemer.prepare.sources"),
    ]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points)
    found = catalogue.Catalogue("source", "bessemer.prepare.sources", SOURCES.contract)
    assert "mine" in found.names()
    assert found.load("mine") is SOURCES.load("csv")
    with pytest.raises(BessemerError, match="no subclass"):
        found.load("wrong")
