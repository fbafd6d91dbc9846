"""Checks and splits on tables that are wrong in one way each."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bessemer.core.dataset import SPLITS
from bessemer.core.errors import DataError
from bessemer.core.project import Data, Prepare
from bessemer.prepare.ledger import FINDINGS
from bessemer.prepare.runner import Inputs, Prepared, prepare
from bessemer.tasks.text_classification import TextClassification

GOOD = [(f"word{n} and more", "a" if n % 2 else "b") for n in range(40)]


def written(folder: Path, rows: list[tuple[str, ...]], header: str = "text,label") -> Path:
    path = folder / "table.csv"
    lines = [",".join(f'"{cell}"' for cell in row) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


class Found(Prepared):
    """What was prepared, and the splits as they were written."""

    tables: dict[str, pa.Table]
    rows: pa.Table


def prepared(
    path: Path, data: dict | None = None, rules: dict | None = None, **files: Path
) -> Found:
    settings = Data.model_validate({"source": path.name, **(data or {})})
    task = TextClassification(settings.labels)
    inputs = Inputs({"source": path, **files}, "0" * 64, 0)
    target = path.parent / "prepared"
    told = prepare(task, settings, Prepare.model_validate(rules or {}), inputs, target, print)
    found = Found(**vars(told))
    tables = {name: pq.read_table(target / f"{name}.parquet") for name in SPLITS}
    object.__setattr__(found, "tables", tables)
    object.__setattr__(found, "rows", pq.read_table(target / FINDINGS))
    return found


def test_stratified_shares(tmp_path: Path) -> None:
    found = prepared(written(tmp_path, GOOD))
    assert {name: table.num_rows for name, table in found.tables.items()} == {
        "train": 28, "validation": 4, "test": 8,
    }  # fmt: skip
    for table in found.tables.values():
        assert table["label"].to_pylist().count("a") == table.num_rows / 2
    rows = [row for table in found.tables.values() for row in table["row"].to_pylist()]
    assert sorted(rows) == list(range(1, 41))


def test_the_same_seed_gives_the_same_splits(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert prepared(path).tables["test"].equals(prepared(path).tables["test"])


def test_groups_stay_together(tmp_path: Path) -> None:
    rows = [(*row, f"customer {n // 4}") for n, row in enumerate(GOOD)]
    path = written(tmp_path, rows, "text,label,customer")
    found = prepared(path, {"split": {"group": "customer", "test": 0.3, "validation": 0.3}})
    groups = [set(table["customer"].to_pylist()) for table in found.tables.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 10


@pytest.mark.parametrize("columns", [{}, {"id": "customer"}, {"text": "id"}])
def test_a_group_may_be_any_column(tmp_path: Path, columns: dict[str, str]) -> None:
    """Also one that plays another role, or is called like one; a blank is a group of its own."""
    rows = [(*row, f"customer {n // 4}" if n < 36 else "") for n, row in enumerate(GOOD)]
    group = "id" if not columns else "customer"
    path = written(tmp_path, rows, f"{columns.get('text', 'text')},label,{group}")
    split = {"group": group, "test": 0.3, "validation": 0.3}
    found = prepared(path, {"split": split, "columns": columns})
    groups = [set(table["row"].to_pylist()) for table in found.tables.values()]
    for first in range(1, 36, 4):
        homes = [number for number, rows in enumerate(groups) if first in rows]
        for row in range(first, first + 4):
            assert [n for n, rows in enumerate(groups) if row in rows] == homes
    assert not [c for c in found.tables["train"].column_names if c.startswith("split ")]


def test_added_rows_leave_the_others_where_they_are(tmp_path: Path) -> None:
    rows = [(f"text number {n}", "ab"[n % 2]) for n in range(1000)]
    before = prepared(written(tmp_path, rows[:900])).tables
    after = prepared(written(tmp_path, rows)).tables
    learnt = set(before["train"]["text"].to_pylist())
    moved = learnt & set(after["test"]["text"].to_pylist())
    assert len(moved) <= 10


def test_a_split_column_without_training_rows(tmp_path: Path) -> None:
    rows = [(*row, "test" if n % 2 else "validation") for n, row in enumerate(GOOD)]
    path = written(tmp_path, rows, "text,label,split")
    with pytest.raises(DataError, match=r"train split has no rows"):
        prepared(path, {"split": {"column": "split"}})


def test_a_cell_may_hold_any_kind_of_line_break(tmp_path: Path) -> None:
    rows = [*GOOD, ("one\u2028two\x0bthree\x85four\nfive", "a")]
    texts = [
        t
        for table in prepared(written(tmp_path, rows)).tables.values()
        for t in table["text"].to_pylist()
    ]
    assert rows[-1][0] in texts


def test_a_split_column(tmp_path: Path) -> None:
    places = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10
    rows = [(*row, place) for row, place in zip(GOOD, places, strict=True)]
    path = written(tmp_path, rows, "text,label,split")
    found = prepared(path, {"split": {"column": "split"}})
    assert {k: t.num_rows for k, t in found.tables.items()} == {
        "train": 20, "validation": 10, "test": 10,
    }  # fmt: skip
    path = written(tmp_path, [(*row, "dev") for row in GOOD], "text,label,split")
    with pytest.raises(DataError, match=r"'dev'.*train, validation, test"):
        prepared(path, {"split": {"column": "split"}})


def test_jsonl_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    wanted = prepared(written(tmp_path, GOOD)).tables["test"]
    lines = [json.dumps({"text": text, "label": label}) for text, label in GOOD]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    texts, labels = zip(*GOOD, strict=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "t.parquet")
    for name in ("t.jsonl", "t.parquet"):
        assert prepared(tmp_path / name).tables["test"].equals(wanted), name


def test_duplicates_are_dropped_and_told(tmp_path: Path) -> None:
    rows = [*GOOD, GOOD[0], GOOD[1], (GOOD[2][0], "a")]
    found = prepared(written(tmp_path, rows))
    told = {f.rule: (f.action, f.count, f.rows) for f in found.findings}
    assert told["exact duplicate"] == ("dropped", 2, (41, 42))
    assert told["same text, other label"] == ("kept", 2, (3, 43))
    assert sum(t.num_rows for t in found.tables.values()) == 41


def test_empty_cells(tmp_path: Path) -> None:
    path = written(tmp_path, [*GOOD, ("  ", "a"), ("text", "")])
    with pytest.raises(DataError, match=r"41.*42.*|2 rows") as caught:
        prepared(path)
    assert "prepare.empty" in str(caught.value)
    found = prepared(path, rules={"empty": "drop"})
    assert sum(f.count for f in found.findings if f.action == "dropped") == 2


def test_labels_that_differ_in_case_or_blanks(tmp_path: Path) -> None:
    rows = [*GOOD, ("one", "A"), ("two", " a")]
    path = written(tmp_path, rows)
    with pytest.raises(DataError, match=r"'a' \(20 rows\).*differ in case or blanks"):
        prepared(path)
    found = prepared(path, rules={"labels": "join"})
    assert found.labels == ("a", "b")


REFUSED = {
    "one class": ([(t, "a") for t, _ in GOOD], "text,label", r"one label 'a'"),
    "one example": ([*GOOD, ("alone", "c")], "text,label", r"one example only: c"),
    "missing column": (GOOD, "texts,label", r"no column 'text'.*Did you mean 'texts'"),
    "column twice": (GOOD, "text,text", r"twice"),
    "ragged": ([*GOOD, ("a", "b", "c")], "text,label", r"line 42.*3 cells"),
    "no rows": ([], "text,label", r"no rows"),
    "huge cell": ([*GOOD, ("x" * 10_000_000, "a")], "text,label", r"line 42.*1,000,000"),
    "NUL": ([*GOOD, ("a\0b", "a")], "text,label", r"line 42.*NUL"),
    "few rows": (GOOD[:3], "text,label", r"one example only: a"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learnt_from_is_refused(tmp_path: Path, name: str) -> None:
    rows, header, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as caught:
        prepared(written(tmp_path, rows, header))
    assert caught.value.remedy


def test_wrong_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["text;label", *(f"{t};{n}" for t, n in GOOD)]))
    with pytest.raises(DataError, match=r"no column 'text'.*data\.delimiter"):
        prepared(path)
    assert prepared(path, {"delimiter": ";"}).labels == ("a", "b")


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = "\n".join(["text,label", *(f"退款 {t},{n}" for t, n in GOOD)])
    path.write_bytes(text.encode("gb18030"))
    with pytest.raises(DataError, match=r"line 2: byte 0x.*gb18030"):
        prepared(path)
    wanted = prepared(path, {"encoding": "gb18030"}).tables["test"]
    assert wanted["text"].to_pylist()[0].startswith("退款")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert prepared(path).tables["test"].equals(wanted)
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(DataError, match=r"utf-16|0xff"):
        prepared(path)
    assert prepared(path, {"encoding": "utf-16"}).tables["test"].equals(wanted)


@pytest.mark.parametrize(
    "line",
    ['{"text": "a"', "[1]", '{"text": ["a"], "label": "b"}', r'{"text": "\ud83d", "label": "b"}'],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": "b"}\n' + line)
    with pytest.raises(DataError, match="line 2"):
        prepared(path)


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_nul_is_refused_in_every_kind_of_table(tmp_path: Path, name: str) -> None:
    rows = [*GOOD, ("a\0b", "a")]
    if name == "t.jsonl":
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (tmp_path / name).write_text("\n".join(lines))
    else:
        texts, labels = zip(*rows, strict=True)
        pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / name)
    with pytest.raises(DataError, match=r"row 41.*'text' holds a NUL"):
        prepared(tmp_path / name)


def test_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"text,label")
    with pytest.raises(DataError, match="no Parquet"):
        prepared(tmp_path / "t.parquet")
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(DataError, match=r"'\.xlsx'.*\.csv"):
        prepared(tmp_path / "t.xlsx")


def test_several_annotators_make_one_row_a_text_in_one_split(tmp_path: Path) -> None:
    """Their rows are no duplicates of each other, and no text is in two splits."""
    rows = [(text, label, who) for text, label in GOOD for who in ("ann", "bob", "cy")]
    rows = [(t, "a" if w == "cy" and n % 6 == 2 else y, w) for n, (t, y, w) in enumerate(rows)]
    path = written(tmp_path, rows, "text,label,who")
    found = prepared(path, {"columns": {"annotator": "who"}})
    told = [(row["text"], row["label"]) for t in found.tables.values() for row in t.to_pylist()]
    assert sorted(told) == sorted(GOOD)
    assert [one.rule for one in found.findings] == ["annotators differ"]
    assert found.findings[0].detail.startswith("40 texts, 3 annotators")
    assert "cy 0." in found.findings[0].detail
    assert set(found.tables["train"].column_names) == {"row", "id", "text", "label"}
    with pytest.raises(DataError, match="no column 'whom'"):
        prepared(path, {"columns": {"annotator": "whom"}})


def test_what_people_said_replaces_labels_and_adds_rows(tmp_path: Path) -> None:
    """Also where the source has no labels at all, as before the first campaign."""
    said = [(GOOD[0][0], "a", "ann"), (GOOD[0][0], "a", "bob"), (GOOD[1][0], "a", "ann")]
    said += [("a text of the pool", "b", "ann"), ("a text of the pool", "b", "bob")]
    lines = [
        json.dumps({"text": text, "label": label, "annotator": who, "campaign": "c@1"})
        for text, label, who in said
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    found = prepared(written(tmp_path, GOOD), labels=tmp_path / "said.jsonl")
    rows = {row["text"]: row["label"] for t in found.tables.values() for row in t.to_pylist()}
    assert len(rows) == 41
    assert rows[GOOD[0][0]] == "a", "was b"
    assert "a text of the pool" in found.tables["train"]["text"].to_pylist()
    told = {finding.rule: finding for finding in found.findings}
    assert (told["labelled by people"].action, told["labelled by people"].rows) == (
        "relabelled", (1,),
    )  # fmt: skip
    lines = [
        json.dumps({"text": t, "label": y, "annotator": "ann", "campaign": "c@1"}) for t, y in GOOD
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    bare = written(tmp_path, [*((text, "") for text, _ in GOOD), ("nobody labelled me", "")])
    found = prepared(bare, rules={"empty": "drop"}, labels=tmp_path / "said.jsonl")
    assert sum(table.num_rows for table in found.tables.values()) == 40
    assert [(v.rule, v.changed) for v in found.history[1:]] == [
        ("labelled by people", 40), ("empty label", 1), ("said of a source's text", 40),
    ]  # fmt: skip
    assert found.history[-1].rows == 40


def test_labels_that_only_people_gave(tmp_path: Path) -> None:
    """One of a retired label must not stop a project; two of a new one are a new label."""
    said = [("pool text one", "old"), ("pool text two", "new"), ("pool text three", "new"),
            ("pool text four", " B")]  # fmt: skip
    lines = [
        json.dumps({"text": text, "label": label, "annotator": "ann", "campaign": "c@1"})
        for text, label in said
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    found = prepared(written(tmp_path, GOOD), labels=tmp_path / "said.jsonl")
    assert found.labels == ("a", "b", "new")
    told = {finding.rule: finding for finding in found.findings}
    assert (told["label of one answer"].action, told["label of one answer"].detail) == (
        "dropped", "old",
    )  # fmt: skip
    assert told["label that only people gave"].count == 2
    rows = {row["text"]: row["label"] for t in found.tables.values() for row in t.to_pylist()}
    assert rows["pool text four"] == "b"
    assert found.history[-1].rows == len(rows) == 43
