"""Evaluation through the service: what is measured, what the gate makes of it, who overrides."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import INTENTS, small_rows, write_project
from tests.server import Server, running

from bessemer.client import Client
from bessemer.core.errors import (
    BessemerError,
    CorruptError,
    ForbiddenError,
    ProjectError,
    RequestError,
    UnknownNameError,
)
from bessemer.core.records import Run
from bessemer.core.verdict import Verdict
from bessemer.service.home import open_home
from bessemer.service.platform import Platform
from bessemer.store import tables

#: Whatever is measured of so few rows is far from sure.
RULES = """
name: judged
data: {source: table.csv, split: {test: 0.4, validation: 0.3}}
evaluate:
  resamples: 100
  least: 10
  slices: channel
  protected: gender
  robustness: [typos, case]
  counterfactual: [gender]
  behaviour:
    - {name: polite, must: keep, pairs: [[my toaster broke, please my toaster broke]]}
    - {name: gift, must: be, label: gift_card, texts: [how do I redeem a gift card]}
gate:
  - accuracy: {at_least: 0.3}
  - accuracy: {at_least: 0.1, within: {channel: web}}
  - accuracy: {gap_at_most: 0.9, across: gender}
  - accuracy: {drop_at_most: 0.9, under: typos}
  - behaviour: {at_least: 0, under: polite}
  - size_mb: {at_most: 500}
  - memory_mb: {at_most: 4000}
  - not_worse_than: {than: live, margin: 0.3}
  - leaked: {at_most: 0}
