"""Readers: flat memory, one schema, and files that lie, break or vanish."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bessemer.core.errors import BessemerError, DataError, TooLargeError
from bessemer.core.project import Data
from bessemer.prepare import text
from bessemer.prepare.sources.base import BATCH_ROWS, SOURCES, source_for
from bessemer.service.initialise import init

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256))


def batches(path: Path, **data: object) -> list[pa.RecordBatch]:
    settings = Data.model_validate({"source": path.name, **data})
    return list(source_for(path)[1]().read(path, settings))


def rows(path: Path, **data: object) -> list[dict]:
    return pa.Table.from_batches(batches(path, **data)).to_pylist()


MANY = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(2 * BATCH_ROWS + 5)]


def written(path: Path, values: list[dict] = MANY) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(values), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, values)), encoding="utf-8")
    else:
        lines = [",".join(f'"{cell}"' for cell in value.values()) for value in values]
        path.write_text("\n".join([",".join(values[0]), *lines]), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_batches_are_bounded_and_hold_every_row(tmp_path: Path, name: str) -> None:
    found = batches(written(tmp_path / name))
    assert [batch.num_rows for batch in found] == [BATCH_ROWS, BATCH_ROWS, 5]
    assert pa.Table.from_batches(found).to_pylist() == MANY
    long = [{"text": f"{n}" * 450_000, "label": "a"} for n in range(10, 22)]
    if name != "t.parquet":  # of which at least 50 rows are read at once
        assert [b.num_rows for b in batches(written(tmp_path / name, long))] == [5, 5, 2]


def test_a_key_of_the_last_line_is_a_column_of_all(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", [*MANY, {"text": "z", "late": 1, "label": None}])
    found = batches(path)
    assert {tuple(batch.schema.names) for batch in found} == {("text", "label", "late")}
    assert found[0]["late"].null_count == BATCH_ROWS
    assert found[-1].to_pylist()[-1] == {"text": "z", "label": None, "late": "1"}


def test_memory_is_flat(tmp_path: Path) -> None:
    """Files of 150 MB are read in less than half of that on top of what small ones take."""
    texts = [f"{n:05d}" * 3000 for n in range(100)]
    code = """
import sys
from pathlib import Path
from bessemer.core.project import Data
from bessemer.prepare.sources.base import source_for
def peak():  # not ru_maxrss, which begins with that of the process before exec
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
def read(path): return sum(b.num_rows for b in source_for(path)[1]().read(path, Data(source="x")))
for path in map(Path, sys.argv[1:]):
    read(path.with_name(f"small{path.suffix}"))
    before = peak()
    assert read(path) == 10_000
    assert peak() - before < 75, f"{path.name}: {peak() - before} MB more"
