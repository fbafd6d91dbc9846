"""Size and documentation of the code (DESIGN §2)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "bessemer"
FILES = sorted(SOURCE.rglob("*.py"))
LINES, FUNCTION, PARAMETERS = 400, 60, 8


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sizes(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES
    exempt = name(path).startswith(("cli/", "store/migrations/"))
    for function in functions(path):
        lines = function.end_lineno - function.lineno + 1
        assert lines <= FUNCTION or exempt, f"{function.name} has {lines} lines"
        arguments = function.args
        count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
        count -= bool(arguments.args and arguments.args[0].arg in ("self", "cls"))
        assert count <= PARAMETERS or exempt, f"{function.name} has {count} parameters"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_median_file_is_short() -> None:
    counts = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES)
    assert counts[len(counts) // 2] <= 110


def test_no_folder_is_empty() -> None:
    folders = [path for path in SOURCE.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    files = [path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert [f for f in folders if not any(f in path.parents for path in files)] == []
