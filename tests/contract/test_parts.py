"""Every part of every kind keeps its contract; a new one is tested because it exists."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bessemer.bundle import format as bundle_format
from bessemer.compute.base import EXECUTORS
from bessemer.core.errors import BessemerError, CorruptError, DataError, UnknownNameError
from bessemer.core.progress import Watcher
from bessemer.core.project import Data
from bessemer.engines.base import ENGINES
from bessemer.prepare.sources.base import SOURCES
from bessemer.service.pipeline import Pipeline
from bessemer.service.platform import Platform
from bessemer.service.project_file import parse
from bessemer.service.recipe import plan
from bessemer.tasks.base import TASKS
from bessemer.train.methods.base import METHODS, Batch, Lesson

ROWS = {"text": ["one", "zwei, “drei”\nvier", None, "四"], "label": ["a", "b", "a", "b"]}


def _write(path: Path) -> None:
    rows = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    if path.suffix == ".parquet":
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
        path = tmp_path / f"table{suffix}"
        _write(path)
        table = source().read(path, Data(source=path.name))
        assert table.schema.types == [pa.string(), pa.string()]
        found = [cell or None for cell in table["text"].to_pylist()]
        assert found == ROWS["text"]
        path.write_bytes(b"\x00\xff\x00garbage")
        with pytest.raises(DataError):
            source().read(path, Data(source=path.name))


@pytest.mark.parametrize("name", TASKS.names())
def test_task(name: str, platform: Platform) -> None:
    task = TASKS.load(name)()
    labels = ("a", "b", "c")
    targets = task.targets(["c", "a", "b", "a"], labels)
    logits = np.eye(3, dtype=np.float32)[[2, 0, 1, 1]] * 4
    metrics, classes, confusions = task.metrics(
        targets, logits, labels, temperature=1.0, confidence=0.95, resamples=50, seed=0
    )
    assert tuple(metrics) == task.metric_names
    for metric in metrics.values():
        assert metric.low <= metric.value <= metric.high
        assert metric.count == 4
    assert [c.label for c in classes] == list(labels)
    assert confusions
    decoded = task.decode(logits, labels, 1.0, 2)
    assert [len(row) for row in decoded] == [2, 2, 2, 2]
    assert [row[0]["label"] for row in decoded] == ["c", "a", "b", "b"]
    head = task.head(8, labels)
    import torch

    out = head(torch.zeros(4, 8))
    assert out.shape == (4, 3)
    assert task.loss(out, torch.from_numpy(targets)).ndim == 0


@pytest.mark.parametrize("name", ENGINES.names())
def test_engine(name: str, platform: Platform, tmp_path: Path) -> None:
    release = platform.releases.show("small")
    graph = platform.releases.bundle(release) / bundle_format.GRAPH
    engine = ENGINES.load(name)(graph)
    rows = [[101, 7592, 102], [101, *range(2000, 2060), 102], [101, 2054, 2003, 102]]
    together = engine.run(rows)
    assert together.shape == (3, len(release.report.classes))
    assert together.dtype == np.float32
    for row, wanted in zip(rows, together, strict=True):
        assert engine.run([row]).tobytes() == wanted.tobytes(), "batch mates changed an answer"
    (tmp_path / "graph").write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(CorruptError):
        ENGINES.load(name)(tmp_path / "graph")


@pytest.mark.parametrize("name", METHODS.names())
def test_method(name: str, finished: Path, tmp_path: Path) -> None:
    """It learns something, says how far it is, and gives the same bits twice."""
    text = (finished / "project" / "bessemer.yaml").read_text()
    options = ", epochs: 1, batch_size: 8" if name == "full" else ""
    loaded = parse(
        f"{text}train: {{method: {name}, max_length: 12{options}}}", finished / "project", ""
    )
    home = Platform.open(tmp_path / "home").home
    pipeline = Pipeline(home, plan(loaded, tmp_path), Watcher())
    pipeline.prepare()
    steps: list[int] = []
    method = METHODS.load(name)

    def learn(place: Path):
        lesson = Lesson(
            task=pipeline.task,
            labels=pipeline.dataset().labels,
            train=Batch(*pipeline.examples("train")),
            validation=Batch(*pipeline.examples("validation")),
            config=pipeline.plan.base.config,
            weights=pipeline.plan.base.folder / "model.safetensors",
            seed=0,
            work=place / "work",
            events=place / "events",
            progress=lambda step: steps.append(step.done),
        )
        options = method.Options.model_validate(loaded.project.train.options)
        return method().learn(lesson, options)

    first, second = learn(tmp_path / "1"), learn(tmp_path / "2")
    assert steps
    assert first.head.keys() == second.head.keys() == {"weight", "bias"}
    for one, other in [(first.head, second.head), (first.encoder or {}, second.encoder or {})]:
        assert all(one[key].equal(other[key]) for key in one)
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
