"""Labelling campaigns in a real SQLite file and on a real PostgreSQL: leases, answers, kills."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from tests.conftest import small_rows

from bessemer.core.errors import ConflictError, DataError, RequestError, UnknownNameError
from bessemer.core.labelling import Imported, NewCampaign, NewItem, Suggestion
from bessemer.core.project import Project
from bessemer.service.home import open_home
from bessemer.service.labels import labelled
from bessemer.service.labels.campaigns import Campaigns
from bessemer.service.platform import Platform
from bessemer.store import tables

if TYPE_CHECKING:
    from tests.server import Server

LABELS = ("refund", "delivery", "other")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def campaigns(url: str, tmp_path: Path, clock: Clock) -> Iterator[Campaigns]:
    home = open_home(tmp_path / "home", clock=clock)
    yield Campaigns(home)
    home.database.close()


def texts(count: int, **fields: Any) -> list[NewItem]:
    return [NewItem(key=f"k{n}", text=f"text {n}", **fields) for n in range(1, count + 1)]


def begin(campaigns: Campaigns, items: list[NewItem], **asked: Any) -> str:
    return campaigns.new(NewCampaign(project="support", labels=LABELS, **asked), items).id


def label_all(
    campaigns: Campaigns, campaign: str, annotator: str, label: str = "refund"
) -> list[int]:
    """Label all that an annotator is asked, and return the numbers."""
    done = []
    while (item := campaigns.next(campaign, annotator)) is not None:
        campaigns.say(campaign, item.number, annotator, label=label, seconds=2.0)
        done.append(item.number)
    return done


def test_items_are_leased_answered_and_leased_to_others_in_time(
    campaigns: Campaigns, clock: Clock
) -> None:
    name = begin(campaigns, texts(3), overlap=2)
    assert campaigns.next(name, "ann").number == 1
    assert campaigns.next(name, "ann").number == 1
    second = campaigns.next(name, "bob")
    assert (second.number, second.leased_to) == (1, ("ann", "bob"))
    assert campaigns.next(name, "cem").number == 2
    assert campaigns.say(name, 3, "eve", label="other", seconds=9e9).seconds == 600
    said = campaigns.say(name, 1, "ann", label="refund", seconds=1.5, suggested=False)
    assert (said.label, said.seconds, said.suggested, said.at) == ("refund", 1.5, False, clock.now)
    assert campaigns.say(name, 1, "ann", label="refund", seconds=9.0) == said
    with pytest.raises(ConflictError, match="answered item 1"):
        campaigns.say(name, 1, "ann", label="other")
    # Bob went home: the place is given to others, who were past it already.
    clock.now += timedelta(minutes=9)
    assert campaigns.next(name, "cem").number == 2
    clock.now += timedelta(minutes=2)
    assert campaigns.next(name, "dee").number == 1
    with pytest.raises(ConflictError, match="all its answers, or others"):
        campaigns.say(name, 1, "bob", label="refund")
    campaigns.say(name, 1, "dee", label="refund")
    with pytest.raises(ConflictError, match="all its answers"):
        campaigns.say(name, 1, "bob", label="refund")
    # Nobody took item 2 from Cem, whose lease has ended as well: the answer is welcome.
    clock.now += timedelta(minutes=20)
    assert campaigns.say(name, 2, "cem", label="other").item == 2
    assert label_all(campaigns, name, "bob") == [2, 3]


def test_the_item_after_the_next_one_is_held(campaigns: Campaigns, clock: Clock) -> None:
    def held(annotator: str) -> list[int]:
        return [item.number for item in campaigns.hold(name, annotator)]

    name = begin(campaigns, texts(6), budget_labels=5)
    assert (held("ann"), held("ann"), held("bob")) == ([1, 2], [1, 2], [3, 4])
    campaigns.say(name, 1, "ann", label="refund")
    assert campaigns.next(name, "ann").number == 2
    assert (held("ann"), held("cem")) == ([2, 5], []), "the budget is spent"
    clock.now += timedelta(minutes=11)
    assert (held("cem"), held("ann")) == ([2, 3], [4, 5])


def test_a_skipped_item_is_for_others(campaigns: Campaigns) -> None:
    name = begin(campaigns, texts(2))
    assert campaigns.next(name, "ann").number == 1
    assert campaigns.next(name, "bob").number == 2
    campaigns.say(name, 1, "ann", skipped=" not my language ")
    assert campaigns.next(name, "ann") is None
    campaigns.say(name, 2, "bob", label="other")
    assert label_all(campaigns, name, "bob") == [1]
    shown = campaigns.show(name)
    assert (shown.done, shown.answers, shown.skipped) == (2, 2, 1)
    assert [vote.skipped for vote in campaigns.answers(name)] == ["not my language", "", ""]


def test_undo_withdraws_and_deletes_nothing(campaigns: Campaigns) -> None:
    name = begin(campaigns, texts(3))
    for label in ("refund", "delivery"):
        campaigns.say(name, campaigns.next(name, "ann").number, "ann", label=label)
    assert campaigns.next(name, "ann").number == 3
    assert campaigns.undo(name, "ann").number == 2
    assert campaigns.undo(name, "ann").number == 1
    # Two items are before her again, and what she has not begun is for others.
    assert campaigns.next(name, "bob").number == 3
    assert campaigns.next(name, "ann").number == 1
    assert campaigns.answers(name) == []
    with pytest.raises(ConflictError, match="no answer"):
        campaigns.undo(name, "ann")
    campaigns.say(name, 1, "ann", label="other")
    assert campaigns.next(name, "ann").number == 2
    home = campaigns._home
    with home.database.begin() as connection:
        query = sa.select(tables.answers.c.label).order_by(tables.answers.c.id)
        kept = connection.execute(query).scalars().all()
    assert kept == ["refund", "delivery", "other"]
    assert campaigns.show(name).labels == {"other": 1}


def test_budgets_end_it(campaigns: Campaigns) -> None:
    name = begin(campaigns, texts(9), budget_labels=4)
    campaigns.next(name, "ann")
    # What ann has before her is spent already.
    assert label_all(campaigns, name, "bob") == [2, 3, 4]
    assert campaigns.next(name, "bob") is None
    assert label_all(campaigns, name, "ann") == [1]
    assert campaigns.next(name, "ann") is None
    campaigns.undo(name, "ann")
    assert label_all(campaigns, name, "ann") == [1]
    name = begin(campaigns, texts(9), budget_minutes=0.1)
    assert label_all(campaigns, name, "ann") == [1, 2, 3]
    assert campaigns.show(name).minutes == pytest.approx(0.1)


def test_known_answers_are_put_to_all_and_count_as_no_labels(campaigns: Campaigns) -> None:
    items = [*texts(2), NewItem(key="gold", text="refund!", gold="refund"), *texts(4)[2:]]
    name = begin(campaigns, items, budget_labels=4)
    assert label_all(campaigns, name, "ann", "delivery") == [1, 2, 3, 4, 5]
    assert campaigns.next(name, "bob") is None
    name = begin(campaigns, items)
    assert label_all(campaigns, name, "ann", "delivery") == [1, 2, 3, 4, 5]
    assert label_all(campaigns, name, "bob", "refund") == [3]
    shown = campaigns.show(name)
    assert (shown.items, shown.done, shown.answers, shown.gold) == (4, 4, 4, 1)
    people = {one.name: (one.labelled, one.gold, one.gold_right) for one in shown.annotators}
    assert people == {"ann": (4, 1, 0), "bob": (0, 1, 1)}
    assert campaigns.disagreements(name) == []
    with pytest.raises(ConflictError, match="is known"):
        campaigns.settle(name, 3, "eve", "refund")


def test_disagreements_are_settled(campaigns: Campaigns, tmp_path: Path) -> None:
    name = begin(campaigns, texts(4), overlap=2)
    label_all(campaigns, name, "ann", "refund")
    for label in ("refund", "delivery", "other", "refund"):
        campaigns.say(name, campaigns.next(name, "bob").number, "bob", label=label, seconds=4)
    found = campaigns.disagreements(name)
    assert [one.item.number for one in found] == [2, 3]
    assert campaigns.disagreements(name, most=1) == found[:1]
    assert [(vote.annotator, vote.label) for vote in found[0].said] == [
        ("ann", "refund"), ("bob", "delivery"),
    ]  # fmt: skip
    shown = campaigns.show(name)
    assert (shown.disputed, shown.done, shown.answers) == (2, 4, 8)
    (pair,) = shown.pairs
    assert (pair.first, pair.second, pair.both, pair.kappa) == ("ann", "bob", 4, 0.0)
    assert [one.seconds for one in shown.annotators] == [2.0, 4.0]
    assert all(0 < one.accuracy < 1 for one in shown.annotators)
    campaigns.settle(name, 2, "eve", "other")
    said = campaigns.settle(name, 2, "eve", "delivery")
    assert said.final
    assert [campaigns.undo(name, "bob").number for _ in range(2)] == [4, 3]
    with pytest.raises(ConflictError, match="settled"):
        campaigns.undo(name, "bob")
    assert [one.item.number for one in campaigns.disagreements(name)] == []
    home = campaigns._home
    found = labelled.labelled(home, "support")
    rows = [(row["key"], row["annotator"], row["label"]) for row in found]
    assert sorted(rows) == [
        ("k1", "ann", "refund"), ("k1", "bob", "refund"), ("k2", "eve", "delivery"),
        ("k3", "ann", "refund"), ("k4", "ann", "refund"),
    ]  # fmt: skip
    assert labelled.snapshot(home, "nothing", tmp_path) is None
    one, other = (labelled.snapshot(home, "support", tmp_path / part) for part in "ab")
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def test_answers_name_the_guideline_that_was_shown(campaigns: Campaigns) -> None:
    asked = NewCampaign(project="support", labels=LABELS)
    name = campaigns.new(asked, texts(3), "Money back is a refund.").id
    campaigns.say(name, campaigns.next(name, "ann").number, "ann", label="refund")
    assert campaigns.guide(name, "A voucher is a refund, too.").version == 2
    campaigns.say(name, campaigns.next(name, "ann").number, "ann", label="refund")
    assert [vote.guideline for vote in campaigns.answers(name)] == [1, 2]
    assert campaigns.show(name).guideline.text == "A voucher is a refund, too."
    with pytest.raises(RequestError, match="guideline"):
        campaigns.guide(name, " ")
    home = campaigns._home.acting_for("0123")
    Campaigns(home).close(name)
    assert campaigns.next(name, "ann") is None
    with pytest.raises(ConflictError, match="closed"):
        campaigns.say(name, 3, "ann", label="refund")
    campaigns.open(name)
    with home.database.begin() as connection:
        query = sa.select(tables.events.c.verb, tables.events.c.by)
        events = connection.execute(query.order_by(tables.events.c.number)).all()
    assert [tuple(event) for event in events] == [
        ("campaign begun", "local"), ("guideline written", "local"), ("items added", "local"),
        ("guideline written", "local"), ("campaign closed", "0123"), ("campaign opened", "local"),
    ]  # fmt: skip


def test_what_is_wrong_is_said(campaigns: Campaigns) -> None:
    name = begin(campaigns, texts(1))
    with pytest.raises(UnknownNameError, match="mean 'refund'"):
        campaigns.say(name, 1, "ann", label="refunds")
    with pytest.raises(RequestError, match="either a label or a reason"):
        campaigns.say(name, 1, "ann")
    with pytest.raises(RequestError, match="length of time"):
        campaigns.say(name, 1, "ann", label="other", seconds=float("nan"))
    with pytest.raises(RequestError, match="annotator"):
        campaigns.next(name, "a\nb")
    with pytest.raises(UnknownNameError, match="item"):
        campaigns.say(name, 7, "ann", label="other")
    with pytest.raises(UnknownNameError, match="support@1"):
        campaigns.show("suport@1")
    spans = NewCampaign(project="p", task="token-classification", labels=("city",))
    name = campaigns.new(spans, [NewItem(key="a", text="in Paris")]).id
    with pytest.raises(RequestError, match="does not lie in the text"):
        campaigns.say(name, 1, "ann", label='[{"start": 3, "end": 9, "label": "city"}]')
    for item, reason in (
        (NewItem(key="b", text="half \ud800"), "half a character"),
        (NewItem(key="b", text="x", gold="town"), "town"),
        (NewItem(key="b", text="x", suggestions=(Suggestion(label="town", score=1),)), "town"),
        (NewItem(key="", text="x"), "key"),
        (NewItem(key="b", text=" "), "neither text nor image"),
    ):
        with pytest.raises(DataError, match=reason):
            campaigns.add(name, [NewItem(key="fine", text="fine"), item])
    assert campaigns.add(name, [*texts(2), *texts(3)]) == 3
    assert campaigns.add(name, texts(4)) == 1
    assert [item.key for item in campaigns.items(name)] == ["a", "k1", "k2", "k3", "k4"]


def _race(campaigns: Campaigns, name: str, annotator: str, ready: Any, told: Any) -> None:
    ready.wait(60)
    while (item := campaigns.next(name, annotator)) is not None:
        time.sleep(0.01)
        campaigns.say(name, item.number, annotator, label=LABELS[item.number % 3])
    told.put(annotator)


def _race_alone(root: str, *arguments: Any) -> None:
    _race(Campaigns(open_home(root)), *arguments)


def test_nobody_gets_the_lease_of_another(campaigns: Campaigns, clock: Clock) -> None:
    """Two processes and two threads, each an annotator, want two labels an item.

    A place that two of them got would be an answer too many, or one that is refused.
    """
    clock.now = datetime.now(UTC)  # the processes have no other
    name = begin(campaigns, texts(60), overlap=2)
    root = str(campaigns._home.root)
    context = multiprocessing.get_context("spawn")
    told, ready = context.Queue(), context.Barrier(4)
    both = (name, "t1", ready, told), (name, "t2", ready, told)
    alone = (root, name, "p1", ready, told), (root, name, "p2", ready, told)
    workers: list[Any] = [context.Process(target=_race_alone, args=args) for args in alone]
    workers += [threading.Thread(target=_race, args=(campaigns, *args)) for args in both]
    for worker in workers:
        worker.start()
    assert sorted(told.get(timeout=90) for _ in workers) == ["p1", "p2", "t1", "t2"]
    for worker in workers:
        worker.join()
    answers = campaigns.answers(name)
    assert Counter(vote.item for vote in answers) == dict.fromkeys(range(1, 61), 2)
    assert len({(vote.item, vote.annotator) for vote in answers}) == 120
    # SQLite lets nobody wait in line: one of them may come late to all items.
    assert {vote.annotator[0] for vote in answers} == {"p", "t"}
    assert campaigns.show(name).alpha == 1.0


def _say_all(root: str, name: str, acknowledged: str) -> None:
    campaigns = Campaigns(open_home(root))
    with Path(acknowledged).open("a", buffering=1) as file:
        while (item := campaigns.next(name, "ann")) is not None:
            said = campaigns.say(name, item.number, "ann", label="other")
            file.write(f"{said.id} {said.item}\n")


def test_an_acknowledged_answer_survives_a_kill(tmp_path: Path) -> None:
    campaigns = Campaigns(open_home(tmp_path / "home"))
    name = begin(campaigns, texts(5_000))
    acknowledged = tmp_path / "acknowledged"
    context = multiprocessing.get_context("spawn")
    for round_ in (1, 2):
        arguments = (str(tmp_path / "home"), name, str(acknowledged))
        process = context.Process(target=_say_all, args=arguments)
        process.start()
        deadline = time.monotonic() + 30
        while not acknowledged.exists() or acknowledged.read_bytes().count(b"\n") < 20 * round_:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kept = {f"{vote.id} {vote.item}" for vote in campaigns.answers(name)}
        told = set(acknowledged.read_text().splitlines())
        # At most the answer whose acknowledgement was killed is there beyond those.
        assert told <= kept
        assert len(kept - told) <= round_
    assert campaigns.next(name, "ann").number == len(kept) + 1
    campaigns._home.database.close()


def test_every_door_leads_to_them(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Here, since processes that begin with this file need neither.
    from bessemer.cli.main import run
    from bessemer.client import Client

    here = server.platform.campaigns
    name = begin(here, texts(4), overlap=2, budget_labels=100)
    label_all(here, name, "ann")
    label_all(here, name, "bob <b>", "other")
    here.settle(name, 1, "eve", "other")
    there = Client(server.url, server.owner).campaigns
    assert there.list() == there.list("support") == here.list()
    assert there.show(name) == here.show("support")
    assert there.guide(name, "Money back.").version == 1
    assert there.close(name).state == "closed"
    assert there.open(name).state == "open"
    for form in ("items.json", "items.csv"):
        there.export(name, tmp_path / form)
        here.export(name, tmp_path / f"here-{form}")
        assert (tmp_path / form).read_bytes() == (tmp_path / f"here-{form}").read_bytes()
    second = begin(here, [])
    assert there.import_(second, tmp_path / "items.csv") == Imported(items=4, votes=9)
    (tmp_path / "odd.csv").write_text("a,b")
    with pytest.raises(DataError, match="columns are"):
        there.import_(second, tmp_path / "odd.csv")
    with pytest.raises(UnknownNameError, match="campaign"):
        there.show("nothing")
    answered = server.http.get("/api/v1/campaigns")
    assert answered.status_code == 403, "callers label nothing"

    at = ("--home", str(here._home.root))
    assert run(["campaigns", "show", name, *at]) == 0
    shown = capsys.readouterr().out
    for part in ("support@1 open", "4 of 4 items (100%)", "8 of 100 labels", "3 disputed",
                 "alpha -0.750", "bob <b>", "Money back."):  # fmt: skip
        assert part in shown
    assert run(["campaigns", "show", second, "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == 8
    (tmp_path / "guide.txt").write_text("Nothing else.")
    for command in (
        ("list",), ("close", name), ("open", name), ("guide", name, str(tmp_path / "guide.txt")),
        ("export", name, str(tmp_path / "x.jsonl"), "--joined"),
        ("import", second, str(tmp_path / "items.json")),
    ):  # fmt: skip
        assert run(["campaigns", *command, *at]) == 0
        assert run(["campaigns", *command, "--json", *at]) == 0
    out = capsys.readouterr().out
    assert "support@2" in out
    assert "guideline 2 is shown" in out
    assert '"votes": 0' in out
    rows = (tmp_path / "x.jsonl").read_text().splitlines()
    assert json.loads(rows[0]) == {"key": "k1", "text": "text 1", "label": "other"}


def test_many_are_asked_and_judged_at_once(tmp_path: Path) -> None:
    """Seconds of this process, so that others on the machine do not count."""
    campaigns = Campaigns(open_home(tmp_path))
    name = begin(campaigns, texts(20_000), overlap=2)
    path = tmp_path / "x.jsonl"
    with path.open("w") as file:
        for item in range(1, 10_001):
            for annotator in ("ann", "bob"):
                label = LABELS[(item % 2) if item % 10 or annotator == "ann" else 2]
                row = {"key": f"k{item}", "text": f"text {item}", "label": label}
                file.write(json.dumps(row | {"annotator": annotator}) + "\n")
    assert campaigns.import_(name, path).votes == 20_000
    began = time.process_time()
    shown = campaigns.show(name)
    assert time.process_time() - began < 1
    assert (shown.answers, shown.done, shown.disputed) == (20_000, 10_000, 1_000)
    assert shown.pairs[0].kappa == pytest.approx(0.9 / 1.1, abs=0.05)
    assert campaigns.next(name, "ann").number == 10_001
    began = time.process_time()
    for _ in range(20):
        item = campaigns.next(name, "ann")
        campaigns.say(name, item.number, "ann", label="other")
    assert (time.process_time() - began) / 20 < 0.02
    campaigns._home.database.close()


def test_what_people_say_is_learnt_from(tmp_path: Path, project: Path) -> None:
    """The next run has the new row and the corrected label; one after it does nothing."""
    platform = Platform.open(tmp_path / "home")
    first = platform.check(project).dataset
    text, label = small_rows()[0]
    other = next(name for name in first.labels if name != label)
    asked = [NewItem(key="1", text=text), NewItem(key="pool", text="something else to be learnt")]
    new = NewCampaign(project="small", task="text-classification", labels=first.labels)
    campaign = platform.campaigns.new(new, asked)
    while (item := platform.campaigns.next(campaign.id, "ann")) is not None:
        platform.campaigns.say(campaign.id, item.number, "ann", label=other)
    second = platform.check(project).dataset
    assert sum(second.counts.values()) == sum(first.counts.values()) + 1
    assert [(one.rule, one.rows) for one in second.findings if one.action == "relabelled"] == [
        ("labelled by people", (1,))
    ]
    assert second.source_digests.keys() == {"source", "labels"}
    assert platform.prepare(project).reused == ("prepare",)


def test_nobody_is_stuck_at_an_item_that_needs_no_answer(campaigns: Campaigns) -> None:
    name = begin(campaigns, texts(3))
    assert campaigns.next(name, "ann").number == 1
    campaigns.settle(name, 1, "owner", "refund")
    assert campaigns.next(name, "ann").number == 2
    campaigns.say(name, 2, "ann", skipped="unclear")
    assert campaigns.next(name, "bob").number == 2
    with pytest.raises(ConflictError, match="others have it"):
        campaigns.undo(name, "ann")
    assert campaigns.say(name, 2, "bob", label="refund").label == "refund"


def test_a_budget_holds_for_who_did_not_ask(campaigns: Campaigns) -> None:
    name = begin(campaigns, texts(4), budget_labels=2)
    for number in (1, 2):
        campaigns.say(name, number, "ann", label="refund")
    with pytest.raises(ConflictError, match="budget"):
        campaigns.say(name, 3, "ann", label="refund")


def test_what_is_settled_stands_in_all_campaigns_of_a_kind(
    campaigns: Campaigns, tmp_path: Path
) -> None:
    first, second = begin(campaigns, texts(1)), begin(campaigns, texts(1), overlap=2)
    other = begin(campaigns, texts(1), separator="|")
    campaigns.settle(first, 1, "owner", "refund")
    for who in ("ann", "bob"):
        campaigns.say(second, 1, who, label="delivery")
    campaigns.say(other, 1, "ann", label="refund|delivery")
    project = Project.model_validate({"name": "shop", "data": {"source": "t.csv"}})
    name = campaigns.list()[0].project
    found = labelled.snapshot(campaigns._home, name, tmp_path / "labels", project)
    lines = [json.loads(line) for line in found.read_text().splitlines()]
    assert [(line["label"], line["final"]) for line in lines] == [("refund", True)]


def test_an_undo_that_is_sent_twice_takes_back_one_answer(campaigns: Campaigns) -> None:
    name = begin(campaigns, texts(3))
    for number in (1, 2):
        assert campaigns.next(name, "ann").number == number
        campaigns.say(name, number, "ann", label="refund")
    for _ in range(2):
        assert campaigns.undo(name, "ann", 2).number == 2
    assert [said.item for said in campaigns.answers(name)] == [1]
    assert campaigns.next(name, "ann").number == 2
