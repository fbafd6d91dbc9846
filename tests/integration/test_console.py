"""The console over real sockets: who gets in, what it says, what it shows."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.routing import Mount, Route
from tests.server import Server, running

from bessemer.console import app, language, live, sessions
from bessemer.console.guard import HEADERS, LOGIN, STATIC
from bessemer.console.pages import Pages
from bessemer.console.sessions import MOST_FAILURES, SESSION_SECONDS, Sessions
from bessemer.core.errors import AuthenticationError, OverloadedError
from bessemer.core.language import LANGUAGES
from bessemer.service.platform import Platform

TEMPLATES = sorted(Path(app.__file__).with_name("templates").glob("*.html"))
ROOM = "/console/deployments"


def browser(server: Server, **headers: str) -> httpx.Client:
    """Return a client that sends what a browser sends."""
    accepted = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", **headers}
    return httpx.Client(base_url=server.url, headers=accepted, timeout=10)


@contextlib.contextmanager
def logged_in(server: Server, who: str = "owner", **headers: str) -> Iterator[httpx.Client]:
    with browser(server, **headers) as client:
        assert client.post(LOGIN, data={"key": getattr(server, who)}).status_code == 303
        yield client


def release_again(platform: Platform) -> str:
    """Return a second release of `small`, with the same files."""
    first = platform.releases.show("small@1")
    other = "e" * len(first.bundle)
    place = platform.home.stages.path("release", other)
    shutil.copytree(platform.releases.bundle(first), place, copy_function=os.link)
    made = platform.releases.register("small", first.run, other, first.report, first.verdict)
    return made.id


class Events:
    """Server-sent events of an open page."""

    def __init__(self, answer: httpx.Response) -> None:
        self.rest = answer.iter_lines()

    def next(self) -> tuple[str, object]:
        name = next(line for line in self.rest if line).removeprefix("event: ")
        return name, json.loads(next(self.rest).removeprefix("data: "))

    def until(self, name: str) -> object:
        for _ in range(20):
            found, data = self.next()
            if found == name:
                return data
        raise AssertionError(name)


# ---- who gets in


def test_every_address_needs_a_session(shared: Server) -> None:
    plane = shared.serving.plane
    routes = app.console(shared.platform, plane, Sessions(plane), []).routes
    known = [r for r in routes if isinstance(r, Route)]
    assert [r.path for r in routes if isinstance(r, Mount)] == [STATIC.rstrip("/")]
    walked = [(r.path, method) for r in known for method in r.methods - {"HEAD"}]
    assert len(walked) > 7
    walked += [(path, "GET") for path in ("/console/nowhere", "/consoles", "/console/")]
    walked += [
        (f"{STATIC}..%2f..%2fdeployments", "GET"),
        (f"{LOGIN}/", "GET"),
        ("/console/LOGIN", "GET"),
    ]
    shown = []
    client = browser(shared)
    for path, method in walked:
        for headers in (
            {},
            {"Cookie": "bessemer_session=" + "x" * 43},
            {"Cookie": "bessemer_session="},
            {"Authorization": f"Bearer {shared.owner}"},
        ):
            answer = client.request(method, path.replace("{route}", "small"), headers=headers)
            if path == LOGIN:
                shown.append(answer.status_code)
            elif path.startswith(STATIC):
                assert answer.status_code == 404
            elif method == "GET":
                assert answer.status_code == 303, path
                assert answer.headers["location"].startswith(f"{LOGIN}?next=/console")
            else:
                assert answer.status_code == 401, path
            assert "small@1" not in answer.text
    client.close()
    assert set(shown) == {200, 401}


def test_an_annotator_enters_one_room(shared: Server) -> None:
    plane = shared.serving.plane
    routes = app.console(shared.platform, plane, Sessions(plane), []).routes
    known = [r for r in routes if isinstance(r, Route)]
    open_to_all = {"/console", LOGIN, "/console/logout"}
    label = "/console/label"
    owners = ("/adjudicate", "/adjudicate/guideline", "/adjudicate/next", "/adjudicate/say",
              "/guide", "/{action}")  # fmt: skip
    with logged_in(shared, "annotator") as client:
        assert client.get("/console").headers["location"] == label
        page = client.get(label).text
        assert re.findall(r'<a href="(/console/\w+)"', page) == [label]
        for route in known:
            within = route.path == label or route.path.startswith(f"{label}/")
            if route.path in open_to_all:
                continue
            for method in route.methods:
                status = client.request(method, route.path).status_code
                refused = not within or route.path.endswith(owners)
                assert (status == 403) == refused, (method, route.path, status)
        for path in ("/console/labels", "/console/label/../data", "/console/nowhere",
                     "/console/Label", "/console//data"):  # fmt: skip
            assert client.get(path).status_code == 403, path
        stays = client.post(LOGIN, params={"next": "/console/data"}, data={"key": shared.annotator})
        assert client.get(stays.headers["location"]).status_code == 403


def test_parts_of_pages_and_streams_are_refused_in_their_own_way(shared: Server) -> None:
    with browser(shared) as client:
        part = client.get(ROOM, headers={"HX-Request": "true"})
        assert (part.status_code, part.headers["hx-redirect"]) == (401, LOGIN)
        assert client.get("/console/live", headers={"Accept": "*/*"}).status_code == 401


def test_logging_in_and_out(shared: Server) -> None:
    with browser(shared) as client:
        wrong = client.post(LOGIN, data={"key": f"bsm_{'0' * 12}_{'0' * 64}"})
        assert wrong.status_code == 401
        assert "unknown, false or revoked" in wrong.text
        assert client.post(LOGIN, data={"key": shared.caller}).status_code == 403
        assert client.post(LOGIN, content=b"\xff=\xff").status_code == 400
        assert client.post(LOGIN, content=b"key=" + b"a" * 300_000).status_code == 413
        assert not client.cookies
        answer = client.post(LOGIN, data={"key": f" {shared.owner}\n"})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/console" in cookie
        assert "Secure" not in cookie
        assert shared.owner not in cookie
        assert client.get(ROOM).status_code == 200
        taken = client.cookies["bessemer_session"]
        assert client.post("/console/logout").headers["location"] == LOGIN
        client.cookies.set("bessemer_session", taken, path="/console")
        assert client.get(ROOM).status_code == 303
    with browser(shared, **{"X-Forwarded-Proto": "https"}) as client:
        assert "Secure" in client.post(LOGIN, data={"key": shared.owner}).headers["set-cookie"]


@pytest.mark.parametrize(
    "address",
    ["https://elsewhere.example/", "//elsewhere.example", "/console/../predict", "/console//x",
     "javascript:alert(1)", "/predict/small", "/console/\\elsewhere", "/consoles"],
)  # fmt: skip
def test_a_login_leads_nowhere_else(shared: Server, address: str) -> None:
    with browser(shared) as client:
        answer = client.post(LOGIN, params={"next": address}, data={"key": shared.owner})
        assert answer.headers["location"] == "/console"
        within = client.post(LOGIN, params={"next": f"{ROOM}/small"}, data={"key": shared.owner})
        assert within.headers["location"] == f"{ROOM}/small"


def test_a_session_ends_in_time_and_with_its_key(server: Server) -> None:
    now = [0.0]
    found = Sessions(server.serving.plane, lambda: now[0])
    other = server.platform.keys.create("other", "owner")
    server.serving.plane.refresh()
    session = found.begin(server.owner, "here")
    assert found.find(session.id) == session
    assert found.find(None) is None
    now[0] = SESSION_SECONDS
    assert found.find(session.id) is None
    revoked = found.begin(other.secret, "here")
    server.platform.keys.revoke(other.id)
    server.serving.plane.refresh()
    assert found.find(revoked.id) is None


def test_sessions_are_bounded(shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 3)
    found = Sessions(shared.serving.plane)
    begun = [found.begin(shared.owner, "here") for _ in range(5)]
    assert [found.find(s.id) is not None for s in begun] == [False, False, True, True, True]


def test_guessing_is_slowed_down(shared: Server) -> None:
    now = [0.0]
    found = Sessions(shared.serving.plane, lambda: now[0])
    for _ in range(MOST_FAILURES):
        with pytest.raises(AuthenticationError):
            found.begin("bsm_x", "there")
    with pytest.raises(OverloadedError):
        found.begin(shared.owner, "there")
    assert found.begin(shared.owner, "elsewhere")
    now[0] = 61
    assert found.begin(shared.owner, "there")


def test_other_sites_change_nothing(server: Server) -> None:
    platform = server.platform
    platform.deploy(release_again(platform), "small")
    with logged_in(server) as client:
        del client.headers["Sec-Fetch-Site"]
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": server.url},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "http://elsewhere.example"},
            {"Origin": "null"},
            {},
        ):
            for path in (f"{ROOM}/small/rollback", f"{ROOM}/small/try", LOGIN, "/console/logout"):
                fields = {"text": "a", "key": server.owner}
                assert client.post(path, headers=headers, data=fields).status_code == 403
        assert platform.deployments.live("small").release == "small@2"
        own = {"Origin": server.url}
        assert client.post(f"{ROOM}/small/rollback", headers=own).status_code == 303
        assert platform.deployments.live("small").release == "small@1"


def test_headers_are_strict_on_every_answer(shared: Server) -> None:
    with logged_in(shared) as client:
        for path in ("/console", ROOM, f"{ROOM}/small", f"{ROOM}/none", LOGIN, "/console/nowhere",
                     f"{STATIC}console.js", f"{STATIC}nothing.js"):  # fmt: skip
            answer = client.get(path)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
            kept = "no-cache" if path.startswith(STATIC) else "no-store"
            assert answer.headers["cache-control"] == kept
        assert (
            client.get(f"{STATIC}console.js").headers["content-type"].startswith("text/javascript")
        )
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    for page in TEMPLATES:
        text = page.read_text("utf-8")
        assert not re.search(
            r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|hx-on|\|\s*safe", text
        )
        assert not re.search(r"(?:src|href|action)=[\"']?(?:https?:)?//", text)


# ---- what it says


class Words(HTMLParser):
    """Collects what a template says without asking the catalogue."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found += re.findall(r"[^\W\d_]+", data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = ("title", "alt", "placeholder", "aria-label", "data-label", "data-now", "data-ago")
        for name, value in attributes:
            if name in said and value:
                self.found += re.findall(r"[^\W\d_]+", value)


