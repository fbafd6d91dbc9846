"""Texts that are like others: within a split, across splits, in length and language."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_prepare import GOOD, Found, prepared, written

from bessemer.prepare import minhash, near_duplicates
from bessemer.prepare.locate import locate
from bessemer.prepare.words import words


def column(texts: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts)])


def unlabelled(texts: list[str]) -> np.ndarray:
    return np.zeros(len(texts), dtype=np.int32)


@pytest.fixture(scope="module")
def banking(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("cache")
    path = locate("public:banking77/train.csv", relative_to=place, cache=place)
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"].strip() for row in csv.DictReader(file)][::4]


def mistyped(text: str, draw: random.Random) -> str:
    """Return a text with two letters of a longer word exchanged."""
    found = text.split()
    long = [n for n, word in enumerate(found) if len(set(word[1:4])) == 3]
    place = draw.choice(long)
    word = found[place]
    found[place] = word[:1] + word[2] + word[1] + word[3:]
    return " ".join(found)


def test_the_estimate_is_that_of_the_shingles() -> None:
    one, other = "how do i change my pin", "how can i change my pin number"
    signed = minhash.signatures(column([one, other] * 3000), lambda done: None)
    assert (signed[0::2] == signed[0]).all()
    shingles = [{f" {t} "[n : n + 3] for n in range(len(t))} for t in (one, other)]
    actual = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
    assert (signed[0] == signed[1]).mean() == pytest.approx(actual, abs=0.15)


def test_mistyped_texts_are_found_and_named(banking: list[str]) -> None:
    draw = random.Random(0)
    origins = draw.sample([n for n, t in enumerate(banking) if len(t.split()) > 3], 200)
    texts = banking + [mistyped(banking[n], draw) for n in origins]
    splits = np.array([0] * len(banking) + [2] * 200, dtype=np.int8)
    near = near_duplicates.find(column(texts), splits, unlabelled(texts), print)
    told = {
        row: other
        for row, other, across in zip(near.rows, near.others, near.across, strict=True)
        if across
    }
    found = [told.get(len(banking) + n) for n in range(200)]
    assert np.mean([one == two for one, two in zip(found, origins, strict=True)]) >= 0.95


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("How do I activate my card", "How do I actviate my card?", True),
        ("Why was my card payment reverted?", "why was my my card payment reverted", True),
        ("我的卡丢了我应该怎么办呢请帮助我", "我的卡丢了我应该怎么办啊请帮助我", True),
        ("please send 100 pounds to my account", "please send 200 pounds to my account", False),
        ("how do I change my address", "how do I cancel my transfer", False),
        ("order 7781 is late", "order 7782 is late", False),
        ("How can I top up with a cheque?", "Can I top up with a cheque?", False),
    ],
)
def test_what_is_nearly_the_same(one: str, other: str, alike: bool, banking: list[str]) -> None:
    texts = [*banking, one, other]
    comparison = near_duplicates.Comparison(column(texts), unlabelled(texts))
    assert (comparison.shared(words(one), words(other)) >= near_duplicates.ALIKE) is alike


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=30))
def test_any_text_can_be_compared(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "ignore").decode() for t in texts] * 2
    splits = np.zeros(len(texts), dtype=np.int8)
    near = near_duplicates.find(column(texts), splits, unlabelled(texts), lambda step: None)
    assert (near.others < near.rows).all()
    assert len(set(near.rows.tolist())) == len(near.rows)


def test_a_long_text_is_compared_in_time() -> None:
    long = " ".join(f"word{n % 997}" for n in range(100_000))
    texts = [long, f"{long} more"]
    near = near_duplicates.find(column(texts), np.zeros(2, np.int8), unlabelled(texts), print)
    assert near.rows.tolist() == [1]


LEAKY = [(f"{a} {b} and something else of {a}", "a" if n % 2 else "b")
         for n, (a, b) in enumerate((a, b) for a in ("Ulm", "Wien", "Paris", "Bern", "Rom")
                                    for b in ("river", "castle", "market", "bridge"))]  # fmt: skip


def leaky(folder: Path, rules: dict[str, str]) -> Found:
    rows = [(*row, "train") for row in LEAKY]
    rows += [(f"{text} today", label, "validation") for text, label in LEAKY[:4]]
    rows += [(*row, "test") for row in LEAKY[4:8]]
    rows += [("an own text of the test split", "a", "test")]
    path = written(folder, rows, "text,label,split")
    return prepared(path, {"split": {"column": "split"}}, {"duplicates": "keep", **rules})


def test_leaks_are_told_with_both_rows(tmp_path: Path) -> None:
    found = leaky(tmp_path, {})
    assert {name: table.num_rows for name, table in found.tables.items()} == {
        "train": 20, "validation": 4, "test": 5,
    }  # fmt: skip
    told = {
        rule: [(row["row"], row["other"]) for row in found.rows.to_pylist() if row["rule"] == rule]
        for rule in found.rows["rule"].unique().to_pylist()
    }
    assert told["text of test also in an earlier split"] == [(25, 5), (26, 6), (27, 7), (28, 8)]
    near = told["text of validation nearly in an earlier split"]
    assert near == [(21, 1), (22, 2), (23, 3), (24, 4)]
    assert [one.count for one in found.findings if "earlier" in one.rule] == [4, 4]
    assert len(found.history) == 1


def test_leaks_go_from_the_earlier_split(tmp_path: Path) -> None:
    found = leaky(tmp_path, {"leakage": "drop"})
    assert {name: table.num_rows for name, table in found.tables.items()} == {
        "train": 12, "validation": 4, "test": 5,
    }  # fmt: skip
    assert [(v.rule, v.changed, v.rows) for v in found.history] == [
        ("read", 0, 29), ("text of a later split", 4, 25), ("text nearly of a later split", 4, 21),
    ]  # fmt: skip
    digests = [version.digest for version in found.history]
    assert [version.parent for version in found.history] == [None, *digests[:-1]]
    assert len(set(digests)) == 3


def test_near_duplicates_are_kept_or_go(tmp_path: Path) -> None:
    rows = [*GOOD, *((f"{text} today", label) for text, label in LEAKY), *LEAKY]
    for rule, left in (("report", 80), ("drop", None), ("ignore", 80)):
        found = prepared(written(tmp_path, rows), rules={"near_duplicates": rule})
        total = sum(table.num_rows for table in found.tables.values())
        dropped = sum(f.count for f in found.findings if f.rule == "near duplicate")
        assert total == (left or 80 - dropped)
        assert (dropped > 0) is (rule != "ignore")


def test_rows_unlike_the_others(tmp_path: Path, banking: list[str]) -> None:
    odd = [
        ("Ich habe meine Karte verloren und brauche dringend eine neue", "card"),
        ("Где моя карта, я жду уже две недели", "card"),
        ("why " * 400, "card"),
        ("what is this good for", "rare"), ("what is that good for then", "rare"),
        ("what may this be good for", "rare"), ("what can it be good for", "rare"),
    ]  # fmt: skip
    rows = [(text.replace('"', ""), "card") for text in banking[:900]]
    rows += [(text.replace('"', ""), "other") for text in banking[900:1800]]
    found = prepared(written(tmp_path, [*odd, *rows]), rules={"near_duplicates": "ignore"})
    told = {finding.rule: finding for finding in found.findings}
    assert told["language unlike the others"].rows == (1, 2)
    assert told["language unlike the others"].detail == "de 1, ru 1; the others: en"
    assert told["script unlike the others"].rows == (2,)
    assert 3 in told["length unlike the others"].rows
    assert told["rare label"].rows == (4, 5, 6, 7)
    assert "1 of 3 labels" in told["rare label"].detail


def test_no_leak_is_left_and_no_row_goes_twice(tmp_path: Path) -> None:
    """Sixteen training texts like one of the test split, and two like each other."""
    words_ = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]
    near = [(" ".join([*words_[:n], words_[n] + "x", *words_[n + 1 :]]), "a", "train")
            for n in range(8)]  # fmt: skip
    near += [(" ".join([*words_[:n], *words_[n + 1 :]]), "a", "train") for n in range(8)]
    rows = [*near, *((*row, "train") for row in LEAKY)]
    rows += [(f"{text} today", label, "validation") for text, label in LEAKY[:2]]
    rows += [(" ".join(words_), "a", "test"), ("own text of the test", "b", "test")]
    path = written(tmp_path, rows, "text,label,split")
    rules = {"leakage": "drop", "near_duplicates": "drop"}
    found = prepared(path, {"split": {"column": "split"}}, rules)
    left = found.tables["train"]["text"].to_pylist()
    assert not [text for text in left if "charlie" in text or "bravo" in text]
    total = sum(table.num_rows for table in found.tables.values())
    assert found.history[-1].rows == total
    dropped = [row["row"] for row in found.rows.to_pylist() if row["action"] == "dropped"]
    assert len(dropped) == len(set(dropped)) == len(rows) - total


def test_no_leak_is_left_of_very_many(tmp_path: Path) -> None:
    """Of texts that differ in case only, a round finds the few that are sorted next to the leak."""
    words_ = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf"]
    cases = [[word.upper() if n >> bit & 1 else word for bit, word in enumerate(words_)]
             for n in range(100)]  # fmt: skip
    rows = [(" ".join(case), "a", "train") for case in cases]
    rows += [(*row, "train") for row in LEAKY]
    rows += [("own text of the validation", "a", "validation"), ("another", "b", "validation")]
    rows += [(" ".join(words_).title(), "a", "test"), ("own text of the test", "b", "test")]
    path = written(tmp_path, rows, "text,label,split")
    found = prepared(path, {"split": {"column": "split"}}, {"leakage": "drop"})
    assert found.tables["train"]["text"].to_pylist() == [text for text, _ in LEAKY]
    rounds = [one.count for one in found.findings if one.rule == "text nearly of a later split"]
    assert sum(rounds) == len(cases)
    assert len(rounds) > 20


@pytest.mark.parametrize("name", ["label set", "split group", "split name", "_annotator"])
def test_a_column_may_be_called_like_one_of_ours(tmp_path: Path, name: str) -> None:
    rows = [(*row, f"value {n % 2}") for n, row in enumerate(GOOD)]
    found = prepared(written(tmp_path, rows, f"text,label,{name}"))
    assert {k: t.num_rows for k, t in found.tables.items()} == {
        "train": 28, "validation": 4, "test": 8,
    }  # fmt: skip
    assert f"{name}_" in found.tables["train"].column_names