"""


def write(place: Path, rules: str = RULES) -> Path:
    """Write a project whose rows have a channel and a gender that say nothing of the label."""
    place.mkdir(parents=True, exist_ok=True)
    draws = random.Random(0)
    with (place / "table.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label", "channel", "gender"))
        for text, label in small_rows():
            rows.writerow((text, label, draws.choice(("web", "app")), draws.choice(("f", "m"))))
    (place / "bessemer.yaml").write_text(rules)
    return place


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Platform, Path, Run]:
    """Return a home with one release of `judged`, its project and its run."""
    place = tmp_path_factory.mktemp("judged")
    platform = Platform.open(place / "home")
    project = write(place / "project")
    run = platform.run(project, until="release")
    assert run.verdict is not None
    assert run.state == "succeeded", run.verdict.outcomes
    yield platform, project, run
    platform.home.database.close()


def events(platform: Platform, verb: str) -> list[dict]:
    query = sa.select(tables.events.c.subject, tables.events.c.by, tables.events.c.detail)
    query = query.where(tables.events.c.verb == verb)
    with platform.home.database.begin() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def test_a_report_has_a_part_of_every_kind(judged: tuple[Platform, Path, Run]) -> None:
    platform, _, run = judged
    found = platform.reports.show(run.id)
    report = found.report
    assert report == run.report
    kinds = {one.kind for one in report.slices}
    assert {"column", "length", "confidence"} <= kinds
    assert {one.value for one in report.slices if one.column == "channel"} == {"web", "app"}
    assert report.calibration is not None
    assert report.calibration.temperature > 0
    assert [one.name for one in report.robustness] == ["typos", "case"]
    # Lower case is all the tokenizer reads.
    assert report.robustness[1].changed.value == 0
    assert {one.name: one.passed.value for one in report.behaviour}["gift"] == 1
    [fairness] = report.fairness
    assert {group.where["gender"] for group in fairness.groups} == {"f", "m"}
    assert {"latency_ms", "size_mb", "memory_mb"} == set(report.costs)
    assert report.costs["memory_mb"].value > report.costs["size_mb"].value > 5
    assert found.judged == run.judged == 1
    wrong = sum(one.share.value * one.share.count for one in report.confusions)
    shown = {e.row for some in found.examples.confusions.values() for e in some}
    assert 0 < len(shown) <= round(wrong)
    assert found == platform.reports.show("judged@1") == platform.reports.show("judged")


def test_texts_lie_beside_the_report_and_in_no_record(judged: tuple[Platform, Path, Run]) -> None:
    platform, _, run = judged
    text = next(iter(platform.reports.show(run.id).examples.confusions.values()))[0].text
    assert text not in platform.runs.show(run.id).model_dump_json()
    assert text not in platform.releases.show("judged@1").model_dump_json()


def test_the_page_stands_alone(judged: tuple[Platform, Path, Run]) -> None:
    platform, _, run = judged
    for language, word in (("en", "Verdict"), ("zh", "结论")):
        page = platform.reports.page("judged@1", language)
        assert word in page
        assert run.id in page
        assert "src=" not in page
        assert "<script" not in page
    with pytest.raises(UnknownNameError, match="language"):
        platform.reports.page("judged@1", "fr")


def test_judged_again_the_verdict_is_the_same(judged: tuple[Platform, Path, Run]) -> None:
    platform, project, run = judged
    again = platform.run(project, until="release")
    assert again.verdict == run.verdict
    assert again.release == run.release
    assert again.judged == 1  # the same model counts once
    assert set(again.reused) >= {"prepare", "train", "export", "evaluate", "release"}


def test_what_fails_is_released_by_an_owner_alone(tiny: Path, tmp_path: Path) -> None:
    platform = Platform.open(tmp_path / "home")
    rules = f"base: {tiny}\ngate: [{{accuracy: {{at_least: 1}}}}]\n"
    project = write_project(tmp_path / "p", rules)
    failed = platform.run(project)
    assert (failed.state, failed.release) == ("gate failed", None)
    caller = platform.keys.create("somebody").id
    for actor, reason, error in (
        (caller, "because", ForbiddenError),
        ("bsm_none", "because", ForbiddenError),
        ("local", "  ", RequestError),
        ("local", "x" * 1001, RequestError),
    ):
        with pytest.raises(error):
            platform.acting_for(actor).run(project, override=reason)
    assert platform.releases.list() == []
    assert events(platform, "gate overridden") == []
    owner = platform.keys.create("chief", "owner").id
    done = platform.acting_for(owner).run(project, override="the old one leaks")
    assert done.state == "succeeded"
    release = platform.releases.show("small@1")
    assert release.state == "overridden"
    said = release.verdict.override
    assert said is not None
    assert (said.by, said.reason) == (owner, "the old one leaks")
    assert not release.verdict.passed
    [event] = events(platform, "gate overridden")
    assert (event["subject"], event["by"]) == ("small@1", owner)
    assert event["detail"]["reason"] == "the old one leaks"
    assert event["detail"]["conditions"] == ["accuracy at least 1"]
    # What is signed tells it, too, and the route serves it.
    platform.releases.verify("small@1")
    bundle = platform.releases.bundle(release)
    assert Verdict.model_validate_json((bundle / "verdict.json").read_text()) == release.verdict
    assert "the old one leaks" in (bundle / "README.md").read_text()
    assert platform.deployments.live("small").release == "small@1"
    # Without a reason nothing new gets by.
    assert platform.run(project).state == "gate failed"
    platform.home.database.close()


def test_two_models_on_the_same_rows(judged: tuple[Platform, Path, Run]) -> None:
    platform, project, run = judged
    other = project.parent / "other"
    worse = RULES.replace("name: judged", "name: judged\ntrain: {strengths: [0.0001]}")
    second = platform.run(write(other, worse), until="evaluate")
    assert second.judged == 2
    found = platform.compare(run.id, second.id)
    assert found.ours.value == run.report.metrics["accuracy"].value
    assert found.theirs.value == second.report.metrics["accuracy"].value
    gain = found.difference
    assert gain.value == pytest.approx(found.ours.value - found.theirs.value)
    assert gain.low <= gain.value <= gain.high
    assert found.only_first - found.only_second == round(gain.value * gain.count)
    assert found.left_out == 0
    turned = platform.compare(second.id, "judged@1")
    assert turned.difference.value == pytest.approx(-gain.value)
    assert turned.p == found.p
    both = platform.runs.compare(run.id, second.id)
    assert {change.key for change in both.changed} == {"train.strengths"}
    assert both.comparison == found
    with pytest.raises(UnknownNameError, match="run or release"):
        platform.compare(run.id, "judged@9")


def test_models_with_few_rows_in_common_are_not_compared(
    judged: tuple[Platform, Path, Run], tmp_path: Path
) -> None:
    platform, _, run = judged
    other = write(tmp_path / "other", RULES.replace("name: judged", "name: other\nseed: 7"))
    table = other / "table.csv"
    table.write_text("".join(table.read_text().splitlines(True)[:70]))
    made = platform.run(other, until="evaluate")
    with pytest.raises(RequestError, match=r"test rows in common; 30 or more"):
        platform.compare(run.id, made.id)
    both = platform.runs.compare(run.id, made.id)
    assert both.comparison is None
    assert "in common" in both.because


def test_reports_that_are_gone_or_never_were(judged: tuple[Platform, Path, Run]) -> None:
    platform, project, _ = judged
    prepared = platform.run(project, until="prepare")
    with pytest.raises(RequestError, match="has no report"):
        platform.reports.show(prepared.id)
    old = platform.runs.begin("judged", "recipe", {})
    report = platform.reports.show("judged@1").report
    platform.runs.save(old.model_copy(update={"report": report, "state": "succeeded"}))
    with pytest.raises(RequestError, match="older Bessemer"):
        platform.reports.show(old.id)
    resolved = platform.runs.show(prepared.id).resolved
    lost = platform.runs.begin("judged", "recipe", resolved, stages={"evaluate": "0" * 64})
    platform.runs.save(lost.model_copy(update={"report": report, "state": "succeeded"}))
    with pytest.raises(CorruptError, match="gone"):
        platform.reports.show(lost.id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("slices: channel", "slices: chanel"), "no column 'chanel'.*Did you mean 'channel'"),
        (("within: {channel: web}", "within: {chanel: web}"), "no column 'chanel'"),
        (("across: gender", "across: gendre"), "no column 'gendre'"),
        (("[typos, case]", "[typo]"), "line 9: .*Did you mean 'typos'"),
        (("counterfactual: [gender]", "counterfactual: [sex]"), "line 10: .*'sex'"),
        (("under: typos", "under: typoz"), "line 18: .*Did you mean 'typos'"),
        (("slices: channel", "slices: text"), "'text' tells every row from every other"),
        (("channel: web", "channel: fax"), "no test row with channel = 'fax'.*Known: app, web"),
        (("label: gift_card,", "label: giftcard,"), "gift_card"),
        (("must: keep", "must: stay"), "line 12"),
        (("protected: gender", "protected: gender\n  favourable: [gold]"), "'gold'"),
        (("protected: gender", "protected: gender\n  judgements: 0"), "judgements"),
        (("under: typos", "under: negation"), "no answer is known to be right"),
        (("under: polite", "under: rude"), "'rude'"),
        (("under: typos", "under: all"), "line 18: .*about one perturbation"),
        (("accuracy: {at_least: 0.3}", "recall: {at_least: 0.3, label: gift}"), "'gift'"),
        (
            ("protected: gender", "protected: gender\n  favourable: ALL"),
            "names every label",
        ),
    ],
)
def test_what_is_named_wrongly_is_told_before_anything_slow_runs(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    platform = Platform.open(tmp_path / "home")
    assert change[0] in RULES
    change = (change[0], change[1].replace("ALL", f"[{', '.join(INTENTS)}]"))
    with pytest.raises((ProjectError, UnknownNameError), match=f"(?s){message}"):
        platform.check(write(tmp_path / "p", RULES.replace(*change)))
    platform.home.database.close()


MITIGATED = """
name: fair
base: BASE
data: {source: table.csv, split: {test: 0.4, validation: 0.4}}
evaluate:
  {resamples: 100, least: 5, find_slices: false, protected: [gender], favourable: [gift_card]}