@pytest.mark.parametrize("page", TEMPLATES, ids=lambda page: page.name)
def test_templates_say_nothing_by_themselves(page: Path) -> None:
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", page.read_text("utf-8"), flags=re.DOTALL)
    words = Words()
    words.feed(text)
    assert words.found == []


def test_every_message_is_in_both_languages_and_used() -> None:
    told = language.messages()
    for key, message in told.items():
        assert message.keys() == LANGUAGES.keys(), key
        assert all(message.values()), key
        holes = {name: set(re.findall(r"\{(\w+)\}", text)) for name, text in message.items()}
        assert len(set(map(frozenset, holes.values()))) == 1, key
    text = "".join(page.read_text("utf-8") for page in TEMPLATES)
    text += "".join(path.read_text("utf-8") for path in Path(app.__file__).parent.glob("*.py"))
    quoted = set(re.findall(r"""["']([a-z][\w. ]*)["']""", text))
    used = {key for key in told if key in quoted}
    made = {key for key in told if key.rpartition(".")[0] + "." in quoted}
    made |= {key for key in told if key.endswith(".asks")}
    assert told.keys() - used - made == set()


@pytest.mark.parametrize(
    ("accepted", "cookie", "wanted"),
    [
        ("", "", "en"),
        ("fr", "", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-Hans"),
        ("en-GB,zh;q=0.5", "", "en"),
        ("zh;q=0,fr", "", "en"),
        ("zh;q=x,;,", "", "en"),
        ("zh", "en", "en"),
        ("en", "zh", "zh-Hans"),
        ("zh", "xx", "zh-Hans"),
    ],
)
def test_the_reader_chooses_the_language(
    shared: Server, accepted: str, cookie: str, wanted: str
) -> None:  # fmt: skip
    headers = {"Accept-Language": accepted, "Cookie": f"bessemer_language={cookie}"}
    with browser(shared, **headers) as client:
        page = client.get(LOGIN).text
    assert f'<html lang="{wanted}"' in page
    assert ("标注员的 API 密钥" in page) == (wanted != "en")


# ---- what it shows


def test_the_room_and_a_route(shared: Server) -> None:
    for tongue, words in (("en", ("Deployments", "Try it")), ("zh", ("部署", "试一试"))):
        with logged_in(shared, **{"Accept-Language": tongue}) as client:
            room, route = client.get(ROOM).text, client.get(f"{ROOM}/small").text
        assert words[0] in room
        assert words[1] in route
        for page in (room, route):
            assert "small@1" in page
            assert "text-classification@" in page
            assert "onnx-" in page
        accuracy = shared.platform.releases.show("small").report.metrics["accuracy"]
        assert f"{accuracy.value:.3f}" in route
        assert f"{accuracy.low:.3f} – {accuracy.high:.3f}" in route
        with logged_in(shared, **{"Accept-Language": tongue}) as client:
            missing = client.get(f"{ROOM}/smal")
        assert missing.status_code == 404
        assert "Did you mean" in missing.text


def test_a_home_without_a_route(tmp_path: Path) -> None:
    platform = Platform.open(tmp_path / "home")
    with running(platform) as server, logged_in(server) as client:
        assert "No route serves anything yet." in client.get(ROOM).text
        with client.stream("GET", "/console/live") as answer:
            frame = Events(answer).until("frame")
        assert (frame["routes"], frame["bases"]) == ({}, [])
    platform.home.database.close()


def test_what_others_wrote_is_escaped(server: Server) -> None:
    platform, bad = server.platform, "<img src=x onerror=alert(1)>"
    key = platform.keys.create(bad, "owner")
    platform.acting_for(key.id).deploy(release_again(platform), "small")
    with logged_in(server) as client:
        for page in (client.get(ROOM).text, client.get(f"{ROOM}/small").text):
            assert "&lt;img src=x" in page
            assert bad not in page
        answer = client.get(f"{ROOM}/{bad}")
        assert answer.status_code == 404
        assert bad not in answer.text


def test_a_text_with_entities_is_escaped() -> None:
    from bessemer.console.deployments import _pieces

    text = "<b>Ann</b> & Bo"
    found = [{"entity_group": "<i>", "score": 0.9, "word": "Ann", "start": 3, "end": 6}]
    pieces = _pieces(text, found)
    assert pieces == [("<b>", ""), ("Ann", "<i>"), ("</b> & Bo", "")]
    assert _pieces(text, [{"label": "a", "score": 1.0}]) == []
    scope = {"type": "http", "headers": [], "path": "/", "state": {"session": None}}
    timings = {"tokenising": 0.001, "queue": 0.0, "computing": 2.0}
    answer = {"release": "r@1", "tokens": 3, "timings": timings}
    page = Pages([]).render(
        Request(scope), "tried.html", answer=answer, predictions=found, pieces=pieces, seconds=1.0
    )
    told = page.body.decode()
    assert "<b>" not in told
    assert "<i>" not in told
    assert "&lt;b&gt;<mark>Ann <small>&lt;i&gt;</small></mark>&lt;/b&gt; &amp; Bo" in told


def test_trying_a_route(server: Server) -> None:
    text = "two payments were taken <script>"
    wanted = server.predict({"inputs": text, "top_k": 8}).json()
    with logged_in(server, **{"HX-Request": "true"}) as client:
        told = client.post(f"{ROOM}/small/try", data={"text": text})
        assert told.status_code == 200
        assert [f"{found['score']:.3f}" for found in wanted] == re.findall(
            r">(\d\.\d{3})<", told.text
        )
        assert re.search(r"small@1.*Tokenising.*Queue.*Computing", told.text, re.DOTALL)
        assert "<script>" not in told.text
        missing = client.post(f"{ROOM}/none/try", data={"text": text})
        assert missing.status_code == 404
        assert missing.text.startswith('<p class="alert"')
        server.platform.deployments.unload("small")
        server.serving.plane.refresh()
        assert client.post(f"{ROOM}/small/try", data={"text": text}).status_code == 503


def test_rolling_back(server: Server) -> None:
    platform = server.platform
    with logged_in(server) as client:
        assert 'data-opens="rollback"' not in client.get(f"{ROOM}/small").text
        refused = client.post(f"{ROOM}/small/rollback")
        assert refused.status_code == 409
        assert "has served nothing before small@1" in refused.text
        platform.deploy(release_again(platform), "small")
        assert 'data-opens="rollback"' in client.get(f"{ROOM}/small").text
        done = client.post(f"{ROOM}/small/rollback")
        assert (done.status_code, done.headers["location"]) == (303, f"{ROOM}/small")
        now = platform.deployments.live("small")
        assert now.release == "small@1"
        assert now.by == server.owner.split("_")[1]
        assert client.post(f"{ROOM}/small/live").status_code == 404
        assert client.post(f"{ROOM}/nowhere/rollback").status_code == 404


def test_a_canary_is_shown_and_promoted(server: Server) -> None:
    platform = server.platform
    platform.deploy(release_again(platform), "small", 0.25)
    platform.aliases.set("other", "small")
    with logged_in(server) as client:
        assert "small@2 · 25 %" in client.get(ROOM).text
        page = client.get(f"{ROOM}/small").text
        assert "Aliases" in page
        opened = re.findall(r'data-opens="(\w+)"', page)
        assert opened == ["promote", "end", "unload"]
        assert client.post(f"{ROOM}/small/end").status_code == 303
        assert platform.deployments.live("small").canary is None
        platform.deploy("small@2", "small", 0.25)
        assert client.post(f"{ROOM}/small/promote").status_code == 303
        assert platform.deployments.live("small").release == "small@2"
        assert client.post(f"{ROOM}/small/unload").status_code == 303
        assert "unloaded" in client.get(ROOM).text
        assert client.post(f"{ROOM}/small/load").status_code == 303
        assert not platform.deployments.live("small").unloaded


# ---- live numbers


def test_numbers_follow_the_requests(server: Server) -> None:
    with logged_in(server) as client, client.stream("GET", "/console/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = Events(answer)
        history = events.until("history")
        before = events.until("frame")
        assert len(history) == 300
        assert before["second"]["at"] - history[-1]["at"] in (0, 1)
        assert before["ready"]
        assert before["routes"]["small"]["rate"] == 0
        assert before["memory"] > 10_000_000
        assert sum(before["bases"][0]["tasks"].values()) == 1
        for _ in range(5):
            server.predict({"inputs": ["a", "b"]})
        server.predict({"inputs": "a", "top_k": 0})
        server.predict({"inputs": "a"}, "nowhere")
        seconds: dict[int, dict] = {}
        while len(seconds) < 8:
            frame = events.until("frame")
            seconds[frame["second"]["at"]] = frame["second"]
            looked = any(second["waiting"] is not None for second in seconds.values())
            # On a busy machine a second may pass in which nobody looked at the queue.
            if looked and sum(second["failed"] for second in seconds.values()) >= 2:
                break
        assert sum(second["failed"] for second in seconds.values()) == 2
        assert sum(second["answered"] for second in seconds.values()) == 5
        assert sum(second["texts"] for second in seconds.values()) == 10
        route = frame["routes"]["small"]
        assert route["rate"] == 0.5
        assert (route["share"], route["failed"]) == (1, 1)
        assert 0 < route["p50"] <= route["p95"] < 1
        assert looked
    with logged_in(server) as client, client.stream("GET", "/console/live?route=small") as answer:
        assert sum(second["failed"] for second in Events(answer).until("history")) == 1


def test_a_stream_ends_with_its_session_and_with_the_server(server: Server) -> None:
    other = server.platform.keys.create("other", "owner")
    server.serving.plane.refresh()
    with browser(server) as client:
        client.post(LOGIN, data={"key": other.secret})
        with client.stream("GET", "/console/live") as answer:
            events = Events(answer)
            events.until("frame")
            server.platform.keys.revoke(other.id)
            assert events.until("end") == {"session": False}
            assert not any(events.rest)
    with logged_in(server) as client, client.stream("GET", "/console/live") as answer:
        events = Events(answer)
        events.until("frame")
        server.serving.plane.drain()
        assert events.until("end") == {"session": True}


def test_streams_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 1)
    with logged_in(server) as client, logged_in(server) as other:

        def status() -> int:
            with other.stream("GET", "/console/live") as answer:
                return answer.status_code

        with client.stream("GET", "/console/live") as answer:
            events = Events(answer)
            events.until("frame")
            assert status() == 429
        del events
        deadline = time.monotonic() + 2
        while status() == 429:
            assert time.monotonic() < deadline, "a page that was closed takes no place"
            time.sleep(0.02)


def test_vendored_scripts_are_what_they_say() -> None:
    folder = Path(app.__file__).parent / "static" / "vendored"
    told = re.findall(
        r"\| `([\w.]+)` .*`([0-9a-f]{64})`", (folder / "README.md").read_text("utf-8")
    )
    assert {name for name, _ in told} == {path.name for path in folder.glob("*.js")}
    for name, digest in told:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
