"""The rooms *Runs* and *Reports* over real sockets: what they show, and that nothing in it runs."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conftest import overwrite
from tests.integration.test_console import logged_in
from tests.server import Server, running

from bessemer.console import runs
from bessemer.console.intervals import around_zero, holding
from bessemer.console.pages import Pages
from bessemer.core.axis import EDGE
from bessemer.core.records import Run
from bessemer.core.report import ERRORS, Measurement
from bessemer.core.verdict import Outcome, Override, Verdict
from bessemer.service.platform import Platform

ROOM, REPORTS = "/console/runs", "/console/reports"
BAD = "<img src=x onerror=alert(1)>"


def first(platform: Platform) -> Run:
    """Return the run that `small@1` came from."""
    return platform.runs.show(platform.releases.show("small@1").run)


def again(platform: Platform, source: str = "", **changes: object) -> Run:
    """Record a run like the first one, perhaps of another source; nothing is computed."""
    like = first(platform)
    resolved = like.resolved
    if source:
        resolved = {**resolved, "data": {**resolved["data"], "source": source}}
    made = platform.runs.begin(like.project, like.recipe, resolved, stages=like.stages)
    kept = {field: getattr(like, field) for field in ("ended_at", "seconds", "report", "judged")}
    kept |= {"state": "succeeded", "reused": ("prepare",), **changes}
    return platform.runs.save(made.model_copy(update=kept))


def test_a_home_without_runs(tmp_path: Path) -> None:
    platform = Platform.open(tmp_path / "home")
    with running(platform) as server, logged_in(server) as client:
        assert "Nothing was run yet." in client.get(ROOM).text
        assert "No model was measured yet." in client.get(REPORTS).text
        for path in (f"{ROOM}/none", f"{REPORTS}/none", f"{REPORTS}/none/page",
                     f"{ROOM}/none/compare/other"):  # fmt: skip
            assert client.get(path).status_code == 404, path
    platform.home.database.close()


def test_runs_are_listed_the_newest_first(shared: Server) -> None:
    run = first(shared.platform)
    best = run.report.metrics[run.report.headline]
    for tongue, words in (("en", ("Begun", "succeeded")), ("zh", ("开始时间", "成功"))):
        with logged_in(shared, **{"Accept-Language": tongue}) as client:
            room = client.get(ROOM).text
        for told in (*words, run.id, "small@1", f"{best.value:.3f}",
                     f"{best.low:.3f} – {best.high:.3f}"):  # fmt: skip
            assert told in room
    assert room.count("<circle") == len(shared.platform.runs.list("small"))


def test_older_runs_are_counted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = again(server.platform)
    older = len(server.platform.runs.list()) - 1  # other tests may have run the project, too
    monkeypatch.setattr(runs, "MOST", 1)
    with logged_in(server) as client:
        for room in (ROOM, REPORTS):
            page = client.get(room).text
            assert f"And {older} older ones" in page
            assert newest.id in page
            assert first(server.platform).id not in page


def test_one_run_and_what_it_leads_to(shared: Server) -> None:
    run = first(shared.platform)
    for tongue, words in (("en", ("Stages", "passed")), ("zh", ("阶段", "通过"))):
        with logged_in(shared, **{"Accept-Language": tongue}) as client:
            page = client.get(f"{ROOM}/{run.id}").text
            for link in (f"{REPORTS}/{run.id}", "/console/data/small.1",
                         "/console/deployments/small"):  # fmt: skip
                assert f'href="{link}"' in page
                assert client.get(link).status_code == 200
        for told in (*words, *run.report.metrics, run.verdict.outcomes[0].because, run.recipe[:12]):
            assert told in page
    assert "data-course" not in page
    assert "hx-get" not in page


def test_a_run_that_goes_on_asks_for_itself(server: Server) -> None:
    like = first(server.platform)
    begun = server.platform.runs.begin("small", like.recipe, like.resolved, stages=like.stages)
    address = f"{ROOM}/{begun.id}"
    with logged_in(server) as client:
        page = client.get(address).text
        assert f'hx-get="{address}" hx-select="#run"' in page
        assert "No stage has ended yet." in page
        assert f'hx-select="#run-{begun.id}"' in client.get(ROOM).text
        course = {"log_loss": (2.0, 0.5), "score": (0.25, 0.875)}
        ended = {"state": "succeeded", "seconds": {"train": 75.0}, "reused": ("prepare",)}
        server.platform.runs.save(begun.model_copy(update={**ended, "course": course}))
        page = client.get(address).text
        assert "hx-get" not in page
        assert '{"log_loss": [2.0, 0.5], "score": [0.25, 0.875]}' in page
        assert "1 min 15 s" in page
        assert client.get(f"{REPORTS}/{begun.id}").status_code == 400


def test_what_went_wrong_is_told_and_stays_text(server: Server) -> None:
    platform = server.platform
    report = first(platform).report
    odd = report.metrics["accuracy"].model_copy(update={"name": f"accuracy {BAD}"})
    metrics = {**report.metrics, odd.name: odd}
    outcome = Outcome(condition=f"is {BAD}", state="failed", because=f"because {BAD}")
    key = platform.keys.create(f"owner {BAD}", "owner")
    override = Override(by=key.id, at=first(platform).started_at, reason=f"wanted {BAD}")
    failed = again(
        platform, f"source {BAD}",
        state="failed", error=f"no such thing {BAD}", report=report.model_copy(
            update={"metrics": metrics}),
        verdict=Verdict(outcomes=(outcome,), override=override),
    )  # fmt: skip
    compared = f"{ROOM}/{failed.id}/compare/{first(platform).id}"
    with logged_in(server) as client:
        page = client.get(f"{ROOM}/{failed.id}").text
        for told in ("no such thing", "because", "wanted", "owner", "accuracy"):
            assert f"{told} &lt;img src=x onerror=alert(1)&gt;" in page
        for path in (f"{ROOM}/{failed.id}", ROOM, REPORTS, f"{REPORTS}/{failed.id}", compared):
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert BAD not in answer.text, path
        assert "overridden" in client.get(REPORTS).text
        assert client.get(f"{ROOM}/{BAD}").status_code == 404
        assert BAD not in client.get(f"{ROOM}/{BAD}").text


def test_two_runs_side_by_side(server: Server) -> None:
    platform = server.platform
    like = first(platform)
    other = again(platform, "长.csv", seconds={"train": 4000.0})
    with logged_in(server) as client:
        assert f'value="{other.id}" required hx-preserve' in client.get(ROOM).text
        chosen = client.get(ROOM, params={"first": other.id, "second": like.id})
        address = f"{ROOM}/{other.id}/compare/{like.id}"
        assert (chosen.status_code, chosen.headers["location"]) == (303, address)
        page = client.get(address).text
        for told in ("data.source", "长.csv", "1 h 6 min", "accuracy", "McNemar", "not told apart"):
            assert told in page
        assert page.count('class="one-2"') == len(like.report.metrics.keys() - ERRORS)
        assert client.get(ROOM, params={"first": other.id}).status_code == 200
        assert client.get(f"{ROOM}/{like.id}/compare/{like.id}").status_code == 400
        wild = client.get(ROOM, params={"first": "//evil", "second": "a?b#c"})
        assert wild.headers["location"] == f"{ROOM}/%2F%2Fevil/compare/a%3Fb%23c"


def test_runs_without_models_are_compared_as_far_as_they_go(server: Server) -> None:
    like = first(server.platform)
    none = again(server.platform, report=None, state="failed", seconds={})
    with logged_in(server) as client:
        page = client.get(f"{ROOM}/{like.id}/compare/{none.id}").text
    assert "Their models cannot be compared." in page
    assert f"The run {none.id} has no report" in page
    assert "All settings are alike." in page


def test_a_report_and_its_sections(shared: Server) -> None:
    run = first(shared.platform)
    for tongue, lang in (("en", "en"), ("zh", "zh-Hans")):
        with logged_in(shared, **{"Accept-Language": tongue}) as client:
            assert f'href="{REPORTS}/{run.id}"' in client.get(REPORTS).text
            page = client.get(f"{REPORTS}/{run.id}").text
            alone = client.get(f"{REPORTS}/{run.id}/page")
        ids = re.findall(r'<a href="#([\w-]+)">', page.split("</nav>")[1])
        assert len(ids) > 4
        for one in ids:
            assert page.count(f'id="{one}"') == 1
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\bsrc=)", page)
        assert alone.headers["content-disposition"] == f'attachment; filename="{run.id}.html"'
        assert alone.headers["content-type"] == "text/html; charset=utf-8"
        assert f'<html lang="{lang}"' in alone.text
    with logged_in(shared) as client:
        style = client.get(f"{REPORTS}/report.css")
        assert style.headers["content-type"].startswith("text/css")
        assert ".report" in style.text
        assert run.id in client.get(f"{REPORTS}/small@1").text


def test_a_split_that_is_worn_out(server: Server) -> None:
    limit = first(server.platform).resolved["evaluate"]["judgements"]
    with logged_in(server) as client:
        again(server.platform, judged=limit)
        assert "worn out" not in client.get(REPORTS).text
        made = again(server.platform, judged=limit + 1)
        assert client.get(REPORTS).text.count("worn out") == 1
        page = client.get(f"{REPORTS}/{made.id}").text
        assert f"{limit + 1} of {limit} at most" in page
        assert "worn out" in page


def test_a_report_that_is_gone(server: Server) -> None:
    run = first(server.platform)
    place = server.platform.home.stages.path("evaluate", run.stages["evaluate"])
    overwrite(place / "report.json", b"{}")
    other = again(server.platform)
    with logged_in(server) as client:
        for path in (f"{REPORTS}/{run.id}", f"{REPORTS}/{run.id}/page"):
            answer = client.get(path)
            assert answer.status_code == 500
            assert "This did not work" in answer.text
        assert client.get(REPORTS).status_code == 200
        assert client.get(f"{ROOM}/{run.id}").status_code == 200
        both = client.get(f"{ROOM}/{run.id}/compare/{other.id}")
        assert both.status_code == 200
        assert "report.json" in both.text  # settings and seconds are there, and why no more


def measured(value: float, low: float, high: float) -> Measurement:
    return Measurement(name="m", value=value, low=low, high=high, count=9, interval="wilson")


def test_values_lie_on_one_axis() -> None:
    found = holding([measured(0.8, 0.76, 0.84), None, measured(0.9, 0.88, 0.93)])
    assert (found.low, found.high) == pytest.approx((0.75, 0.95))
    assert found.at(0.75) == f"{EDGE}.00%"
    assert found.at(0.85) == "50.00%"
    assert found.at(2.0) == f"{100 - EDGE}.00%"
    assert holding([]).high > holding([]).low
    alike = holding([measured(1.0, 1.0, 1.0)])
    assert alike.high > alike.low
    middle = around_zero(measured(-0.02, -0.09, 0.05))
    assert middle.at(0.0) == "50.00%"
    assert (middle.low, middle.high) == pytest.approx((-0.1, 0.1))


def test_errors_lie_on_no_axis_with_what_should_be_high() -> None:
    error = measured(0.01, 0.0, 0.02).model_copy(update={"name": "calibration_error"})
    assert holding([measured(0.9, 0.88, 0.93), error]).low >= 0.85


def test_durations_are_told_as_people_tell_them() -> None:
    told = Pages([])._templates.filters["duration"]
    cases = {0.0123: "12.3 ms", 12.34: "12.3 s", 75.2: "1 min 15 s", 3599.7: "1 h 0 min"}
    for seconds, words in cases.items():
        assert told(seconds) == words
    assert told(timedelta(hours=5, minutes=7).total_seconds()) == "5 h 7 min"
