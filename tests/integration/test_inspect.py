"""`inspect` through every door: on real rows, with a real base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import INTENTS, small_rows, write_csv, write_project
from tests.server import Server

import bessemer
from bessemer.cli.main import run
from bessemer.core.errors import ProjectError
from bessemer.service.platform import Platform

#: Rows of the table, from 1, that are given another label.
WRONG = (3, 20, 41, 66, 95, 118)


def test_wrong_labels_are_named_by_every_door(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = write_project(tmp_path / "doubtful")
    rows = small_rows()
    for row in WRONG:
        text, label = rows[row - 1]
        rows[row - 1] = (text, INTENTS[(INTENTS.index(label) + 1) % len(INTENTS)])
    write_csv(place / "table.csv", rows, ("text", "label"))
    found = server.platform.inspect(place)
    first = {one.row: one.suggested for one in found.suspects[: len(rows) // 10]}
    assert sum(first.get(row) == small_rows()[row - 1][1] for row in WRONG) >= len(WRONG) - 1
    assert len(set(WRONG) & set(found.finding.rows)) >= len(WRONG) - 2
    assert found.judged == len(rows)
    assert bessemer.connect(server.url, server.owner).inspect(place) == found
    assert run(["inspect", str(place), "--home", str(server.platform.home.root), "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out) == found.model_dump(mode="json")
    assert "reused" in out.err.splitlines()[-1]
    assert run(["inspect", str(place), "--home", str(server.platform.home.root)]) == 0
    assert "label probably wrong: " in capsys.readouterr().out


def test_only_labels_of_whole_texts_are_judged(tmp_path: Path, platform: Platform) -> None:
    row = {"text": "ship it to Leipzig", "label": [[11, 18, "place"]]}
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for _ in range(9)))
    (tmp_path / "bessemer.yaml").write_text(
        "name: spans\ntask: token-classification\ndata: {source: t.jsonl}\n"
    )
    with pytest.raises(ProjectError, match=r"line 2: task: label errors are looked for in"):
        platform.inspect(tmp_path)
