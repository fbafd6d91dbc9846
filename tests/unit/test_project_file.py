"""The project file: strict, and helpful where it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bessemer.core.errors import ProjectError, UnknownNameError, UserError
from bessemer.service.project_file import explain, load, parse, schema

MINIMAL = "name: a\ndata: {source: t.csv}\n"


def parsed(text: str):
    return parse(text, Path(), "bessemer.yaml")


def test_defaults_are_filled_in_and_explained() -> None:
    loaded = parsed(MINIMAL + "seed: 7\n")
    assert loaded.project.train.options == {"strengths": None, "class_weight": "none"}
    settings = {setting.key: setting for setting in explain(loaded)}
    assert settings["seed"].origin == "line 3"
    assert settings["data.split.test"].origin == "default"
    assert all(setting.about for setting in settings.values())


REFUSED = {
    "unknown key": (MINIMAL + "trian: {method: probe}", r"line 3.*'trian'.*'train'"),
    "unknown inner key": (MINIMAL + "prepare: {duplicate: drop}", r"line 3.*'duplicates'"),
    "unknown option": (MINIMAL + "train:\n  epochs: 3", r"line 4.*train.epochs.*not known"),
    "out of range": (MINIMAL + "evaluate: {confidence: 1.5}", r"line 3.*1\.5.*less than 1"),
    "share out of range": ("name: a\ndata: {source: t, split: {test: 2}}", r"line 2.*test"),
    "option out of range": (
        MINIMAL + "train: {method: full, epochs: 0}", r"line 3.*train.epochs is 0"
    ),
    "wrong word": (MINIMAL + "prepare: {empty: ignore}", r"line 3.*'ignore'.*'error' or 'drop'"),
    "missing key": ("name: a\n", r"'data' is missing"),
    "bad name": ("name: My Product\ndata: {source: t.csv}", r"line 1.*'My Product'"),
    "twice": (MINIMAL + "name: b", r"line 3.*'name' stands there twice"),
    "no YAML": ("name: [", r"is no YAML"),
    "control characters": ("name: \x01", r"is no YAML"),
    "a list": ("- a\n", r"holds no keys"),
    "empty": ("", r"holds no keys"),
    "a python object": (MINIMAL + "seed: !!python/object:os.system x", r"line 3.*no plain value"),
    "an alias bomb of lists": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in ("ab", "bc", "cd", "de")),
        r"nested too deeply or too long"),
    "deep brackets": ("name: " + "[" * 5000, r"is no YAML|too deeply"),
    "a value that is no date": (MINIMAL + "base: 2024-02-30", r"line 3.*no plain value"),
    "no condition": (MINIMAL + "gate: []", r"line 3.*gate"),
    "a negative strength": (MINIMAL + "train: {strengths: [-1]}", r"line 3.*-1.*greater than 0"),
    "an alias bomb": ("a: &a [x,x]\nb: &b [*a,*a]\nname: *b\n", r"line"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_with_its_place(name: str) -> None:
    text, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        parsed(text)


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"line 3: .*'prob'.*few-shot, full, lora, probe"):
        parsed(MINIMAL + "train: {method: prob}")
    with pytest.raises(UnknownNameError, match="text-classification"):
        parsed(MINIMAL + "task: text-clasification")


def test_a_missing_project_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="bessemer init"):
        load(tmp_path)


def test_the_schema_knows_the_methods_options() -> None:
    variants = schema()["$defs"]["Train"]["oneOf"]
    options = {v["properties"]["method"]["const"]: v["properties"] for v in variants}
    assert "epochs" in options["full"]
    assert "epochs" not in options["probe"]
