"""Training on a base so small that it takes seconds: interrupted, short of memory, gone wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.families import write_family

from bessemer.core.errors import CorruptError, OperatorError, ProjectError
from bessemer.core.progress import Step, Watcher
from bessemer.service.pipeline import Pipeline
from bessemer.service.platform import Platform
from bessemer.service.project_file import load
from bessemer.service.recipe import plan
from bessemer.train import checkpoints
from bessemer.train.curriculum import Supervised, class_weights
from bessemer.train.device import device
from bessemer.train.gradient import pieces
from bessemer.train.methods.base import Learnt, Lesson, Method
from bessemer.train.network import Network
from bessemer.train.search import attempt

SHORT = "epochs: 2, batch_size: 8, checkpoint_every: 2, max_length: 24"


class Interrupted(Exception):
    """Stands for whatever ends a process in the middle of a step."""


class Bench_:
    """A tiny project, its lesson and its method."""

    def __init__(self, place: Path, tiny: Path, train: str) -> None:
        variant = "text-classification"
        project = write_family(place / "project", variant, train, base=str(tiny))
        self.home = Platform.open(place / "home").home
        self.pipeline = Pipeline(self.home, plan(load(project), place), Watcher())
        self.pipeline.prepare()
        self.method: Method
        self.method, self.options = self.pipeline.method()
        work, events = place / "work", place / "events"
        self.lesson: Lesson = replace(self.pipeline.lesson(), work=work, events=events)

    def learn(self, **changes: object) -> Learnt:
        return self.method.learn(replace(self.lesson, **changes), self.options)


@pytest.fixture
def bench(tmp_path: Path, tiny: Path, request: pytest.FixtureRequest) -> Iterator[Bench_]:
    made = Bench_(tmp_path, tiny, request.param)
    yield made
    made.home.database.close()


def using(method: str, options: str = "") -> pytest.MarkDecorator:
    train = f"{{method: {method}, {SHORT}{', ' if options else ''}{options}}}"
    return pytest.mark.parametrize("bench", [train], indirect=True, ids=[method])


def stopping_at(step: int):
    def progress(told: Step) -> None:
        if told.what == "train" and told.total and told.done == step:
            raise Interrupted

    return progress


def same(one: Learnt, other: Learnt) -> bool:
    pairs = [(one.head, other.head), (one.encoder, other.encoder), (one.adapter, other.adapter)]
    return all(
        (a or {}).keys() == (b or {}).keys() and all(a[k].equal(b[k]) for k in a or {})
        for a, b in pairs
    )


@pytest.mark.parametrize(
    "bench",
    [
        f"{{method: full, {SHORT}, train_layers: 1, label_smoothing: 0.1}}",
        f"{{method: full, {SHORT}, train_layers: 1, unfreeze_after: 1}}",
        f"{{method: lora, {SHORT}, rank: 2, adapter_dropout: 0.1}}",
        f"{{method: few-shot, {SHORT}}}",
    ],
    indirect=True,
    ids=["full", "unfreezing", "lora", "few-shot"],
)
def test_an_interrupted_training_ends_with_the_same_bits(bench: Bench_, tmp_path: Path) -> None:
    whole = bench.learn(work=tmp_path / "whole")
    for step in (1, 5, 5, 7):
        with pytest.raises(Interrupted):
            bench.learn(progress=stopping_at(step))
    assert same(bench.learn(), whole)
    assert not same(bench.learn(seed=1, work=tmp_path / "other"), whole)


@using("full")
def test_a_loss_that_is_no_number_stops_and_leaves_the_last_good_checkpoint(
    bench: Bench_, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = Supervised.loss, []

    def broken(self: Supervised, network: object, rows: list[int]):
        lost, weight = real(self, network, rows)
        return (lost * float("nan") if len(steps) > 4 else lost), weight

    monkeypatch.setattr(Supervised, "loss", broken)
    with pytest.raises(OperatorError, match=r"loss is nan .* step 5 \(epoch 1, batch 5, rows \d"):
        bench.learn(progress=lambda told: steps.append(told.done) if told.what == "train" else 0)
    kept = checkpoints.load(bench.lesson.work, bench.lesson.identity)
    assert kept is not None
    assert kept.values["step"] == 4
    assert all(bool(tensor.isfinite().all()) for tensor in kept.tensors.values())


@using("full", "micro_tokens: 4096")
def test_memory_that_runs_out_halves_the_pieces_and_says_so(
    bench: Bench_, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, notes = Supervised.loss, []

    def small(most: int):
        def loss(self: Supervised, network: object, rows: list[int]):
            if len(rows) > most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")
            return real(self, network, rows)

        return loss

    monkeypatch.setattr(Supervised, "loss", small(2))
    learnt = bench.learn(progress=lambda told: notes.append(told.note))
    assert math.isfinite(learnt.log_loss)
    assert any("memory ran out" in note for note in notes)
    monkeypatch.setattr(Supervised, "loss", small(0))
    with pytest.raises(OperatorError, match="Memory does not hold"):
        bench.learn(work=bench.lesson.work / "other")


@using("full")
def test_a_checkpoint_of_another_training_is_refused(bench: Bench_) -> None:
    with pytest.raises(Interrupted):
        bench.learn(progress=stopping_at(5))
    other = {**bench.lesson.identity, "data": "0123456789abcdef"}
    with pytest.raises(CorruptError, match=r"another training: data .* 0123456789ab here"):
        bench.learn(identity=other)


@using("full", "train_layers: 3")
def test_more_layers_than_there_are(bench: Bench_) -> None:
    with pytest.raises(ProjectError, match="train_layers is 3, the base has 2 layers"):
        bench.learn()


@using("full", "unfreeze_after: 1")
def test_nothing_is_left_to_unfreeze(bench: Bench_) -> None:
    with pytest.raises(ProjectError, match="train_layers is not set"):
        bench.learn()


@using("full", "train_layers: 1, unfreeze_after: 2")
def test_the_lower_layers_would_never_get_their_turn(bench: Bench_) -> None:
    with pytest.raises(ProjectError, match=r"unfreeze_after is 2, .*epochs 2"):
        bench.learn()
    tried = attempt(bench.method, bench.lesson, bench.options, lambda epoch, loss: True)
    assert tried.state == "failed", "other settings of a search may do better"
    assert "unfreeze_after is 2" in tried.error


@using("lora", "targets: [query, valeu]")
def test_a_matrix_that_no_layer_has(bench: Bench_) -> None:
    with pytest.raises(ProjectError, match=r"valeu; no trained layer has it.*dense, key, query"):
        bench.learn()


@using("full")
def test_events_hold_losses_rates_and_a_picture(bench: Bench_) -> None:
    bench.learn()
    events = EventAccumulator(str(bench.lesson.events)).Reload()
    tags = events.Tags()
    assert {"train/loss", "train/learning_rate", "validation/log_loss"} <= set(tags["scalars"])
    assert tags["images"] == ["validation/confusion"]
    rates = [event.value for event in events.Scalars("train/learning_rate")]
    assert rates.index(max(rates)) in (0, 1)
    assert rates[-1] < 0.1 * max(rates)


@using("full", "train_layers: 1")
def test_what_is_remembered_of_frozen_layers_changes_nothing(
    bench: Bench_, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench.learn()
    monkeypatch.setattr("bessemer.train.network.MOST_REMEMBERED_BYTES", 0)
    computed = bench.learn(work=tmp_path / "other")
    for name, tensor in whole.encoder.items():
        assert torch.allclose(tensor, computed.encoder[name], atol=1e-4), name
    frozen = [n for n in whole.encoder if "layer.0." in n or "embeddings" in n]
    before = load_file(bench.lesson.weights)
    assert frozen
    assert all(whole.encoder[name].equal(before[name]) for name in frozen)


@using("full", "train_layers: 1, unfreeze_after: 1")
def test_lower_layers_are_trained_from_their_epoch_on(bench: Bench_) -> None:
    before, kept = load_file(bench.lesson.weights), []

    def told(epoch: int, log_loss: float) -> None:
        found = checkpoints.load(bench.lesson.work)
        assert found is not None
        kept.append(found.tensors)

    bench.learn(told=told)
    # A key's bias has no gradient: it adds the same to all scores of a query.
    lower = [n for n in before if "layer.0." in n and "key.bias" not in n]
    assert lower
    for name in lower:
        trained = [tensors[f"weight.encoder.transformer.{name}"] for tensors in kept]
        assert trained[0].equal(before[name]), name
        assert not trained[1].equal(before[name]), name
    words = [n for n in before if "word_embeddings" in n]
    assert not any(f"weight.encoder.transformer.{n}" in kept[1] for n in words)


@using("full", "train_layers: 1, unfreeze_after: 1, patience: 1")
def test_patience_begins_when_every_layer_has_its_turn(
    bench: Bench_, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.1, 0.3, 0.2] * 4)
    monkeypatch.setattr(Supervised, "validate", lambda *_: {"log_loss": next(losses), "score": 0.5})
    epochs: list[int] = []
    bench.learn(told=lambda epoch, _: epochs.append(epoch), work=tmp_path / "whole")
    assert epochs == [1, 2]
    epochs.clear()
    losses = iter([0.1, 0.3, 0.2])
    steps = -(-len(bench.lesson.train) // 8)
    with pytest.raises(Interrupted):  # in the epoch that trains all layers
        bench.learn(progress=stopping_at(steps + 3))
    bench.learn(told=lambda epoch, _: epochs.append(epoch))
    assert epochs == [2]


def test_balanced_weights_make_labels_count_alike(tmp_path: Path, tiny: Path) -> None:
    made = Bench_(tmp_path, tiny, f"{{method: full, {SHORT}}}")
    weights = class_weights(made.lesson)
    counts = [0] * 4
    for target in made.lesson.train.targets:
        counts[int(target)] += 1
    shares = [w * c for w, c in zip(weights, counts, strict=True)]
    assert shares == pytest.approx([sum(counts) / 4] * 4)
    made.home.database.close()


def test_a_device_that_is_not_there() -> None:
    assert device("cpu") == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(OperatorError, match=r"'cuda'.*none"):
            device("cuda")


def test_pieces_hold_every_row_once_and_keep_to_the_budget() -> None:
    draws = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 60, (200,), generator=draws).tolist()
    for budget in (16, 100, 1000, 10**6):
        parts = pieces(range(200), lengths, budget)
        assert sorted(row for part in parts for row in part) == list(range(200))
        assert len(parts) >= 2
        tokens = [sum(lengths[row] for row in part) for part in parts]
        assert max(tokens) <= max(budget, 2 * 60) * 1.5
    assert pieces([7], lengths, 100) == [[7]]


@using("full", "token_dropout: 0.5")
def test_a_share_of_the_tokens_is_hidden_but_never_the_ends(bench: Bench_) -> None:
    seen: list[torch.Tensor] = []
    real = Supervised.loss

    def watched(self: Supervised, network: Network, rows: list[int]):
        ids, mask = network.batch(self._lesson.train.encoded.features, rows)
        for row, number, kept in zip(ids, rows, mask.sum(dim=1).tolist(), strict=True):
            features = torch.from_numpy(self._lesson.train.encoded.features[number])
            changed = row[:kept] != features
            assert not changed[0]
            assert not changed[-1]
            assert (row[:kept][changed] == bench.lesson.mask_token).all()
            seen.append(changed[1:-1])
        return real(self, network, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Supervised, "loss", watched)
        bench.learn()
    assert float(torch.cat(seen).float().mean()) == pytest.approx(0.5, abs=0.05)