"""
    some = [{"text": text, "label": "a"} for text in texts]
    paths = []
    for suffix in (".csv", ".jsonl"):
        small = written(tmp_path / f"small{suffix}", some)
        header, _, body = small.read_text().rstrip().partition("\n" if suffix == ".csv" else "{")
        paths.append(tmp_path / f"large{suffix}")
        with paths[-1].open("w") as file:
            file.write(f"{header}\n")
            file.writelines(["{" * (suffix == ".jsonl") + body + "\n"] * 100)
    paths.append(tmp_path / "large.parquet")
    table = pa.Table.from_pylist(some)
    written(tmp_path / "small.parquet", some)
    with pq.ParquetWriter(paths[-1], table.schema, compression="none", use_dictionary=False) as out:
        out.write_table(pa.concat_tables([table] * 100), row_group_size=10_000)
    assert {path.stat().st_size // 1_000_000 for path in paths} == {150}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    [f"x{s}" for n in SOURCES.names() for s in SOURCES.load(n).suffixes if s != "/"]
    + ["x.csv.gz", "x.jsonl.zst"],
)
def test_a_picture_is_no_table(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PNG)
    with pytest.raises(DataError, match=name) as caught:
        batches(tmp_path / name)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_broken_bytes_are_named_by_their_line(tmp_path: Path, name: str) -> None:
    """Also behind the first block that is read."""
    content = written(tmp_path / name, [*MANY * 4]).read_bytes()
    assert len(content) > 1_000_000
    parts = content.split(b"\n")
    for line, what, said in ((60_000, b"\xff", "0xff"), (50_001, b"\0", "NUL")):
        broken = [*parts[: line - 1], parts[line - 1].replace(b"text", what), *parts[line:]]
        (tmp_path / name).write_bytes(b"\n".join(broken))
        with pytest.raises(DataError, match=f"line {line}: .*{said}"):
            batches(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize("how", ["removed", "rewritten"])
def test_a_file_that_goes_while_it_is_read(tmp_path: Path, name: str, how: str) -> None:
    path = written(tmp_path / name, MANY * 3)
    found = source_for(path)[1]().read(path, Data(source=name))
    next(found)
    path.unlink() if how == "removed" else written(path, MANY)
    with pytest.raises(DataError, match=name):
        list(found)


def test_lines_end_as_elsewhere(tmp_path: Path) -> None:
    """Of Windows, of old Macs, in a quoted cell, and between two blocks."""
    path = tmp_path / "t.csv"
    for end in ("\n", "\r\n", "\r"):
        lines = ["text,label", f'"one{end}two",a', *(f"{'x' * 999},b" for _ in range(2500))]
        path.write_bytes(end.join(lines).encode())
        found = rows(path)
        assert found[0] == {"text": f"one{end}two", "label": "a"}
        assert found[1:] == [{"text": "x" * 999, "label": "b"}] * 2500


def test_a_line_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n' + "x" * (text.MOST_LINE + 2_000_000))
    with pytest.raises(DataError, match=r"line 2: it has more than"):
        batches(path)


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet")
    content = bytearray(path.read_bytes())
    content[100:4000] = bytes(3900)
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        batches(path)


def test_parquet_columns_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table(
        {
            "text": pa.array(["a", "b"]).dictionary_encode(),
            "label": [[1, 2], None],
            "raw": [b"\xff", b"x"],
            "words": [b"ab", b"x"],
            "when": pa.array([[0], [1]], pa.list_(pa.timestamp("s"))),
            "yes": [True, None],
        }
    )
    pq.write_table(table, path)
    assert rows(path) == [
        {"text": "a", "label": "[1, 2]", "words": "ab", "yes": "true"},
        {"text": "b", "label": None, "words": "x", "yes": None},
    ]
    pq.write_table(table.slice(0, 0).select(["text"]), path)
    assert [batch.schema.names for batch in batches(path)] == [["text"]]
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0])), pa.py_buffer(b"\xff")]
    )
    pq.write_table(pa.table({"text": bad}), path)
    with pytest.raises(DataError, match="no UTF-8"):
        batches(path)


def test_compressed_text(tmp_path: Path) -> None:
    plain = written(tmp_path / "t.jsonl").read_bytes()
    packed = tmp_path / "t.jsonl.gz"
    packed.write_bytes(gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]))
    assert rows(packed) == MANY
    (tmp_path / "t.jsonl.zst").write_bytes(pa.compress(plain, "zstd", asbytes=True))
    assert rows(tmp_path / "t.jsonl.zst") == MANY
    packed.write_bytes(gzip.compress(plain)[:-100])
    with pytest.raises(DataError, match="no whole gzip file"):
        batches(packed)


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.jsonl.zst", "bomb.parquet"])
def test_a_zip_bomb_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What inflates without end is given up, and never lies in memory."""
    monkeypatch.setattr(text, "FREE_BYTES", 10_000_000)
    line = b'{"text": "' + b"x" * 990_000 + b'"}\n'
    if name == "bomb.parquet":
        pq.write_table(pa.table({"text": [line.decode()] * 40}), tmp_path / name)
    else:
        kind = {"gz": "gzip", "zst": "zstd"}[name.rpartition(".")[2]]
        (tmp_path / name).write_bytes(pa.compress(line * 14, kind, asbytes=True))
    assert (tmp_path / name).stat().st_size < 50_000
    with pytest.raises(TooLargeError, match="inflates to more than 10,000,000"):
        batches(tmp_path / name, delimiter=";")


