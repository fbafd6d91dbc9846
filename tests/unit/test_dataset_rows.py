"""Data sets compared, counted, written in other programs' forms, and described."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bessemer.core.dataset import Dataset, Finding, Version
from bessemer.core.datasets import NamedDataset
from bessemer.core.project import Labels
from bessemer.prepare import card
from bessemer.prepare.differences import Rows, difference
from bessemer.prepare.exports import WRITERS
from bessemer.prepare.forms.csv import escaped
from bessemer.prepare.profile import profile
from bessemer.tasks.base import Span
from bessemer.tasks.text_classification import TextClassification
from bessemer.tasks.token_classification import TokenClassification

TASK = TextClassification(Labels())
FORMULAS = ["=1+1", "'=1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]


def named(tables: dict[str, pa.Table], *, identified: bool = True, number: int = 1) -> NamedDataset:
    batches = {split: table.to_batches() for split, table in tables.items()}
    made = profile(batches, TASK)
    return NamedDataset(
        id=f"small.{number}",
        project="small",
        number=number,
        created_at=datetime(2026, 11, 26, tzinfo=UTC),
        task="text-classification",
        label_rules=Labels(),
        identified=identified,
        dataset=Dataset(
            digest=str(number) * 64,
            source="table|.csv",
            source_digests={"source": "a" * 64},
            columns=tuple(next(iter(tables.values())).column_names),
            labels=tuple(sorted({label for one in made.labels.values() for label in one})),
            counts={split: table.num_rows for split, table in tables.items()},
            licence="CC-BY-4.0",
            findings=(Finding(rule="odd <b>", action="kept", count=12, rows=(1, 2)),),
            history=(
                Version(
                    digest="c" * 64, parent=None, rule="read", action="read", changed=0, rows=9
                ),
            ),
        ),
        profile=made,
    )


def table(*rows: tuple[str | None, str, str]) -> pa.Table:
    ids, texts, labels = zip(*rows, strict=True) if rows else ((), (), ())
    kind = pa.string()
    return pa.table({"id": pa.array(ids, kind), "text": texts, "label": pa.array(labels, kind)})


def compared(before: dict, after: dict, *, identified: bool = True):
    sides = []
    for number, tables in ((1, before), (2, after)):
        first = next(iter(tables.values()))
        one = named(tables, identified=identified, number=number)
        sides.append(Rows(one, lambda s, t=tables: t[s].to_batches(3), first.schema))
    return difference(*sides)


def test_rows_are_compared_by_id() -> None:
    before = {
        "train": table(("1", "one", "a"), ("2", "two", "a"), ("3", "three", "b")),
        "test": table(("4", "four", "b"), (None, "five", "b")),
    }
    after = {
        "train": table(("1", "one", "a"), ("2", "two", "b"), ("4", "four!", "b")),
        "test": table((None, "five", "b"), ("6", "six", "c")),
    }
    found = compared(before, after)
    assert found.by == "id"
    assert found.rows == (5, 5)
    assert found.counts == {
        "added": 1, "removed": 1, "relabelled": 1, "reworded": 1, "moved": 1,
    }  # fmt: skip
    told = {change.kind: change for change in found.changes}
    assert told["added"].key == "6"
    assert told["removed"].label == ("b", None)
    assert told["relabelled"].label == ("a", "b")
    assert told["reworded"].text == ("four", "four!")
    assert told["moved"].split == ("test", "train")
    assert found.labels == {"a": (2, 1), "c": (0, 1)}
    assert found.columns == {}


def test_rows_are_compared_by_text_and_each_only_once() -> None:
    many = [(str(n), "same", "a") for n in range(3000)]
    before = {"train": table(*many, ("x", "other", "a"))}
    after = {"train": table(*many[:-1], ("x", "another", "a")), "test": table()}
    found = compared(before, after, identified=False)
    assert found.by == "text"
    assert found.counts == {
        "added": 1, "removed": 2, "relabelled": 0, "reworded": 0, "moved": 0,
    }  # fmt: skip
    assert {change.key for change in found.changes} == {"another", "other", "same"}
    assert not any(compared(before, before).counts.values())


def test_of_many_rows_of_one_text_those_alike_belong_together() -> None:
    before = {"train": table(("1", "same", "a"), ("2", "same", "b"), ("3", "same", "c"))}
    after = {"train": table(("1", "same", "c")), "test": table(("2", "same", "a"))}
    found = compared(before, after, identified=False)
    assert found.counts == {
        "added": 0, "removed": 1, "relabelled": 0, "reworded": 0, "moved": 1,
    }  # fmt: skip
    told = {change.kind: change.label for change in found.changes}
    assert told == {"removed": ("b", None), "moved": ("a", "a")}


def test_columns_that_differ_are_told() -> None:
    one = table(("1", "one", "a"))
    other = one.append_column("x", pa.array([1])).set_column(0, "id", pa.array([1]))
    found = compared({"train": one}, {"train": other})
    assert found.columns == {"id": ("string", "int64"), "x": (None, "int64")}
    assert not any(found.counts.values())


def test_labels_and_lengths_are_counted() -> None:
    spans = [{"start": 0, "end": 2, "label": "who"}, {"start": 3, "end": 5, "label": "who"}]
    rows = pa.table({"text": ["ab cd", "x" * 1000], "label": [json.dumps(spans), "[]"]})
    found = profile({"train": rows.to_batches()}, TokenClassification(Labels()))
    assert found.labels == {"train": {"who": 1}}
    assert sum(found.lengths["train"]) == 2
    several = TextClassification(Labels(separator=";"))
    rows = pa.table({"text": ["a", "b"], "label": ["x;y", "y"]})
    assert profile({"train": rows.to_batches()}, several).labels["train"] == {"y": 2, "x": 1}
    long = pa.table({"text": ["x" * n for n in range(1, 201)] + ["x" * 9999], "label": ["a"] * 201})
    found = profile({"test": long.to_batches(max_chunksize=7)}, TASK)
    assert found.edges[:2] == (0, 10)
    assert found.edges[-1] in range(190, 221)
    assert sum(found.lengths["test"]) == 201
    assert found.lengths["test"][1] == 10
    assert profile({"test": table().to_batches()}, TASK).edges == (0,)


ROWS = pa.table(
    {
        "split": ["train"] * (len(FORMULAS) + 1) + ["test"],
        "row": list(range(len(FORMULAS) + 2)),
        "text": [*FORMULAS, 'a "quoted", line\nand more', "日本語"],
        "label": ["a"] * (len(FORMULAS) + 2),
        "=price": [-1.5, None] * (len(FORMULAS) // 2 + 1),
        "tags": [["=x"], None] * (len(FORMULAS) // 2 + 1),
    }
)


def written(form: str, rows: pa.Table = ROWS, task=TASK) -> bytes:
    file = io.BytesIO()
    file.close = lambda: None  # type: ignore[method-assign]
    WRITERS[form].write(rows.to_batches(max_chunksize=3), rows.schema, task, file)
    return file.getvalue()


def test_no_cell_is_a_formula() -> None:
    found = list(csv.DictReader(io.StringIO(written("csv").decode(), newline="")))
    texts = [row["text"] for row in found]
    assert texts[: len(FORMULAS)] == [f"'{text}" for text in FORMULAS]
    assert texts[len(FORMULAS) :] == ROWS["text"].to_pylist()[len(FORMULAS) :]
    assert found[0]["'=price"] == "-1.5"
    assert json.loads(found[0]["tags"]) == ["=x"]
    assert [escaped(text) for text in FORMULAS] == texts[: len(FORMULAS)]
    assert escaped("a=b") == "a=b"
    nothing = written("csv", ROWS.slice(0, 0))
    assert nothing.decode().splitlines() == ['"split","row","text","label","\'=price","tags"']


def test_other_forms_keep_every_value() -> None:
    lines = written("jsonl").decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == ROWS.to_pylist()
    assert pq.read_table(io.BytesIO(written("parquet"))).equals(ROWS)


def test_spans_become_tags() -> None:
    text = "(Ada) flew to 北京."
    spans = frozenset({Span(1, 4, "person"), Span(14, 16, "place")})
    task = TokenClassification(Labels())
    rows = pa.table({"text": [text, "no name"], "label": [task.write(spans), "[]"]})
    first, second, _ = written("conll", rows, task).decode().split("\n\n")
    assert first.split("\n")[:3] == ["( O", "Ada B-person", ") O"]
    assert first.split("\n")[-3:] == ["北 B-place", "京 I-place", ". O"]
    assert second == "no O\nname O"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_croissant_is_read_by_others(tmp_path: Path, form: str) -> None:
    import mlcroissant

    rows = ROWS.drop_columns(["=price"]).append_column("price", ROWS["=price"])
    told = named({"train": rows.slice(0, 9), "test": rows.slice(9)})
    content = written(form, rows)
    name = f"rows.{WRITERS[form].suffix}"
    (tmp_path / name).write_bytes(content)
    file = card.File(name, len(content), hashlib.sha256(content).hexdigest())
    made = card.croissant(told, WRITERS[form], [file], rows.schema)
    place = tmp_path / "croissant.json"
    place.write_text(json.dumps(made))
    read = mlcroissant.Dataset(place)
    assert read.metadata.ctx.issues.errors == set()
    assert read.metadata.ctx.issues.warnings == set()
    found = list(read.records("rows"))
    assert [row["rows/row"] for row in found] == rows["row"].to_pylist()
    assert found[-1]["rows/text"].decode() == "日本語"
    assert found[-1]["rows/split"] == b"test"
    assert found[0]["rows/price"] == -1.5
    assert {row["splits/name"] for row in read.records("splits")} == {"train", "test"}


def test_the_card_tells_what_it_is_and_what_is_wrong() -> None:
    rows = table(("1", "one", "a|b"), ("2", "two", "<i>"))
    told = card.markdown(named({"train": rows, "test": rows.slice(0, 1)}), [])
    for words in ("`table|.csv`, licence CC-BY-4.0", "| a\\|b | 1 | 1 |",
                  "odd \\<b\\>: 12 rows kept", "2 of 2 labels have fewer than ten rows",
                  "1 labels have no row in test", "| `cccccccccccc` | read"):  # fmt: skip
        assert words in told, words
    assert "<b>" not in told
    assert "<i>" not in told


def test_the_card_tells_whose_the_labels_are() -> None:
    made = named({"train": table(("1", "one", "a"))})
    assert "source gives them; nobody here has judged them" in card.markdown(made, [])
    digests = {**made.dataset.source_digests, "labels": "b" * 64}
    dataset = made.dataset.model_copy(update={"source_digests": digests})
    told = card.markdown(made.model_copy(update={"dataset": dataset}), [])
    assert "but where people labelled or corrected them; nobody here has judged the others" in told
