"""The labelling page in a real Chromium: by keyboard, for two annotators, when things break."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest
from bench import labelling as bench
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.acceptance.test_browser import CHROMIUM, FLAGS, PATIENCE
from tests.acceptance.test_processes import Server

from bessemer.core.labelling import NewCampaign, NewItem, Said, Suggestion
from bessemer.service.platform import Platform
from bessemer.tasks import token_classification

SCRIPT = '<script>alert(1)</script><img src=x onerror="alert(2)"> & 退款'
#: One red pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
HINTS = (Suggestion(label="refund", score=0.8), Suggestion(label="late", score=0.1))
Enter = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    opened = Platform.open(tmp_path_factory.mktemp("labelling") / "home")
    yield opened
    opened.home.database.close()


@pytest.fixture(scope="module")
def keys(platform: Platform) -> dict[str, str]:
    """Return the secrets of two annotators and an owner."""
    roles = {"ann": "annotator", "bob": "annotator", "olga": "owner"}
    return {name: platform.keys.create(name, role).secret for name, role in roles.items()}


@pytest.fixture(scope="module")
def server(platform: Platform, keys: dict[str, str]) -> Iterator[Server]:
    with Server(platform.home.root) as found:
        yield found


@pytest.fixture
def enter(chromium: Browser, keys: dict[str, str]) -> Iterator[Enter]:
    """Return what opens a page as somebody; whatever it complains about fails the test."""
    contexts, complaints = [], []

    def opened(server: Server, path: str, who: str = "ann", **options: object) -> Page:
        context = chromium.new_context(locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        bad = ("error", "warning")
        page.on("console", lambda m: complaints.append(m.text) if m.type in bad else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        bench.enter(page, server.url, keys[who], path)
        return page

    yield opened
    for context in contexts:
        context.close()
    # The browser, too, tells of a lost connection, a session that is over, and a refusal.
    wanted = ("net::ERR", "401", "409")
    assert [told for told in complaints if not any(word in told for word in wanted)] == []


def begin(platform: Platform, texts: list[str], **asked: object) -> str:
    """Begin a campaign over texts, and return its id."""
    items = [NewItem(key=str(n), text=text, suggestions=HINTS) for n, text in enumerate(texts)]
    labels = {"labels": ("late", "refund", "praise"), "project": "letters", **asked}
    if asked:
        items = [item.model_copy(update={"suggestions": ()}) for item in items]
    return platform.campaigns.new(NewCampaign(**labels), items).id


def answers(platform: Platform, campaign: str) -> dict[int, Said]:
    return {said.item: said for said in platform.campaigns.answers(campaign)}


def shows(page: Page, item: int | str) -> None:
    expect(page.locator("[data-item]")).to_have_attribute("data-item", str(item))


def kept(page: Page) -> None:
    expect(page.locator(".work .status")).to_have_text("all kept")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.timed
@pytest.mark.skipif("BESSEMER_DATA" not in os.environ, reason="set BESSEMER_DATA")
def test_sixty_items_without_a_mouse(enter: Enter, platform: Platform, server: Server) -> None:
    campaign, right = bench.begin(platform, bench.ITEMS + 1)
    page = enter(server, f"/console/label/{campaign}/work")
    waits, pressed = bench.label(page, right, bench.ITEMS)
    kept(page)
    texts = {item.number: item.text for item in platform.campaigns.items(campaign)}
    given = answers(platform, campaign)
    assert len(given) == bench.ITEMS
    for said in given.values():
        assert (said.label, said.annotator) == (right[texts[said.item]], "ann")
        assert said.suggested
        assert 0 < said.seconds < 10
    print(f"key to next item: {median(waits):.1f} ms, {max(waits):.1f} at most; {pressed} keys")
    assert median(waits) < 100
    assert pressed < 2 * bench.ITEMS


def test_undo_skip_and_hide(enter: Enter, platform: Platform, server: Server) -> None:
    campaign = begin(platform, [SCRIPT, "b", "c", "d"])
    page = enter(server, f"/console/label/{campaign}/work")
    shows(page, 1)
    text = page.locator("[data-text]")
    assert text.inner_text() == SCRIPT
    assert text.locator("*").count() == 0
    assert page.locator("[data-list] .marked").inner_text().split() == ["2", "refund", "80%"]
    press(page, "3")
    shows(page, 2)
    press(page, "1", "u")
    shows(page, 2)
    assert "late" in page.locator("[data-list] .marked").inner_text()
    press(page, "u")
    shows(page, 1)
    assert "praise" in page.locator("[data-list] .marked").inner_text()
    press(page, "Enter")
    shows(page, 2)
    press(page, "s")
    expect(page.get_by_role("dialog")).to_contain_text("Fits none of the labels")
    press(page, "2")
    shows(page, 3)
    press(page, "h")
    expect(page.locator("[data-list] meter:visible")).to_have_count(0)
    press(page, "Enter")
    expect(page.locator("[data-note]")).to_have_text("Choose a label first.")
    # They were to be seen before they were hidden.
    press(page, "1")
    shows(page, 4)
    press(page, "2")
    page.get_by_text("Nothing is left for you here.").wait_for()
    kept(page)
    given = answers(platform, campaign)
    assert [given[n].label for n in (1, 2, 3, 4)] == ["praise", None, "late", "refund"]
    assert given[2].skipped == "not in the labels"
    assert [given[n].suggested for n in (1, 2, 3, 4)] == [True, True, True, False]
    page.reload()
    page.get_by_text("Nothing is left for you here.").wait_for()
    press(page, "u")
    shows(page, 4)
    assert page.locator("[data-list] meter:visible").count() == 0


def test_an_answer_that_was_told_to_be_kept_survives_sigkill(
    enter: Enter, platform: Platform, tmp_path: Path
) -> None:
    platform.home.database.close()
    home = shutil.copytree(platform.home.root, tmp_path / "home")
    other = Platform.open(home)
    campaign = begin(other, ["a", "b", "c"])
    with Server(home) as server:
        page = enter(server, f"/console/label/{campaign}/work")
        shows(page, 1)
        press(page, "1")
        kept(page)
        server.process.kill()
        server.process.wait()
        press(page, "2")
        alarm = page.get_by_role("alert").first
        expect(alarm).to_contain_text("1 not kept yet")
        expect(page.locator(".work .status")).not_to_have_text("all kept")
    assert {n: said.label for n, said in answers(other, campaign).items()} == {1: "late"}
    other.home.database.close()


def test_what_cannot_be_sent_is_sent_later_or_told(
    enter: Enter, platform: Platform, server: Server, keys: dict[str, str]
) -> None:
    campaign = begin(platform, ["a", "b", "c", "d", "e"])
    page = enter(server, f"/console/label/{campaign}/work")
    shows(page, 1)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    press(page, "1", "3")
    shows(page, "")
    expect(page.get_by_role("alert").first).to_contain_text("2 not kept yet")
    assert answers(platform, campaign) == {}
    page.context.set_offline(False)
    kept(page)
    expect(page.get_by_role("alert").first).to_be_hidden()
    shows(page, 3)
    assert {n: said.label for n, said in answers(platform, campaign).items()} == {
        1: "late", 2: "praise",
    }  # fmt: skip
    page.context.clear_cookies(name="bessemer_session")
    press(page, "2")
    expect(page.get_by_role("alert").first).to_contain_text("The session is over: 1 not kept yet")
    bench.enter(page.context.new_page(), server.url, keys["ann"], "/console/label")
    kept(page)
    assert answers(platform, campaign)[3].label == "refund"
    shows(page, 4)
    platform.campaigns.close(campaign)
    press(page, "2")
    told = page.locator("[data-losses]")
    expect(told).to_contain_text("Not kept: d → refund")
    expect(told).to_contain_text("is closed")
    page.get_by_role("button", name="I have seen it").click()
    expect(told).to_be_empty()
    assert 4 not in answers(platform, campaign)


def test_two_annotators_never_see_the_same_item(
    enter: Enter, platform: Platform, server: Server
) -> None:
    campaign = begin(platform, [f"text {n}" for n in range(20)])
    pages = [enter(server, f"/console/label/{campaign}/work", who) for who in ("ann", "bob")]
    seen: list[set[str]] = [set(), set()]
    for turn in range(6):
        for page, items in zip(pages, seen, strict=True):
            page.locator("[data-item]:not([data-item=''])").wait_for()
            items.add(page.locator("[data-text]").inner_text())
            press(page, "1" if turn % 2 else "Enter")
    for page in pages:
        kept(page)
    assert len(seen[0]) == len(seen[1]) == 6
    assert not seen[0] & seen[1]
    assert len(answers(platform, campaign)) == 12


def test_spans_by_keyboard_and_by_mouse(enter: Enter, platform: Platform, server: Server) -> None:
    text = "Ada 🙂👩‍💻 flew to 北京 with naïve Bob"
    campaign = begin(
        platform, [text, text], task="token-classification", labels=("person", "place")
    )
    page = enter(server, f"/console/label/{campaign}/work")
    shows(page, 1)
    start = text.index("北京")
    press(page, "1", *["ArrowRight"] * 7)
    at = page.locator("[data-text] .selected")
    while at.first.inner_text() != "北":
        press(page, "ArrowRight")
    press(page, "Shift+ArrowRight", "2", "ArrowRight", "1", "Backspace", "Enter")
    shows(page, 2)
    words = page.locator("[data-text] [data-word]")
    box = words.get_by_text("naïve").bounding_box()
    last = words.get_by_text("Bob").bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] - 1, last["y"] + 5, steps=4)
    page.mouse.up()
    press(page, "1", "Enter")
    page.get_by_text("Nothing is left for you here.").wait_for()
    kept(page)
    given = {n: json.loads(said.label) for n, said in answers(platform, campaign).items()}
    assert given[1] == [
        {"start": 0, "end": 3, "label": "person"},
        {"start": start, "end": start + 2, "label": "place"},
    ]
    assert given[2] == [{"start": text.index("naïve"), "end": len(text), "label": "person"}]


def test_words_are_the_tasks(enter: Enter, server: Server) -> None:
    text = (
        "a_1 2½ Ⅷ é e\u0301x\u0301 \u0301\u0301b .\u0301c が か\u3099"
        " नमस्ते 日本語テキスト한국어 𠀀𝒳 🙂\u200d\u00a0x\u3000y\ufeff\x85 don't ß—“q”\u2029z"
    )
    page = enter(server, "/console/label")
    found = page.evaluate(
        """async (text) => {
            const { words, characters } = await import("/console/static/labelling/spans.js");
            const before = characters(text);
            return words(text).map(([from, to]) => [before[from], before[to]]);
        }""",
        text,
    )
    assert [tuple(word) for word in found] == list(token_classification._words(text))


def test_several_labels_are_toggled(enter: Enter, platform: Platform, server: Server) -> None:
    campaign = begin(platform, ["a", "b"], separator="|")
    page = enter(server, f"/console/label/{campaign}/work")
    shows(page, 1)
    press(page, "1", "3", "2", "1", "Enter")
    shows(page, 2)
    press(page, "Enter")
    page.get_by_text("Nothing is left for you here.").wait_for()
    kept(page)
    given = {n: json.loads(said.label) for n, said in answers(platform, campaign).items()}
    assert given == {1: ["praise", "refund"], 2: []}


def test_an_image_is_shown(enter: Enter, platform: Platform, server: Server) -> None:
    digest = hashlib.sha256(PNG).hexdigest()
    place = platform.home.root / "blobs" / digest
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(PNG)
    items = [NewItem(key="1", text="", image=digest), NewItem(key="2", text="no image")]
    campaign = platform.campaigns.new(NewCampaign(project="dots", labels=("red", "blue")), items).id
    page = enter(server, f"/console/label/{campaign}/work")
    shows(page, 1)
    image = page.get_by_alt_text("The image to be labelled")
    expect(image).to_be_visible()
    assert image.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }")
    press(page, "1")
    shows(page, 2)
    expect(image).to_be_hidden()
    press(page, "2")
    shows(page, "")
    assert page.evaluate("document.activeElement.id") == "main"


def test_disagreements_are_settled(enter: Enter, platform: Platform, server: Server) -> None:
    campaign = begin(platform, ["a", "b", "c"], overlap=2)
    for item in (1, 2):
        platform.campaigns.say(campaign, item, "ann", label="late")
        platform.campaigns.say(campaign, item, "bob", label="refund")
    page = enter(server, f"/console/label/{campaign}", "olga")
    assert [page.locator("#annotators tbody th").nth(n).inner_text() for n in (0, 1)] == [
        "ann", "bob",
    ]  # fmt: skip
    page.get_by_role("link", name="Adjudicate").click()
    shows(page, 1)
    votes = page.locator("[data-votes]")
    expect(votes).to_contain_text("Annotator A late")
    press(page, "h")
    expect(votes).to_contain_text("bob refund")
    press(page, "1")
    shows(page, 2)
    press(page, "u", "2")
    shows(page, 2)
    press(page, "Enter")
    expect(page.locator("[data-note]")).to_have_text("Choose a label first.")
    press(page, "3")
    expect(page.get_by_text("Nothing is disputed any more.")).to_be_visible()
    kept(page)
    final = {n: s for n, s in answers(platform, campaign).items() if s.final}
    assert {n: (s.label, s.annotator) for n, s in final.items()} == {
        1: ("refund", "olga"), 2: ("praise", "olga"),
    }  # fmt: skip


def test_a_guideline_is_changed_while_somebody_labels(
    enter: Enter, platform: Platform, server: Server
) -> None:
    campaign = begin(platform, ["a", "b", "c"])
    page = enter(server, f"/console/label/{campaign}/work")
    owner = enter(server, f"/console/label/{campaign}", "olga")
    shows(page, 1)
    owner.get_by_role("button", name="Write").click()
    owner.get_by_role("textbox").fill("Refund only if\n<b>they</b> ask.")
    owner.get_by_role("button", name="Save as a new version").click()
    expect(owner.locator("#guideline")).to_contain_text("version 1")
    press(page, "1")
    expect(page.locator("[data-note]")).to_have_text("The guideline has changed.")
    press(page, "g")
    expect(page.get_by_role("dialog")).to_contain_text("Refund only if\n<b>they</b> ask.")
    press(page, "g", "2")
    kept(page)
    assert [said.guideline for said in answers(platform, campaign).values()] == [1, 1]


def test_a_phone_shows_it_all(enter: Enter, platform: Platform, server: Server) -> None:
    long = "Where is it? " * 400 + "W" * 300
    campaign = begin(platform, [long, "b"], labels=tuple(f"label_{n}" for n in range(77)))
    phone = {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True}
    page = enter(server, f"/console/label/{campaign}/work", **phone)
    shows(page, 1)
    for path in ("", f"/{campaign}", f"/{campaign}/work"):
        page.goto(f"{server.url}/console/label{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    shows(page, 1)
    assert page.locator("[data-text]").bounding_box()["height"] < 400
    page.locator("[data-list] button").nth(20).tap()
    shows(page, 2)
    kept(page)
    assert answers(platform, campaign)[1].label == "label_20"
    text = "Bob met Ada Lovelace"
    campaign = begin(platform, [text], task="token-classification", labels=("person",))
    page.goto(f"{server.url}/console/label/{campaign}/work")
    shows(page, 1)
    for word in ("Ada", "Lovelace"):
        page.locator("[data-text]").get_by_text(word).tap()
    page.get_by_role("button", name="person").tap()
    page.get_by_role("button", name="Done").tap()
    shows(page, "")
    kept(page)
    spans = json.loads(answers(platform, campaign)[1].label)
    assert spans == [{"start": 8, "end": len(text), "label": "person"}]
