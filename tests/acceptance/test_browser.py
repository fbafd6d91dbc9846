"""The console in a real Chromium, on a real server process."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.acceptance.test_processes import Server
from tests.conftest import copy_home
from tests.integration.test_console import release_again
from tests.integration.test_console_data import BAD, prepare_wild
from tests.integration.test_console_runs import again

from bessemer.service.platform import Platform

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: Milliseconds that a page may take to show what it should.
PATIENCE = 10_000
#: How many colours each picture of a page has.
COLOURS = """() => [...document.querySelectorAll("[data-plot] canvas")].map((canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    return new Set(new Uint32Array(data.buffer)).size;
})"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("console")
    home = copy_home(finished / "home", place / "home")
    platform = Platform.open(home)
    prepare_wild(platform, place / "wild")
    platform.deploy(release_again(platform), "small")
    again(platform, course={"log_loss": (2.0, 0.9, 0.5), "score": (0.3, 0.7, 0.8)})
    platform.home.database.close()
    with Server(home) as found:
        yield found


@pytest.fixture
def page(chromium: Browser, server: Server) -> Iterator[Page]:
    """Return a page that is logged in; whatever it complains about fails the test."""
    context = chromium.new_context(locale="en-GB", base_url=server.url)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else 0)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(server.url) else complaints.append(r.url))
    # A violation of the policy is told as an error of the page's console, too.
    page.set_default_timeout(PATIENCE)
    page.goto("/console")
    page.get_by_label("API key of an owner or annotator").fill(server.told["key"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/console/deployments")
    yield page
    context.close()
    assert complaints == []


def shown(page: Page, name: str) -> float:
    """Return a live number of the route's row."""
    cell = page.locator(f'tr[data-route="small"] [data-live="{name}"]:not(meter)')
    return float(re.sub(r"[^\d.]", "", cell.inner_text()) or 0)


def test_numbers_change_as_requests_come(page: Page, server: Server) -> None:
    expect(page.get_by_role("status")).to_have_text("live", timeout=PATIENCE)
    expect(page.get_by_role("link", name="small")).to_be_visible()
    assert shown(page, "rate") == 0
    done = threading.Event()

    def ask() -> None:
        headers = {"Authorization": f"Bearer {server.told['key']}"}
        with httpx.Client(base_url=server.url, headers=headers) as client:
            while not done.is_set():
                client.post("/predict/small", json={"inputs": "where is my refund"})
                time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        tile = page.locator('[data-live="rate.answered"]')
        expect(tile).to_have_text(re.compile(r"^([2-9]|\d\d)"), timeout=PATIENCE)
    finally:
        done.set()
        asking.join()
    assert shown(page, "rate") > 1
    assert 0 < shown(page, "p50") < 1000
    expect(page.locator("[data-bases]")).to_contain_text("onnx")
    drawn = page.evaluate(COLOURS)
    assert len(drawn) == 3
    assert min(drawn) > 2


def test_a_route_is_tried_and_rolled_back(page: Page) -> None:
    page.get_by_role("link", name="small").click()
    expect(page.get_by_role("heading", name="small")).to_be_visible()
    text = page.get_by_label("Text")
    text.fill("two payments were taken <img src=x onerror=alert(1)>")
    text.press("Control+Enter")
    answer = page.locator("#tried")
    expect(answer).to_contain_text("double_charge")
    expect(answer).to_contain_text("Computing")
    assert answer.locator("meter").count() == 4
    assert answer.locator("img").count() == 0
    expect(page.locator("#state")).to_contain_text("small@2")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("#state section").first).to_contain_text("small@1")
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)


def test_a_data_set_is_looked_through(page: Page) -> None:
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_role("link", name="small.2").click()
    expect(page.get_by_role("heading", name="small.2")).to_be_visible()
    drawn = page.evaluate(COLOURS)
    assert len(drawn) == 2
    assert min(drawn) > 5
    told = page.locator("[data-picture=lengths] [data-told]")
    page.locator("[data-picture=lengths] [data-plot]").hover()
    expect(told).to_have_text(re.compile(r"\d+[–+]"))
    finding = page.locator("#findings details").filter(has_text="exact duplicate")
    finding.locator("summary").click()
    expect(finding).to_contain_text("not in the data set")
    page.locator("#difference summary").click()
    expect(page.locator("#difference")).to_contain_text("Rows are compared by their texts.")
    rows = page.locator("#rows")
    expect(rows).to_contain_text("1–25 of 129")
    page.get_by_label("Text contains").fill("onerror")
    expect(rows).to_contain_text(f"{BAD} is my text")
    assert page.locator("main img").count() == 0
    page.get_by_label("Text contains").fill("")
    page.get_by_label("Label", exact=True).select_option(f"label {BAD}")
    expect(rows).to_contain_text("1–9 of 9")
    page.get_by_label("Label", exact=True).select_option("")
    rows.get_by_role("button", name="Next").click()
    expect(rows).to_contain_text("26–50 of 129")
    with page.expect_download() as download:
        page.get_by_role("link", name="parquet").click()
    assert download.value.suggested_filename == "small.2.parquet.zip"


def test_runs_are_compared_and_a_report_is_read(page: Page) -> None:
    def fits() -> bool:
        return page.evaluate("document.documentElement.scrollWidth") <= 360

    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_url("**/console/runs")
    assert fits()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare/*")
    expect(page.locator("#better")).to_contain_text("not told apart beyond chance")
    assert fits()
    page.go_back()
    page.locator("#project-small tbody a").first.click()
    page.wait_for_url("**/console/runs/*")
    expect(page.locator("#course canvas")).to_be_visible()
    assert min(page.evaluate(COLOURS)) > 3
    page.locator("#course [data-plot]").hover()
    expect(page.locator("#course [data-told]")).to_have_text("After epoch 1")
    expect(page.locator("#course [data-value=score]")).to_have_text("0.7")
    assert fits()
    page.get_by_role("link", name="Read the report").click()
    page.wait_for_url("**/console/reports/*")
    page.locator("details").evaluate_all("all => all.forEach((one) => (one.open = true))")
    assert fits()
    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Confusions").click()
    expect(page.locator("#report-confusions")).to_be_in_viewport()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as one page").click()
    assert re.fullmatch(r"\d{8}-\d{6}-\w{6}\.html", download.value.suggested_filename)


def test_a_change_from_elsewhere_is_seen_without_a_reload(page: Page, server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.told['key']}"}
    page.evaluate("window.same = true")
    httpx.post(
        f"{server.url}/api/v1/deployments",
        json={"release": "small@1", "route": "another"},
        headers=headers,
    ).raise_for_status()
    expect(page.get_by_role("link", name="another")).to_be_visible()
    assert page.evaluate("window.same")


def test_language_and_colours_are_switched_and_kept(page: Page) -> None:
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(16, 19, 23)"
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="部署")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    page.get_by_role("button", name="跟随系统").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/console/login")


def test_everything_fits_a_narrow_screen_and_the_keyboard_reaches_it(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/console/deployments", "/console/deployments/small", "/console/data/small.2"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_class("skip")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_a_signal_ends_the_server_although_a_page_is_open(page: Page, server: Server) -> None:
    expect(page.get_by_role("status")).to_have_text("live", timeout=PATIENCE)
    page.evaluate(
        """() => {
            Live.prototype.lost = function () { this.source.close(); document.title = 'ended'; };
        }"""
    )
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 4
    expect(page).to_have_title("ended")
