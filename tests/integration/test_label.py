"""`label`: from a pool of texts to a campaign's items, round after round, with a real base."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from tests.conftest import INTENTS, MESSAGES, small_rows, write_csv, write_project

from bessemer.cli.main import run
from bessemer.core.errors import (
    ConflictError,
    DataError,
    ProjectError,
    RequestError,
    UnknownNameError,
)
from bessemer.service import project_file
from bessemer.service.platform import Platform
from bessemer.service.recipe import plan

COLD = f"label: {{pool: pool.csv, labels: [{', '.join(INTENTS)}], items: 24}}\n"
#: Messages of each intent in the pool; the table has the first of them, with labels.
POOLED = 45


def answers() -> dict[str, str]:
    """Return the intent of each message of the pool."""
    found: dict[str, str] = {}
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            intent, count = row["intent"], list(found.values()).count(row["intent"])
            if intent in INTENTS and count < POOLED and row["text"].strip():
                found[row["text"]] = intent
    return found


def with_pool(folder: Path, text: str) -> Path:
    """Write a project with a pool: all messages of the four intents, those of its table too."""
    place = write_project(folder, text)
    write_csv(place / "pool.csv", [(one, "") for one in answers()], ("text", "note"))
    return place


def answer_all(platform: Platform, campaign: str) -> int:
    """Label what a campaign asks, rightly, and return how many items that were."""
    known, count = answers(), 0
    while (item := platform.campaigns.next(campaign, "ann")) is not None:
        platform.campaigns.say(campaign, item.number, "ann", label=known[item.text], seconds=2.0)
        count += 1
    return count


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which the pool's and the table's texts are encoded."""
    place = tmp_path_factory.mktemp("encoded")
    opened = Platform.open(place / "home")
    opened.label(with_pool(place / "rows", "label: {pool: pool.csv}\n"))
    opened.home.database.close()
    return place / "home"


@pytest.fixture
def fresh(encoded: Path, tmp_path: Path) -> Platform:
    """Return a platform without campaigns that need not encode these texts again."""
    shutil.copytree(encoded / "stages", tmp_path / "fresh" / "stages", copy_function=os.link)
    opened = Platform.open(tmp_path / "fresh")
    yield opened
    opened.home.database.close()


def test_from_no_label_at_all(fresh: Platform, tmp_path: Path) -> None:
    place = with_pool(tmp_path / "cold", COLD)
    (place / "table.csv").unlink()
    first = fresh.label(place)
    assert (first.campaign, first.strategy, first.items) == ("small@1", "typical", 24)
    assert (first.labels, first.forecast) == (0, None)
    assert first.pool == len(answers()) - 24
    assert all(not item.suggestions for item in fresh.campaigns.items("small"))
    assert answer_all(fresh, "small") == 24
    second = fresh.label(place)
    assert (second.campaign, second.strategy, second.items) == ("small@1", "diverse-margin", 24)
    assert (second.labels, second.pool) == (24, first.pool - 24)
    items = fresh.campaigns.items("small")
    assert len({item.text for item in items}) == 48
    assert second.forecast is not None
    assert second.forecast.measured == "out of fold"
    assert second.forecast.gain.low <= second.forecast.gain.value <= second.forecast.gain.high
    assert not second.forecast.stop
    for item in items[24:]:
        scores = [hint.score for hint in item.suggestions]
        assert len(scores) == 3
        assert sorted(scores, reverse=True) == scores
    # What is suggested is mostly right, though only the doubtful ones are asked.
    right = [item.suggestions[0].label == answers()[item.text] for item in items[24:]]
    assert sum(right) > len(right) / 2


def test_beside_labelled_rows(fresh: Platform, tmp_path: Path) -> None:
    block = "label: {pool: pool.csv, items: 20, gold: 0.2, guideline: guide.md}\n"
    place = with_pool(tmp_path / "rows", block)
    (place / "guide.md").write_text("A gift card is no bank card.")
    found = fresh.label(place)
    assert (found.strategy, found.items, found.gold) == ("diverse-margin", 24, 4)
    assert found.forecast is not None
    assert found.forecast.measured == "validation"
    items = fresh.campaigns.items("small")
    table = dict(small_rows())
    tests = {item.text: item.gold for item in items if item.gold}
    assert len(tests) == 4
    assert all(table[text] == gold for text, gold in tests.items())
    assert all(len(item.suggestions) == 3 for item in items), "a test looks like any other item"
    # Nothing that has a label is asked, but for tests.
    assert not table.keys() & {item.text for item in items if not item.gold}
    guideline = fresh.campaigns.show("small").guideline
    assert (guideline.version, guideline.text) == (1, "A gift card is no bank card.")
    (place / "guide.md").write_text("A gift card is a present.")
    assert fresh.label(place, items=5, strategy="margin").items == 6
    assert fresh.campaigns.show("small").guideline.version == 2
    texts = [item.text for item in fresh.campaigns.items("small")]
    assert len(set(texts)) == len(texts) == 30