def test_a_folder_of_texts(tmp_path: Path) -> None:
    for label, name in (("refund", "b.txt"), ("refund", "a.md"), ("other/deep", "c.txt")):
        (tmp_path / "t" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / label / name).write_text(f"text of {name}")
    for name in ("README.md", ".hidden", "_SUCCESS"):
        (tmp_path / "t" / name).write_text("about")
    assert rows(tmp_path / "t") == [
        {"text": "text of c.txt", "label": "other/deep", "file": "other/deep/c.txt"},
        {"text": "text of a.md", "label": "refund", "file": "refund/a.md"},
        {"text": "text of b.txt", "label": "refund", "file": "refund/b.txt"},
    ]
    (tmp_path / "t" / "refund" / "d.txt").write_bytes(b"x" * 1_000_001)
    with pytest.raises(DataError, match=r"d\.txt has 1,000,001 bytes"):
        batches(tmp_path / "t")
    (tmp_path / "t" / "refund" / "d.txt").rename(tmp_path / "t" / "refund" / "d.xlsx")
    with pytest.raises(DataError, match=r"d\.xlsx is neither"):
        batches(tmp_path / "t")


def test_a_folder_of_links(tmp_path: Path) -> None:
    """Folders that are links are followed, once; a link to nothing is named, a pipe not opened."""
    (tmp_path / "t" / "refund").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.txt").write_text("one")
    (tmp_path / "t" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "t")
    assert [row["file"] for row in rows(tmp_path / "t")] == ["other/1.txt"]
    for make in (lambda path: path.symlink_to("nothing"), os.mkfifo):
        make(tmp_path / "elsewhere" / "2.txt")
        with pytest.raises(DataError, match=r"2\.txt is no file"):
            batches(tmp_path / "t")
        (tmp_path / "elsewhere" / "2.txt").unlink()


