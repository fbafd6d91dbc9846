"""The labelling page by keyboard alone: BANKING77's 77 labels in a real Chromium."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from bench.banking import ROUTE
from bench.base import OUT, ROOT, Bench, Row, at_least, at_most
from bench.command import bessemer
from bessemer.core.labelling import NewCampaign, NewItem, Suggestion
from bessemer.prepare.locate import locate
from bessemer.service.platform import Platform

ITEMS = 60
#: Shares of items whose surest suggestion is right, and of which none is.
RIGHT, WRONG = 0.7, 0.15
#: Keeps the milliseconds from each key to the moment when the next item is painted.
WATCH = """() => {
    window.waits = [];
    let pressed = 0;
    addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
    new MutationObserver(([{ target }]) => {
        const since = pressed;
        if (!target.dataset.item || !since) return;
        requestAnimationFrame(() => setTimeout(() => waits.push(performance.now() - since)));
    }).observe(document, { subtree: true, attributeFilter: ["data-item"] });
}"""
#: Waits until so many items were painted. The page's policy forbids Playwright's own waiting.
PAINTED = """count => new Promise((done, failed) => {
    const look = () => (waits.length < count ? setTimeout(look, 1) : done());
    look();
    setTimeout(() => failed(new Error(`${waits.length} of ${count} items were shown`)), 10000);
})"""
#: What is shown: the text, the label that Enter takes, and the keys of the others.
SHOWN = """() => {
    const rows = [...document.querySelectorAll("[data-labels] [data-list] button")];
    const key = (row) => row.getAttribute("aria-keyshortcuts");
    const name = (row) => row?.querySelector("span").textContent ?? null;
    return {
        item: document.querySelector("[data-item]")?.dataset.item,
        text: document.querySelector("[data-text]").textContent,
        marked: name(rows.find((row) => row.classList.contains("marked"))),
        keys: Object.fromEntries(rows.map((row) => [name(row), key(row)])),
    };
}"""


def rows() -> list[tuple[str, str]]:
    """Return the texts and labels of the test split, each text once."""
    table = locate("public:banking77/test.csv", relative_to=ROOT, cache=OUT / "downloads")
    with table.open(encoding="utf-8", newline="") as file:
        return list({row["text"]: row["category"] for row in csv.DictReader(file)}.items())


def begin(platform: Platform, count: int, seed: int = 0) -> tuple[str, dict[str, str]]:
    """Begin a campaign over some texts, with suggestions; return its id and the right labels."""
    draws = random.Random(seed)
    all_rows = rows()
    labels = tuple(sorted({label for _, label in all_rows}))
    chosen = draws.sample(all_rows, count)
    items = []
    for number, (text, label) in enumerate(chosen):
        others = draws.sample([other for other in labels if other != label], 3)
        draw = draws.random()
        named = [label, *others] if draw < RIGHT else others
        if RIGHT <= draw < 1 - WRONG:
            named = [*others, label]
        scores = sorted((draws.random() for _ in named), reverse=True)
        suggestions = zip(named, scores, strict=True)
        hints = tuple(Suggestion(label=one, score=score) for one, score in suggestions)
        items.append(NewItem(key=str(number), text=text, suggestions=hints))
    made = platform.campaigns.new(NewCampaign(project=ROUTE, labels=labels), items)
    return made.id, dict(chosen)


def enter(page: Page, url: str, key: str, path: str) -> None:
    """Log in, and open a page."""
    page.goto(f"{url}/console/login?next={path.partition('@')[0]}")
    page.locator("#key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "/login" not in address)
    page.goto(f"{url}{path}")


def label(page: Page, right: dict[str, str], count: int) -> tuple[list[float], int]:
    """Give items their right labels by keyboard.

    Returns:
        Milliseconds from the last key of an answer until the next item was painted, an entry an
        answer; and how many keys were pressed.
    """
    page.locator("[data-item]:not([data-item=''])").wait_for()
    page.evaluate(WATCH)
    pressed = 0
    for done in range(count):
        shown = page.evaluate(SHOWN)
        wanted = right[shown["text"]]
        initials = iter(part[0] for part in wanted.lower().split("_"))
        while shown["marked"] != wanted and not shown["keys"].get(wanted):
            page.keyboard.press(next(initials))
            pressed += 1
            shown = page.evaluate(SHOWN)
        page.keyboard.press("Enter" if shown["marked"] == wanted else shown["keys"][wanted])
        pressed += 1
        page.evaluate(PAINTED, done + 1)
    waits: list[float] = page.evaluate("waits")
    return waits, pressed


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Run a server of a home; yield its address."""
    process = subprocess.Popen(
        bessemer("serve", "--port", "0", "--json"),
        env={**os.environ, "BESSEMER_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = ""
    while not told.endswith("}\n"):
        told += process.stdout.readline()
    try:
        yield json.loads(told)["url"]
    finally:
        process.terminate()
        process.communicate()


def measure() -> tuple[list[Row], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder) / "home"
        platform = Platform.open(home)
        campaign, right = begin(platform, ITEMS + 4)
        key = platform.keys.create("annotator", "annotator").secret
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        with serving(home) as url:
            page = browser.new_page()
            enter(page, url, key, f"/console/label/{campaign}/work")
            waits, pressed = label(page, right, ITEMS)
            page.wait_for_selector("[data-state=on]")
        browser.close()
        kept = platform.campaigns.answers(campaign)
        texts = {item.number: item.text for item in platform.campaigns.items(campaign)}
        rightly = sum(said.label == right[texts[said.item]] for said in kept)
        platform.home.database.close()
    half, most = np.percentile(waits, [50, 95])
    result = [
        at_least("items without a mouse", rightly, "items", ITEMS),
        Row("keys an item", pressed / ITEMS, "keys"),
        at_most("key to next item, p50", float(half), "ms", 100),
        at_most("key to next item, p95", float(most), "ms", 100),
    ]
    return result, {"waits": waits, "keys": pressed}


BENCH = Bench(
    "labelling",
    "60 texts of BANKING77 labelled by keyboard in a real Chromium, 77 labels",
    "60 items without a mouse; key to next item < 100 ms",
    1,
    measure,
)
