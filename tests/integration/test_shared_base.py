"""Many tasks on one base in one stream: each answer is the one that its text would get alone."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import threading
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.conftest import small_rows

from bessemer.bundle.format import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONFIG,
    CONTENTS,
    ENCODER,
    GRAPH,
    GRAPH_WEIGHTS,
    HEAD,
    TOKENISER,
    Contents,
)
from bessemer.core import folder
from bessemer.core.errors import CorruptError
from bessemer.core.project import Labels
from bessemer.core.records import Pretrained
from bessemer.engines import onnx
from bessemer.engines.base import Engine
from bessemer.engines.lora import slots
from bessemer.engines.torch import TorchEngine
from bessemer.measures.calibration import probabilities
from bessemer.pretrained.resolve import WEIGHTS, resolve
from bessemer.release.export import export
from bessemer.serve import residents
from bessemer.serve.policies import LengthWindow
from bessemer.serve.residents import Resident, Residents, attached
from bessemer.serve.scheduler import Scheduler
from bessemer.serve.workers import Computed, Workers
from bessemer.tasks.base import TASKS as TASK_KINDS

#: Of MiniLM's six.
LAYERS = 2
#: What the tasks adapt of their base; the last ones have weights of their own.
ADAPTED: dict[str, set[str]] = {
    "head": set(),
    "some": {
        f"encoder.layer.{n}.attention.self.{m}" for n in range(LAYERS) for m in ("query", "value")
    },
    "every": {
        f"encoder.layer.{n}.{m}"
        for n in range(LAYERS)
        for m in ("attention.output.dense", "intermediate.dense", "output.dense")
    },
    "own": set(),
}
LABELS = ("a", "b", "c", "d")
TASKS = 64
EACH = 8


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return MiniLM's graphs with the places that tasks need, and one of other weights."""
    base = resolve("minilm-l6", relative_to=Path())
    config = {**base.config, "num_hidden_layers": LAYERS}
    place = tmp_path_factory.mktemp("graphs")
    draws = np.random.default_rng(0)
    found = {}
    for name, adapted in ADAPTED.items():
        found[name] = place / name
        found[name].mkdir()
        weights = load_file(base.folder / WEIGHTS)
        if name == "own":
            weights = {n: v * (1 + 0.01 * draws.normal(size=v.shape)) for n, v in weights.items()}
        weights = {n: np.asarray(v, np.float32) for n, v in weights.items()}
        save_file(weights, found[name] / ENCODER)
        export(config, found[name] / ENCODER, found[name], adapted=adapted)
        shutil.copyfile(base.folder / TOKENISER, found[name] / TOKENISER)
        (found[name] / CONFIG).write_text(json.dumps(config))
    return found


def write_bundle(graph: Path, engine: str, adapted: set[str], target: Path, number: int) -> Path:
    """Write a task on a graph, with a head, labels and an adapter of its own."""
    draws = np.random.default_rng(number)
    target.mkdir(parents=True)
    labels = LABELS[: 2 + number % 3]
    shapes = {"weight": (len(labels), 384), "bias": (len(labels),)}
    save_file(
        {n: draws.normal(0, 3, shape).astype(np.float32) for n, shape in shapes.items()},
        target / HEAD,
    )
    for file in (graph / engine / GRAPH, graph / engine / GRAPH_WEIGHTS, graph / TOKENISER):
        folder.link(file, target / file.name)
    for name in (ENCODER, CONFIG):
        folder.link(graph / name, target / name)
    if adapted:
        rank = 2 + 2 * (number % 3)
        tensors = {}
        for module in adapted:
            wide = module.endswith("output.dense") and "attention" not in module
            width = 1536 if wide else 384
            out = 1536 if "intermediate" in module else 384
            name = f"base_model.model.{module}"
            tensors[f"{name}.lora_A.weight"] = draws.normal(0, 0.05, (rank, width))
            tensors[f"{name}.lora_B.weight"] = draws.normal(0, 0.05, (out, rank))
        save_file({n: v.astype(np.float32) for n, v in tensors.items()}, target / ADAPTER)
        (target / ADAPTER_CONFIG).write_text(json.dumps({"r": rank, "lora_alpha": 16}))
    contents = Contents(
        project=f"task-{number}",
        task=f"text-classification@{TASK_KINDS.load('text-classification').version}",
        base=Pretrained(name="minilm-l6", digest="0" * 64, licence=None),
        tier=1 if adapted else 0,
        engine=engine,
        labels=labels,
        label_rules=Labels(),
        max_length=128,
        calibration={"temperature": 1.0},
        validation_score={},
    )
    (target / CONTENTS).write_text(contents.model_dump_json())
    folder.seal(target)
    return target