def test_suspects_are_asked_again(fresh: Platform, tmp_path: Path) -> None:
    place = write_project(tmp_path / "doubtful")
    rows = small_rows()
    rows[117] = (rows[117][0], "gift_card")
    write_csv(place / "table.csv", rows, ("text", "label"))
    found = fresh.label(place, strategy="suspects")
    items = fresh.campaigns.items("small")
    assert found.items == len(items) >= 1
    assert "table.csv#118" in {item.key for item in items}
    assert not any(item.suggestions or item.gold for item in items)
    with pytest.raises(DataError, match="is left to be asked again"):
        fresh.label(place, strategy="suspects")
    # What a person said replaces the row: no text is learnt from twice.
    assert answer_all(fresh, "small") == len(items)
    counts = fresh.check(place).dataset.counts
    with_pool(tmp_path / "doubtful", "label: {pool: pool.csv, items: 4}\n")
    write_csv(place / "table.csv", rows, ("text", "label"))
    assert fresh.label(place).labels == counts["train"]


def test_the_budget_bounds_what_is_put_up(fresh: Platform, tmp_path: Path) -> None:
    block = COLD.replace("items: 24", "items: 20, overlap: 2, budget: {labels: 30}")
    place = with_pool(tmp_path / "budget", block)
    assert fresh.label(place).items == 15
    with pytest.raises(ConflictError, match=r"budget of small is spent.*30 labels"):
        fresh.label(place)
    (place / "bessemer.yaml").write_text(
        (place / "bessemer.yaml").read_text().replace("labels: 30", "labels: 60")
    )
    with pytest.raises(ConflictError, match=r"small@1 was begun with other budget labels than"):
        fresh.label(place)
    fresh.campaigns.close("small@1")
    assert fresh.label(place).campaign == "small@2"


def test_spans_are_chosen_without_a_model(fresh: Platform, tmp_path: Path) -> None:
    place = with_pool(tmp_path / "spans", "")
    block = "label: {pool: pool.csv, labels: [place, product], items: 8}\n"
    (place / "bessemer.yaml").write_text(
        f"name: spans\ntask: token-classification\ndata: {{source: none.jsonl}}\n{block}"
    )
    assert fresh.label(place).strategy == "typical"
    assert fresh.label(place, strategy="k-centre").items == 8
    with pytest.raises(RequestError, match="'badge' asks a model, and spans has none"):
        fresh.label(place, strategy="badge")


@pytest.mark.parametrize(
    ("block", "error", "told"),
    [
        ("", ProjectError, "no pool of texts"),
        ("label: {pool: nowhere.csv}", DataError, "no file"),
        ("label: {pool: pool.csv, labels: [a, a]}", ProjectError, "stands there twice"),
        (
            "label: {pool: pool.csv, labels: [a], gold: 0.1}",
            ProjectError,
            "no rows with answers are read, which label.gold needs",
        ),
        ("label: {pool: pool.csv, guideline: g.md}", ProjectError, r"g\.md cannot be read"),
        ("label: {pool: pool.csv, strategy: bage}", UnknownNameError, "Did you mean 'badge'"),
        ("label: {pool: table.csv}", DataError, "All 120 texts of table.csv have labels"),
        ("label: {pool: odd.csv}", DataError, r"line 4: label: odd.csv has no column 'text'"),
        ("label: {pool: empty.csv}", DataError, "has no text"),
        ("label: {pool: no.csv}", DataError, r"line 4: label: 'no\.csv': there is no file"),
        ("label: {pool: pool.csv, budget: {minutes: 0}}", ProjectError, "budget.minutes is 0"),
    ],
)
def test_what_cannot_be_labelled(
    fresh: Platform, tmp_path: Path, block: str, error: type[Exception], told: str
) -> None:
    place = with_pool(tmp_path / "odd", f"{block}\n")
    (place / "odd.csv").write_text("txt\nhello\n")
    (place / "empty.csv").write_text('text\n" "\n')
    with pytest.raises(error, match=told):
        fresh.label(place)
    assert fresh.campaigns.list() == []


def test_what_is_labelled_next_makes_no_other_run(tmp_path: Path) -> None:
    keys = []
    for number, block in enumerate(("", "label: {pool: pool.csv, items: 7, gold: 0.5}\n")):
        loaded = project_file.load(with_pool(tmp_path / str(number), block))
        keys.append(plan(loaded, tmp_path / "cache").keys)
    assert keys[0] == keys[1]


def test_the_command(fresh: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, home = with_pool(tmp_path / "cli", COLD), str(fresh.home.root)
    assert run(["label", str(place), "--items", "3", "--home", home, "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["items"] == 3
    assert "3 to small@1" in out.err
    assert run(["label", str(place), "--strategy", "k-centre", "--home", home]) == 0
    assert "small@1: 24 items by k-centre" in capsys.readouterr().out
    assert run(["label", str(place), "--items", "0", "--home", home]) == 2


def test_images_of_a_folder_are_put_up(fresh: Platform, tmp_path: Path) -> None:
    place = write_project(tmp_path / "images", "")
    for folder_name in ("a", "b"):
        (place / "shop" / folder_name).mkdir(parents=True)
        for n in range(3):
            image = b"\x89PNG\r\n\x1a\n" + f"{folder_name}{n}".encode()
            (place / "shop" / folder_name / f"{n}.png").write_bytes(image)
    block = "label: {pool: shop, labels: [bag, shoe], strategy: random, items: 4}\n"
    with (place / "bessemer.yaml").open("a") as file:
        file.write(block)
    found = fresh.label(place)
    assert (found.items, found.pool) == (4, 2)
    for item in fresh.campaigns.items("small"):
        assert item.text.endswith(".png")
        kept = fresh.home.root / "blobs" / item.image
        assert kept.read_bytes() == (place / "shop" / item.text).read_bytes()
