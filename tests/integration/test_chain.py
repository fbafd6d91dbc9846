"""The chain on real rows, models and files, in this process."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import overwrite, write_csv, write_project
from tests.hub import hub

from bessemer.core import folder
from bessemer.core.errors import (
    ConflictError,
    CorruptError,
    DataError,
    ProjectError,
    SignatureError,
    StorageError,
    UnknownNameError,
    UnsafeModelError,
)
from bessemer.core.progress import Step, Watcher
from bessemer.core.verdict import Verdict
from bessemer.pretrained.resolve import resolve
from bessemer.serve import residents
from bessemer.service import logits, releasing
from bessemer.service.platform import Platform


class Kept(Watcher):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.ended_stages: dict[str, bool] = {}
        self.steps: list[Step] = []

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def ended(self, stage: str, seconds: float, *, reused: bool, note: str) -> None:
        self.ended_stages[stage] = reused


def bundle(platform: Platform) -> Path:
    return platform.releases.bundle(platform.releases.show("small"))


def test_a_release_is_whole_and_tells_all(platform: Platform) -> None:
    release = platform.releases.show("small")
    assert release.id == "small@1"
    assert platform.releases.show("small@1") == release
    place = bundle(platform)
    names = {path.name for path in place.iterdir()}
    assert names == {
        "bundle.json", "model.onnx", "model.weights", "encoder.safetensors", "head.safetensors",
        "config.json",
        "tokenizer.json", "report.json", "verdict.json", "project.json", "README.md",
        "reloaded.json", "manifest.json", "statement.json",
    }  # fmt: skip
    card = (place / "README.md").read_text()
    assert "accuracy" in card
    assert "nothing is live yet" in card
    envelope = json.loads((place / "statement.json").read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert {s["name"] for s in statement["subject"]} == names - {"statement.json"}
    assert set(statement["predicate"]["stages"]) == {
        "prepare", "train", "export", "evaluate", "release",
    }  # fmt: skip


def test_what_is_reported_is_what_is_served(platform: Platform) -> None:
    """The report's logits come from the released graph, one text at a time."""
    run = platform.runs.list()[-1]
    release = platform.releases.show("small")
    resident = residents.load(bundle(platform))
    (evaluated,) = (platform.home.root / "stages" / "evaluate").iterdir()
    (prepared,) = (platform.home.root / "stages" / "prepare").iterdir()
    import pyarrow.parquet as pq

    rows = pq.read_table(prepared / "test.parquet")
    encoded = resident.encode(rows["text"].to_pylist())
    served = resident.model.run(encoded.features)
    kept = logits.read(evaluated / "logits.npz")
    assert [row.tobytes() for row in served] == [row.tobytes() for row in kept]
    answers = [row[0]["label"] for row in resident.decode(encoded, served, 1)]
    right = np.mean(np.array(answers) == np.array(rows["label"].to_pylist()))
    assert release.report.metrics["accuracy"].value == pytest.approx(right)
    assert run.report == release.report


def test_a_changed_setting_reuses_what_it_does_not_touch(
    platform: Platform, finished: Path, tmp_path: Path
) -> None:
    place = shutil.copytree(finished / "project", tmp_path / "p")
    (place / "bessemer.yaml").write_text(
        (place / "bessemer.yaml").read_text().replace("resamples: 100", "resamples: 150")
    )
    kept = Kept()
    done = platform.run(place, watcher=kept)
    assert kept.ended_stages == {
        "prepare": True, "train": True, "export": True, "evaluate": False, "release": False,
        "deploy": False,
    }  # fmt: skip
    assert done.release == "small@2"
    [live] = [d for d in platform.deployments.list() if d.live]
    assert live.release == "small@2"
    because = [o.because for o in done.verdict.outcomes]
    assert because == ["small@1 is the same model"]
    # Rolled back, the same run does not put it there again.
    assert platform.deployments.rollback("small").release == "small@1"
    assert platform.run(place).release == "small@2"
    assert platform.deployments.live("small").release == "small@1"
    with pytest.raises(ConflictError, match="nothing before small@1"):
        platform.deployments.rollback("small")


def test_an_old_release_is_judged_anew_before_it_replaces_a_newer_one(
    platform: Platform, finished: Path, tmp_path: Path
) -> None:
    """What was judged when nothing was live is held against what is live now."""
    place = shutil.copytree(finished / "project", tmp_path / "p")
    text = (place / "bessemer.yaml").read_text()
    worse = text + "serve: {route: small}\ntrain: {max_length: 8}\n"
    (place / "bessemer.yaml").write_text(worse + "gate: [not_worse_than: live]\n")
    old = Platform.open(tmp_path / "other")
    first = old.release(place)
    assert first.release == "small@1"
    (place / "bessemer.yaml").write_text(text)
    assert old.run(place).state == "succeeded"
    (place / "bessemer.yaml").write_text(worse + "gate: [not_worse_than: live]\n")
    again = old.run(place)
    assert again.state == "gate failed"
    assert again.release == "small@1"
    assert old.deployments.live("small").release == "small@2"
    old.home.database.close()