@pytest.fixture(scope="module", params=["onnx-fp32", "onnx-int8"])
def bundles(
    request: pytest.FixtureRequest,
    graphs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Return bundles of many tasks on one base, signed by nobody."""
    place = tmp_path_factory.mktemp("tasks")
    names = list(ADAPTED)
    return [
        write_bundle(graphs[name], request.param, ADAPTED[name], place / str(n), n)
        for n in range(TASKS)
        for name in [names[n % len(names)]]
    ]


def load(place: Residents, bundle: Path) -> Resident:
    return place.load(bundle, folder.entries(bundle))


def test_each_answer_is_the_one_it_would_get_alone(
    bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While tasks are attached and detached, and adapters make room for each other."""
    monkeypatch.setattr(slots, "LEAST_SLOTS", 13)
    monkeypatch.setattr(onnx, "Slots", partial(slots.Slots, most_bytes=1))
    texts = [text for text, _ in small_rows()]
    place = Residents()
    tasks = [load(place, bundle) for bundle in bundles]
    assert len({task.base for task in tasks}) == len(ADAPTED), "tasks on one base share it"
    for task in tasks:
        assert task.base.engine.slots[0] <= 12
    # So long that a batch has fewer rows than there are slots.
    rows = [row for row in tasks[0].encode(texts).features if len(row) >= 8]
    draws = random.Random(0)
    stream = [(n, draws.randrange(len(rows))) for n in range(TASKS) for _ in range(EACH)]
    alone = {(n, row): tasks[n].model.run([rows[row]])[0] for n, row in dict.fromkeys(stream)}
    draws.shuffle(stream)

    def finish(computed: Sequence[Computed]) -> list[np.ndarray]:
        return [one.request.model.logits(one.states)[0] for one in computed]

    async def answers() -> list[np.ndarray]:
        asked = []
        for n, row in stream:
            model = tasks[n].model
            asked.append(workers.submit(model, [rows[row]], tasks[n], tenant="one"))
        return await asyncio.wait_for(asyncio.gather(*asked), 60)

    workers = Workers(Scheduler(LengthWindow(tokens=96), most_tokens=10**6), 2, finish)
    ended = threading.Event()

    def comes_and_goes() -> None:
        for bundle in cycle(bundles[:8]):
            load(place, bundle)
            if ended.wait(0.005):
                return

    thread = threading.Thread(target=comes_and_goes)
    thread.start()
    try:
        found = asyncio.run(answers())
    finally:
        ended.set()
        thread.join()
        workers.close()
    pairs = zip(stream, found, strict=True)
    differ = sum(alone[key].tobytes() != logits.tobytes() for key, logits in pairs)
    assert not differ, f"{differ} of {len(found)} answers are not those that texts get alone"


def test_a_task_that_nobody_holds_gives_its_slot_back(bundles: list[Path]) -> None:
    place = Residents()
    kept = load(place, bundles[1])
    other = load(place, bundles[5])
    engine: Engine = kept.base.engine
    assert other.base is kept.base
    assert engine.slots[0] == 2
    name = other.model.adapter
    del other
    assert engine.slots[0] == 1
    assert kept.logits(["still there"])[0].shape == (len(kept.contents.labels),)
    with pytest.raises(CorruptError, match="changed"):
        place.load(bundles[5], {**folder.entries(bundles[5]), ADAPTER: "0" * 64})
    assert engine.slots[0] == 1
    assert name != kept.model.adapter


def test_no_task_is_served_without_the_adapter_that_was_signed(
    bundles: list[Path], tmp_path: Path
) -> None:
    """Its configuration says whether there is one: it may neither go nor say otherwise."""
    place, bundle = Residents(), tmp_path / "bundle"
    shutil.copytree(bundles[1], bundle)
    signed = folder.entries(bundle)
    assert place.load(bundle, signed).model.adapter
    (bundle / ADAPTER_CONFIG).write_text(json.dumps({"r": 1, "lora_alpha": 1, "use_dora": True}))
    with pytest.raises(CorruptError, match=r"adapter_config\.json was changed"):
        place.load(bundle, signed)
    (bundle / ADAPTER_CONFIG).unlink()
    with pytest.raises(CorruptError, match="no such file"):
        place.load(bundle, signed)
    shutil.copytree(bundles[0], tmp_path / "plain")
    (tmp_path / "plain" / ADAPTER_CONFIG).write_text(json.dumps({"r": 1, "lora_alpha": 1}))
    with pytest.raises(CorruptError, match=r"adapter_config\.json was changed"):
        place.load(tmp_path / "plain", folder.entries(bundles[0]))


def test_the_oracle_computes_the_same(bundles: list[Path]) -> None:
    texts = [text for text, _ in small_rows()][::5]
    for bundle in bundles[:4]:
        task = residents.load(bundle)
        oracle = attached(TorchEngine(bundle), bundle, pooled=True)
        ours = probabilities(np.stack(task.logits(texts)), 1.0)
        wanted = probabilities(np.stack(oracle.run(task.encode(texts).features)), 1.0)
        far = np.abs(ours - wanted).max()
        assert far < (1e-4 if task.contents.engine == "onnx-fp32" else 0.2)
        assert (ours.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.9


def test_a_text_that_several_tasks_are_asked_is_encoded_once(
    bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three heads and two adapters in one batch: one encoding, or one for each adapter."""
    place = Residents()
    computed: list[int] = []

    def counting(run):
        def counted(names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            computed.append(len(feeds["input_ids"]))
            return run(names, feeds)

        return counted

    for kind, different in ((0, 1), (1, 3)):
        tasks = [load(place, bundles[n]) for n in (kind, kind + 4, kind + 8)]
        engine = tasks[0].base.engine
        row = tasks[0].encode(["the same text"]).features[0]
        alone = [task.model.run([row])[0] for task in tasks]
        monkeypatch.setattr(engine, "_session", SimpleNamespace(run=counting(engine._session.run)))
        adapters = [task.model.adapter for task in tasks]
        states = engine.run([row] * 3, adapters, pooled=True)
        assert computed[-1] == different
        for task, found, wanted in zip(tasks, states, alone, strict=True):
            assert task.model.logits([found])[0].tobytes() == wanted.tobytes()
