"""Names in texts: the real Presidio and a real spaCy pipeline, which knows a few names by heart."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import spacy
from tests.conftest import write_csv

from bessemer.core.errors import OperatorError, ProjectError
from bessemer.core.project import Data, Prepare
from bessemer.prepare import presidio
from bessemer.prepare.pii import Found, joined
from bessemer.prepare.presidio import Model, Names, model_of
from bessemer.prepare.runner import Inputs, prepare
from bessemer.service.project_file import parse
from bessemer.service.recipe import plan
from bessemer.tasks.token_classification import TokenClassification

KNOWN = {"PERSON": "Ada Lovelace", "GPE": "London", "ORG": "Acme Ltd", "NORP": "British"}


def write_model(folder: Path, known: dict[str, str], language: str = "en") -> Path:
    pipeline = spacy.blank(language)
    if known:
        patterns = [{"label": label, "pattern": name} for label, name in known.items()]
        pipeline.add_pipe("entity_ruler").add_patterns(patterns)
    pipeline.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "known", KNOWN)


@pytest.fixture(scope="module")
def names(folder: Path) -> Names:
    found = model_of(folder.name, folder.parent)
    assert found
    return Names(found)


def kinds(names: Names, *texts: str) -> list[list[tuple[str, str]]]:
    found = zip(texts, names.find(texts), strict=True)
    return [[(text[one.start : one.end], one.kind) for one in some] for text, some in found]


def test_what_a_model_finds(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presidio, "AT_ONCE", 2)

    def nobody(*_: object) -> None:
        raise AssertionError("somebody was called")

    monkeypatch.setattr(socket, "socket", nobody)
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    text = "Is Ada Lovelace of Acme Ltd in London? She is British. Write to a@b.co.uk."
    assert kinds(names, text, "", "nobody", "London", "𝒳 London") == [
        [("Ada Lovelace", "name"), ("Acme Ltd", "organisation"), ("London", "place")],
        [],
        [],
        [("London", "place")],
        [("London", "place")],
    ]


@pytest.mark.parametrize("between", [". ", "\n"])
def test_long_texts_are_read_in_pieces(
    names: Names, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    monkeypatch.setattr(presidio, "MOST", 20)
    text = between.join(["Ada Lovelace", "London"] * 9)
    found = kinds(names, text, "x" * 70, "London " * 9)
    assert found == [
        [("Ada Lovelace", "name"), ("London", "place")] * 9,
        [],
        [("London", "place")] * 9,
    ]


def test_what_has_a_form_is_surer() -> None:
    text = "Ann Lee 13812345678, Bob"
    phone, bob = Found(8, 19, "phone"), Found(21, 24, "name")
    assert joined(text, [phone], [Found(0, 20, "name"), bob]) == [Found(0, 7, "name"), phone, bob]
    assert joined(text, [phone], [Found(8, 19, "name"), Found(10, 12, "place")]) == [phone]


def test_names_are_masked_and_spans_move(tmp_path: Path, folder: Path) -> None:
    told = "Ada Lovelace, 13812345678, asks {} about bags, says Acme Ltd"
    rows = []
    for n in range(40):
        text = told.format("a" * n)
        start = text.index("bags")
        rows.append((text, f'[{{"start": {start}, "end": {start + 4}, "label": "THING"}}]'))
    write_csv(tmp_path / "table.csv", rows, ("text", "label"))
    data, rules = Data(source="table.csv"), Prepare(pii="mask", pii_model="known")
    inputs = Inputs(
        {"source": tmp_path / "table.csv"}, "0" * 64, 0, model_of("known", folder.parent)
    )
    task = TokenClassification(data.labels)
    done = prepare(task, data, rules, inputs, tmp_path / "rows", lambda *_: None)
    finding = next(one for one in done.findings if one.rule == "personal data")
    assert (finding.action, finding.count) == ("masked", 40)
    assert sorted((finding.detail or "").split(", ")) == ["name 40", "organisation 40", "phone 40"]
    for row in pq.read_table(tmp_path / "rows" / "test.parquet").to_pylist():
        assert row["text"].startswith("[NAME], [PHONE], asks")
        assert row["text"].endswith(" about bags, says [ORGANISATION]")
        [(start, end, label)] = task.parse(row["text"], row["label"])
        assert (row["text"][start:end], label) == ("bags", "THING")


def test_a_model_is_known_by_what_it_holds(tmp_path: Path, folder: Path) -> None:
    first = model_of(folder.name, folder.parent)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    again = model_of("copy", tmp_path)
    assert first
    assert again
    assert first.place != again.place
    keys = [key(folder.parent, "known"), key(tmp_path, "copy")]
    assert keys[0] == keys[1] != key(tmp_path, None)
    (copy / "meta.json").write_text((copy / "meta.json").read_text() + "\n")
    assert key(tmp_path, "copy") != keys[0]


def key(folder: Path, model: str | None, uploads: dict[str, Path] | None = None) -> str:
    write_csv(folder / "table.csv", [("text", "a")], ("text", "label"))
    rules = f"\nprepare: {{pii_model: '{model}'}}" if model else ""
    text = f"name: x\ndata: {{source: table.csv}}{rules}"
    return plan(parse(text, folder, "", uploads=uploads), folder / "cache").keys["prepare"]


def test_a_server_takes_installed_models_only(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also no other package of the server, which a loader would import."""
    sent = {"table.csv": tmp_path / "table.csv"}
    for name in (str(folder), "known", "../known", "pytest", "blank:en", "none_core_web_sm"):
        with pytest.raises(ProjectError, match=r"line 3.*installed on this server.*spacy download"):
            key(tmp_path, name, sent)
    install(tmp_path / "site", folder)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert key(tmp_path, "en_known", sent)
    installed = model_of("en_known", None)
    assert installed == Model("en_known", "en_known@1.2")
    assert kinds(Names(installed), "in London") == [[("London", "place")]]
    monkeypatch.delitem(sys.modules, "en_known")


def install(site: Path, model: Path) -> None:
    """Lay a model out as pip does with what `spacy package` makes."""
    package, about = site / "en_known", site / "en_known-1.2.dist-info"
    meta = (model / "meta.json").read_text()
    meta = meta.replace('"version":"0.0.0"', '"version":"1.2"').replace('"pipeline",', '"known",')
    shutil.copytree(model, package / "en_known-1.2")
    (package / "en_known-1.2" / "meta.json").write_text(meta)
    (package / "meta.json").write_text(meta)
    (package / "__init__.py").write_text(
        "from spacy.util import load_model_from_init_py\n"
        "def load(**rest):\n    return load_model_from_init_py(__file__, **rest)\n"
    )
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: en_known\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text("[spacy_models]\nen_known = en_known\n")


def test_a_model_that_cannot_serve_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("it was fetched")

    monkeypatch.setattr(spacy.cli, "download", fetched)
    with pytest.raises(OperatorError, match=r"none_core_web_sm cannot be loaded"):
        Names(Model("none_core_web_sm", ""))
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "config.cfg").write_text("[nlp]\nlang = 1")
    with pytest.raises(OperatorError, match="cannot be loaded"):
        Names(Model(str(broken), ""))
    with pytest.raises(ProjectError, match="names no people"):
        Names(Model(str(write_model(tmp_path / "blank", {"DATE": "today"})), ""))


def test_a_chinese_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presidio, "MOST", 10)
    place = write_model(tmp_path / "zh", {"PERSON": "张伟", "GPE": "北京"}, "zh")
    found = kinds(Names(Model(str(place), "")), "张伟在北京。" * 9)
    assert found == [[("张伟", "name"), ("北京", "place")] * 9]
