"""What a new user types: the demo, and README's commands on a table of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, small_rows, write_csv

BIN = Path(sys.executable).parent
EXECUTED = re.compile(r"<!-- executed.*?-->\n```sh\n(.*?)```", re.DOTALL)


def test_the_demo(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "examples/demo.py", "--home", str(tmp_path / "home")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for said in ("Gate passed", "files are what the key", "owner's key, once: bsm_", "curl http"):
        assert said in done.stdout
    assert len(re.findall(r"→ \w+ \(0\.\d\d\)", done.stdout)) == 3
    assert "done in" in done.stdout


def test_readmes_commands(tmp_path: Path) -> None:
    [block] = EXECUTED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    write_csv(tmp_path / "tickets.csv", small_rows(), ("text", "category"))
    done = subprocess.run(
        ["bash", "-euc", block],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the project file and its data are in order" in done.stdout
    assert done.stderr.count("reused") == 7
    assert "bsm_" in done.stdout


def test_the_makefile_has_what_the_readme_types() -> None:
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
            assert re.search(rf"^{target}:", targets, re.MULTILINE), target