def test_a_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "tom 1.PNG").write_bytes(PNG)
    assert rows(tmp_path, columns={"label": "kind"}) == [
        {"text": "tom 1", "kind": "cats", "image": "cats/tom 1.PNG"}
    ]
    (tmp_path / "cats" / "lie.jpg").write_bytes(PNG)
    with pytest.raises(DataError, match=r"lie\.jpg is no jpg image"):
        batches(tmp_path)
    (tmp_path / "cats" / "lie.jpg").unlink()
    (tmp_path / "cats" / "t.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"different kinds of files: cats/t\.csv and cats/tom"):
        batches(tmp_path)


def test_a_folder_of_parts(tmp_path: Path) -> None:
    (tmp_path / "t" / "x").mkdir(parents=True)
    written(tmp_path / "t" / "part-1.parquet", MANY[10:20])
    written(tmp_path / "t" / "part-0.csv", MANY[:10])
    swapped = [{"label": row["label"], "text": row["text"]} for row in MANY[20:30]]
    written(tmp_path / "t" / "x" / "part-2.jsonl", swapped)
    assert rows(tmp_path / "t") == MANY[:30]
    written(tmp_path / "t" / "x" / "part-3.parquet", [{"text": "a", "intent": "b"}])
    with pytest.raises(DataError, match=r"part-3\.parquet has other columns .*'intent', 'label'"):
        batches(tmp_path / "t")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no files"):
        batches(tmp_path / "none")


def task(number: int, text: str, *annotations: dict) -> dict:
    """Return a task as Label Studio exports it."""
    return {
        "id": number,
        "data": {"text": text, "channel": "mail"},
        "annotations": list(annotations),
        "predictions": [{"result": [chosen("intent", "wrong")], "score": 0.9}],
    }


def chosen(question: str, *choices: str) -> dict:
    value = {"choices": list(choices)}
    return {"from_name": question, "to_name": "text", "type": "choices", "value": value}


def marked(start: int, end: int, shown: str, label: str) -> dict:
    value = {"start": start, "end": end, "text": shown, "labels": [label]}
    return {"from_name": "ner", "to_name": "text", "type": "labels", "value": value}


def given(who: object, *results: dict, **more: object) -> dict:
    return {"completed_by": who, "result": list(results), **more}


def test_label_studio_choices(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    ann = {"id": 7, "email": "ann@example.com"}
    skipped = given(4, chosen("intent", "a"), was_cancelled=True)
    tasks = [
        task(
            11, "one", given(ann, chosen("intent", "a")), given(2, chosen("intent", "b")), skipped
        ),
        task(12, "two"),
        task(13, "three", given(2)),
    ]
    path.write_text(json.dumps(tasks, indent=1), encoding="utf-8")
    assert [tuple(row.values()) for row in rows(path)] == [
        ("one", "mail", "11", "ann@example.com", "a"),
        ("one", "mail", "11", "2", "b"),
        ("three", "mail", "13", "2", None),
    ]
    tasks.append(task(14, "four", given(2, chosen("intent", "a", "b"), chosen("mood", "angry"))))
    path.write_text(json.dumps(tasks), encoding="utf-8")
    with pytest.raises(DataError, match="several questions: intent, mood"):
        batches(path)
    with pytest.raises(DataError, match=r"task 14.*labels\.separator"):
        batches(path, columns={"label": "intent"})
    found = rows(path, columns={"label": "intent"}, labels={"separator": "|"})
    assert found[-1]["intent"] == "a|b"
    assert rows(path, columns={"label": "mood"})[-1]["mood"] == "angry"


def test_a_project_file_for_what_people_labelled(tmp_path: Path) -> None:
    tasks = [
        task(
            n, f"text {n}", *(given(w, chosen("mood", "x"), chosen("intent", "a")) for w in (1, 2))
        )
        for n in range(3)
    ]
    (tmp_path / "votes.json").write_text(json.dumps(tasks), encoding="utf-8")
    content = init(tmp_path / "votes.json", name="", text="", label="intent").read_text()
    assert "columns: {text: text, label: intent, id: id, annotator: annotator}" in content
    (tmp_path / "tickets" / "refund").mkdir(parents=True)
    (tmp_path / "tickets" / "refund" / "1.txt").write_text("give it back")
    (tmp_path / "bessemer.yaml").unlink()
    content = init(tmp_path / "tickets", name="", text="", label="").read_text()
    assert "source: tickets\n  columns: {text: text, label: label}" in content


def test_label_studio_spans(tmp_path: Path) -> None:
    """Positions are counted as browsers count, and held against the text that was marked."""
    path = tmp_path / "t.json"
    tasks = [
        task(1, "💩 Ada in Rome", given(1, marked(3, 6, "Ada", "person"))),
        task(2, "Ada", given(1, marked(0, 3, "Ada", "person"))),
        task(3, "none", given(1)),
        task(4, "💩\r\nAda\r\nB", given(1, marked(3, 8, "Ada\nB", "person"))),
        task(5, "💩\r\nAda", given(1, marked(2, 5, "Ada", "person"))),
        task(6, "💩 Ada", given(1, marked(3, 6, "", "person"))),
    ]
    del tasks[5]["annotations"][0]["result"][0]["value"]["text"]
    path.write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    found = [json.loads(row["label"]) for row in rows(path)]
    assert found == [
        [{"start": 2, "end": 5, "label": "person"}],
        [{"start": 0, "end": 3, "label": "person"}],
        [],
        [{"start": 3, "end": 9, "label": "person"}],
        [{"start": 3, "end": 6, "label": "person"}],
        [{"start": 2, "end": 5, "label": "person"}],
    ]
    with pytest.raises(DataError, match="no field 'body'; it has text, channel"):
        batches(path, columns={"text": "body"})
    tasks[1] = task(2, "Bob", given(1, marked(0, 3, "Ada", "person")))
    path.write_text(json.dumps(tasks), encoding="utf-8")
    with pytest.raises(DataError, match=r"task 2: .*is 'Bob', not 'Ada'"):
        batches(path)


def test_label_studio_in_one_long_line(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    tasks = [task(n, "x" * 9_000, given(1, chosen("intent", "a"))) for n in range(500)]
    content = json.dumps(tasks)
    path.write_text(content, encoding="utf-8")
    assert [row["id"] for row in rows(path)] == [str(n) for n in range(500)]
    path.write_text(content[:-3_000], encoding="utf-8")
    with pytest.raises(DataError, match="value 500 is no whole JSON"):
        batches(path)


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a"}',
        '[{"text": "a", "label": "b"}]',
        "[1, 2]",
        "",
        '["text"',
        "[" * 99_999,
        "[] []",
    ],
)
def test_other_json_is_explained(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(BessemerError, match=r"t\.json") as caught:
        batches(tmp_path / "t.json")
    assert "Export" in caught.value.remedy or ".jsonl" in caught.value.remedy