train: {mitigation: MITIGATION}
gate: [{accuracy: {at_least: 0}}]
"""


def test_a_mitigation_is_held_against_the_model_without_it(tiny: Path, tmp_path: Path) -> None:
    platform = Platform.open(tmp_path / "home")
    place, rules = tmp_path / "p", MITIGATED.replace("BASE", str(tiny))
    done = platform.run(write(place, rules.replace("MITIGATION", "reweigh")), until="evaluate")
    told = done.report.mitigated
    assert told.mitigation == "reweigh"
    assert done.judged == 2  # the model without it was measured on these rows, too
    assert told.after == done.report.metrics["accuracy"]
    assert told.price.value == pytest.approx(told.after.value - told.before.value)
    assert [one.across for one in told.fairness] == [("gender",)]
    assert not told.caution
    plain = platform.run(
        write(place, rules.replace("train: {mitigation: MITIGATION}", "")), until="evaluate"
    )
    assert plain.report.metrics["accuracy"] == told.before
    assert {"train", "export", "evaluate"} <= set(plain.reused)
    platform.home.database.close()


def test_thresholds_by_group_are_served_to_who_says_the_group(tiny: Path, tmp_path: Path) -> None:
    platform = Platform.open(tmp_path / "home")
    rules = MITIGATED.replace("BASE", str(tiny)).replace("MITIGATION", "group-thresholds")
    done = platform.run(write(tmp_path / "p", rules))
    assert "unlawful" in done.report.mitigated.caution
    bundle = platform.releases.bundle(platform.releases.show("fair@1"))
    path = bundle / "bundle.json"
    thresholds = json.loads(path.read_text())["group_thresholds"]
    assert thresholds["across"] == ["gender"]
    assert thresholds["labels"] == ["gift_card"]
    assert set(thresholds["offsets"]) == {"f", "m"}
    text = "how do I redeem a gift card"
    with running(platform) as server:

        def score(**more: object) -> float:
            body = {"inputs": text, "top_k": 4, **more}
            answer = server.predict(body, route="fair").json()
            return {one["label"]: one["score"] for one in answer}["gift_card"]

        plain = score()
        for group, offset in thresholds["offsets"].items():
            moved = score(group=group) - plain
            assert (moved > 0) == (offset > 0)
            assert (moved < 0) == (offset < 0)
        wrong = server.predict({"inputs": text, "group": "x"}, route="fair")
        assert wrong.status_code == 400
        assert "'f', 'm'" in wrong.json()["error"]
    platform.home.database.close()


def test_a_release_without_thresholds_knows_no_group(shared: Server) -> None:
    answer = shared.predict({"inputs": "refund", "parameters": {"group": "f"}})
    assert answer.status_code == 400
    assert "no thresholds of groups" in answer.json()["error"]


def test_the_same_at_a_distance(judged: tuple[Platform, Path, Run], tmp_path: Path) -> None:
    platform, _, run = judged
    with running(platform) as server:
        client = Client(server.url, server.owner)
        assert client.reports.show("judged@1") == platform.reports.show("judged@1")
        assert client.reports.page("judged@1", "zh") == platform.reports.page("judged@1", "zh")
        assert client.compare(run.id, "judged@1") == platform.compare(run.id, "judged@1")
        assert client.runs.compare(run.id, run.id) == platform.runs.compare(run.id, run.id)
        with pytest.raises(BessemerError, match="run or release"):
            client.reports.show("nothing")
        with pytest.raises(BessemerError, match="language"):
            client.reports.page("judged@1", "fr")
        strict = write(tmp_path / "p", RULES.replace("at_least: 0.3", "at_least: 1"))
        assert client.run(strict, until="release").state == "gate failed"
        done = client.run(strict, until="release", override="agreed with legal")
        assert done.verdict.override.reason == "agreed with legal"
        assert platform.releases.show(done.release).state == "overridden"


def test_an_unknown_home_has_judged_nothing(tmp_path: Path) -> None:
    from bessemer.service import judgements

    home = open_home(tmp_path / "home")
    assert [judgements.count(home, "t", model, "r") for model in "aab"] == [1, 1, 2]
    assert judgements.count(home, "u", "a", "r") == 1
    home.database.close()