def test_what_another_run_deploys_meanwhile_is_judged_against(
    platform: Platform, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = shutil.copytree(finished / "project", tmp_path / "better")
    worse = shutil.copytree(finished / "project", tmp_path / "worse")
    text = (worse / "bessemer.yaml").read_text()
    gate = "serve: {route: fresh}\ntrain: {max_length: 8}\ngate: [not_worse_than: live]\n"
    (worse / "bessemer.yaml").write_text(text + gate)
    judge, verdicts = releasing.judge_against, []

    def overtaken(*arguments: Any) -> Verdict:
        verdicts.append(judge(*arguments))
        if len(verdicts) == 2:  # judged for its release, and once more to be deployed
            platform.deploy(platform.release(better).release, "fresh")
        return verdicts[-1]

    monkeypatch.setattr(releasing, "judge_against", overtaken)
    done = platform.run(worse)
    assert [verdict.passed for verdict in verdicts] == [True, True, False]
    assert done.state == "gate failed"
    assert done.verdict == verdicts[-1]
    assert platform.deployments.live("fresh").release == "small@1"


def test_a_gate_that_fails_releases_nothing(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(
        finished / "home" / "stages", tmp_path / "home" / "stages", copy_function=os.link
    )
    shutil.rmtree(tmp_path / "home" / "stages" / "release")
    platform = Platform.open(tmp_path / "home")
    place = write_project(tmp_path / "p", "gate: [accuracy: {at_least: 0.9999}]\n")
    done = platform.run(place)
    assert done.state == "gate failed"
    assert done.release is None
    assert platform.releases.list() == []
    assert platform.deployments.list() == []
    assert not (tmp_path / "home" / "stages" / "release").exists()
    assert platform.runs.show(done.id).state == "gate failed"
    platform.home.database.close()


def test_a_rival_whose_bundle_was_changed_is_not_measured(
    platform: Platform, finished: Path, tmp_path: Path
) -> None:
    graph = bundle(platform) / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    overwrite(graph, content)
    place = shutil.copytree(finished / "project", tmp_path / "p")
    with (place / "bessemer.yaml").open("a") as file:
        file.write("seed: 0\nserve: {max_loss: 0.5}\n")
    done = platform.run(place)
    assert done.state == "gate failed"
    assert done.verdict.outcomes[0].state == "not measured"


def test_one_flipped_bit_in_any_file_is_refused(platform: Platform) -> None:
    place = bundle(platform)
    draws = np.random.default_rng(0)
    for path in sorted(place.iterdir()):
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[int(draws.integers(len(whole)))] ^= 1 << int(draws.integers(8))
        overwrite(path, changed)
        with pytest.raises((CorruptError, SignatureError)):
            platform.releases.verify("small")
        if path.name != "statement.json":
            with pytest.raises(CorruptError):
                residents.load(place)
        overwrite(path, whole)
    assert platform.releases.verify("small").files == len(list(place.iterdir())) - 1


def test_a_bundle_resealed_by_another_is_refused(platform: Platform, tmp_path: Path) -> None:
    place = bundle(platform)
    overwrite(place / "README.md", b"all is well")
    (place / "manifest.json").unlink()
    folder.seal(place, unsealed=("statement.json",))
    with pytest.raises(SignatureError, match=r"README\.md, manifest\.json differ"):
        platform.releases.verify("small")
    with pytest.raises(SignatureError):
        platform.deploy("small@1", "elsewhere")
    for key in (platform.home.root / "keys" / "trusted").iterdir():
        key.unlink()
    with pytest.raises(SignatureError, match="not trusted here"):
        platform.releases.verify("small")


def test_a_full_disk_leaves_nothing_half_done(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform.open(tmp_path / "home")
    platform.prepare(project)
    real = folder.seal

    def full(place: Path, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "seal", full)
    with pytest.raises(StorageError, match="disk is full"):
        platform.train(project)
    monkeypatch.setattr(folder, "seal", real)
    assert platform.runs.list()[0].state == "failed"
    assert list((tmp_path / "home" / "stages" / "train").iterdir()) == []
    done = platform.train(project)
    assert done.state == "succeeded"
    assert done.reused == ("prepare",)
    platform.home.database.close()


def test_bad_bases(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'minilm'.*'minilm-l6'"):
        resolve("minilm", relative_to=tmp_path)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"")
    (pickled / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UnsafeModelError, match="loading these can run code"):
        resolve("pickled", relative_to=tmp_path)
    good = resolve("minilm-l6", relative_to=tmp_path).folder
    for change, message in [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "asks to run its own code"),
        ({"model_type": "evil"}, "not an allowed architecture"),
    ]:
        place = tmp_path / message.replace(" ", "-")
        place.mkdir()
        for name in ("model.safetensors", "tokenizer.json"):
            (place / name).symlink_to(good / name)
        config = json.loads((good / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(UnsafeModelError, match=message):
            resolve(place.name, relative_to=tmp_path)


def from_hub(name: str, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Resolve a base in a fresh process, since the hub's client reads its settings at import."""
    code = (
        "from pathlib import Path; from bessemer.pretrained.resolve import resolve\n"
        f"print(resolve({name!r}, relative_to=Path()).record.digest)"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HOME": str(place / "cache"), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_base_from_the_hub(tmp_path: Path) -> None:
    """It is downloaded once; afterwards the cache does without a network."""
    here = resolve("minilm-l6", relative_to=tmp_path)
    name = "hub:someone/encoder@v1"
    with hub("someone/encoder", "v1", here.folder) as address:
        done = from_hub(name, tmp_path, HF_ENDPOINT=address)
        assert done.stdout.strip() == here.record.digest, done.stderr
        done = from_hub("hub:someone/nothing@v1", tmp_path, HF_ENDPOINT=address)
        assert "The base 'hub:someone/nothing@v1' could not be had from the hub" in done.stderr
    assert from_hub(name, tmp_path, HF_HUB_OFFLINE="1").stdout.strip() == here.record.digest
    done = from_hub("hub:someone/else@v1", tmp_path, HF_HUB_OFFLINE="1")
    assert "OperatorError: The base 'hub:someone/else@v1'" in done.stderr


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("data: {source: tabel.csv}", DataError, r"no file .*tabel\.csv.*'table\.csv'"),
        ("data: {source: .}", DataError, r"bessemer\.yaml is neither part of a table"),
        ("data: {source: 'public:banking78/train.csv'}", UnknownNameError, "banking77/train.csv"),
        ("data: {source: table.csv, columns: {text: txt}}", DataError, "Did you mean 'text'"),
        (
            "data: {source: table.csv, split: {column: label, group: text}}",
            ProjectError, "both column and group",
        ),
    ],
)  # fmt: skip
def test_what_the_project_names_must_exist(
    platform: Platform, tmp_path: Path, change: str, error: type, message: str
) -> None:
    write_csv(tmp_path / "table.csv", [("a", "b")], ("text", "label"))
    (tmp_path / "bessemer.yaml").write_text(f"name: x\n{change}\n")
    before = len(platform.runs.list())
    with pytest.raises(error, match=message):
        platform.check(tmp_path)
    with pytest.raises(error, match=message):
        platform.run(tmp_path)
    assert len(platform.runs.list()) - before <= 1


def test_files_of_their_own_for_the_splits(tmp_path: Path) -> None:
    rows = [(f"text {n} {'warm' if n % 2 else 'cold'}", "ab"[n % 2]) for n in range(60)]
    write_csv(tmp_path / "train.csv", rows[:40], ("text", "label"))
    write_csv(tmp_path / "test.csv", rows[38:], ("text", "label"))
    (tmp_path / "bessemer.yaml").write_text(
        "name: own\ndata: {source: train.csv, split: {test: test.csv}}\n"
    )
    platform = Platform.open(tmp_path / "home")
    found = platform.check(tmp_path)
    assert found.dataset.counts == {"train": 36, "validation": 4, "test": 22}
    leaked = [f for f in found.dataset.findings if "earlier split" in f.rule]
    assert [f.count for f in leaked] == [2]
    platform.home.database.close()


def test_init_writes_a_project_that_runs(tmp_path: Path) -> None:
    rows = [(str(n), f"text {n} {'warm' if n % 2 else ''}", "ab"[n % 2]) for n in range(40)]
    write_csv(tmp_path / "my Table.csv", [*rows, ("40", "", "a")], ("id", "body", "topic"))
    platform = Platform.open(tmp_path / "home")
    path = platform.init(tmp_path / "my Table.csv")
    assert "name: my-table" in path.read_text()
    found = platform.check(tmp_path)
    assert found.dataset.findings[0].rule == "empty text"
    odd = tmp_path / "odd"
    odd.mkdir()
    lines = [f"text {n} {'warm' if n % 2 else 'cold'};{'ab'[n % 2]}" for n in range(40)]
    (odd / "tickets #1.csv").write_text("\n".join(["Message: body;no", *lines]))
    platform.init(odd / "tickets #1.csv", text="Message: body", label="no")
    assert platform.check(odd).dataset.labels == ("a", "b")
    with pytest.raises(ConflictError, match="project file already"):
        platform.init(tmp_path / "my Table.csv")
    platform.home.database.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.conll", "Ada B-person\nleft O\n\n" * 3),
        (
            "names.jsonl",
            '{"text": "Ada left", "spans": [{"start": 0, "end": 3, "label": "x"}]}\n' * 3,
        ),
    ],
)
def test_init_sees_spans(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    platform = Platform.open(tmp_path / "home")
    text = platform.init(tmp_path / name).read_text()
    assert "task: token-classification" in text
    assert "method: full" in text
    platform.home.database.close()
