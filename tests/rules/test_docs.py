"""The docs cover everything, are up to date, and lead where they say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from docs import generate

from bessemer.core import dataset, datasets, labelling, records, report, verdict
from bessemer.core.record import Record

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("name", generate.pages())
def test_the_reference_is_up_to_date(name: str) -> None:
    page = generate.FOLDER / name
    assert page.read_text(encoding="utf-8") == generate.pages()[name], "run `make docs`"


def test_every_noun_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    for module in (dataset, datasets, labelling, records, report, verdict):
        for name, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, Record) and value.__module__ == module.__name__:
                assert f"**{name}**" in glossary, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_both_readmes_say_the_same() -> None:
    """Code, addresses and figures are equal; only the words around them are translated."""

    def code(name: str) -> list[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        blocks = re.findall(r"```(?:sh|json|python)\n(.*?)```", text, re.DOTALL)
        return [re.sub(r"\s*#.*", "", block) for block in blocks]

    assert code("README.md") == code("README.zh-CN.md")


def test_the_rules_name_tests_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(tests/[^`]*)`", text):
        assert (ROOT / name).exists(), name


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for page in folder.glob("0*.md"):
        assert page.name in listed
        assert "**Why.**" in page.read_text(encoding="utf-8")
        assert "Revisited" in page.read_text(encoding="utf-8")
