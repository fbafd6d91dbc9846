"""Labelled items written to each form and read back, and files that are not what they say."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bessemer.core.errors import DataError, RequestError, TooLargeError, UnknownNameError
from bessemer.core.labelling import Imported, Labelled, NewCampaign, NewItem, Suggestion
from bessemer.prepare.forms import base
from bessemer.prepare.forms.base import FORMS
from bessemer.service.home import open_home
from bessemer.service.labels import files
from bessemer.service.labels.campaigns import Campaigns

ONE = NewCampaign(project="p", labels=("refund", "=cmd", "a b"), overlap=2)
SEVERAL = NewCampaign(project="p", labels=("refund", "=cmd"), separator="|", overlap=2)
SPANS = NewCampaign(project="p", task="token-classification", labels=("city", "day"), overlap=2)
#: As people type them, and as attackers do.
TEXTS = (
    "in 😀 Paris, on Monday 中文", '=HYPERLINK("http://x")', "'=1", "''", "@a", "-1", "\t|",
    "＝1", "<script>alert(1)</script>", 'a "quoted", and\r\na second line',
    "\u2028 odd \x1c breaks",
)  # fmt: skip
CITY = '[{"start": 5, "end": 10, "label": "city"}, {"start": 15, "end": 21, "label": "day"}]'


@pytest.fixture
def campaigns(tmp_path: Path) -> Iterator[Campaigns]:
    home = open_home(tmp_path / "home")
    yield Campaigns(home)
    home.database.close()


def items(asked: NewCampaign) -> list[NewItem]:
    place = {"start": 5, "end": 10} if asked is SPANS else {}
    hint = Suggestion(label=asked.labels[0], score=0.75, **place)
    first = NewItem(key="k, 1 é=", text=TEXTS[0], suggestions=(hint,))
    rest = [NewItem(key=f"={n}", text=text) for n, text in enumerate(TEXTS[1:])]
    rest.append(NewItem(key="gold", text="gold", gold=answers(asked)[1]))
    if asked is ONE:
        rest[-2] = NewItem(key="image\u3000", text="", image="0f" * 32)
    return [first, *rest]


def answers(asked: NewCampaign) -> tuple[str, str]:
    if asked is SPANS:
        return CITY, "[]"
    return ("refund", "=cmd") if asked is ONE else ("refund|=cmd", "")


def fill(campaigns: Campaigns, asked: NewCampaign) -> str:
    """Begin a campaign in which two have labelled, skipped and been settled."""
    name = campaigns.new(asked, items(asked)).id
    one, other = answers(asked)
    for annotator, label in (("ann@example.org", one), ("=bob", other)):
        said = campaigns.next(name, annotator)
        campaigns.say(name, said.number, annotator, label=label, seconds=1.25)
        while (item := campaigns.next(name, annotator)) is not None:
            what = {"skipped": "=too, long"} if item.number == 2 else {"label": other}
            campaigns.say(name, item.number, annotator, **what, suggested=item.number % 2 == 0)
    campaigns.settle(name, 1, "eve", one)
    return name


def kept(campaigns: Campaigns, name: str) -> list[Labelled]:
    found = next(one for one in campaigns.list() if one.id == name)
    return list(files.labelled(campaigns._home, found))


@pytest.mark.parametrize("asked", [ONE, SEVERAL, SPANS], ids=["one", "several", "spans"])
@pytest.mark.parametrize("form", sorted({*FORMS.names()} - {"conll"}))
def test_what_is_exported_is_imported(
    campaigns: Campaigns, asked: NewCampaign, form: str, tmp_path: Path
) -> None:
    name = fill(campaigns, asked)
    path = campaigns.export(name, tmp_path / f"items{FORMS.load(form).suffix}")
    other = campaigns.new(asked).id
    assert campaigns.import_(other, path) == Imported(items=12, votes=25)
    assert campaigns.import_(other, path, form) == Imported(items=0, votes=0)
    wanted = kept(campaigns, name)
    if form == "csv":
        wanted = [item.model_copy(update={"suggestions": ()}) for item in wanted]
    assert kept(campaigns, other) == wanted
    before, after = campaigns.show(name), campaigns.show(other)
    assert after.model_copy(update={"campaign": before.campaign}) == before


def test_conll_holds_spans_and_finds_them_again(campaigns: Campaigns, tmp_path: Path) -> None:
    name = fill(campaigns, SPANS)
    path = campaigns.export(name, tmp_path / "items.conll")
    other = campaigns.new(SPANS, items(SPANS)).id
    assert campaigns.import_(other, path) == Imported(items=0, votes=23)
    said = [
        [
            (item.key, item.text, vote.annotator, vote.label, vote.final)
            for item in kept(campaigns, one)
            for vote in item.votes
            if vote.label is not None
        ]
        for one in (name, other)
    ]
    assert said[0] == said[1]
    joined = campaigns.export(name, tmp_path / "joined.conll", joined=True).read_text()
    assert joined.startswith("in O\n😀 O\nParis B-city\n, O\non O\nMonday B-day\n中 O\n文 O\n\n")
    other = campaigns.new(SPANS).id
    campaigns.import_(other, tmp_path / "joined.conll", annotator="ann")
    first = kept(campaigns, other)[0]
    assert first.text == "in 😀 Paris , on Monday 中文"
    assert [(vote.annotator, vote.label) for vote in first.votes] == [
        ("ann", CITY.replace("15", "16").replace("21", "22"))
    ]
    with pytest.raises(RequestError, match="whole texts"):
        campaigns.export(fill(campaigns, ONE), tmp_path / "items.conll")


def test_a_spreadsheet_finds_no_formula(campaigns: Campaigns, tmp_path: Path) -> None:
    path = campaigns.export(fill(campaigns, ONE), tmp_path / "items.csv")
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n＝＋－＠")]
    assert {'\'=HYPERLINK("http://x")', "''=1", "''", "'-1", "'=bob"} <= set(cells)


def test_joined_rows_are_what_a_project_learns_from(campaigns: Campaigns, tmp_path: Path) -> None:
    name = fill(campaigns, ONE)
    path = campaigns.export(name, tmp_path / "joined.jsonl", joined=True)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    # Settled; skipped by both and left out; agreed on; known.
    assert rows[0] == {"key": "k, 1 é=", "text": TEXTS[0], "label": "refund"}
    assert [row["text"] for row in rows] == [TEXTS[0], *TEXTS[2:-1], "", "gold"]
    assert rows[-2]["image"] == "0f" * 32
    assert {row["label"] for row in rows[1:]} == {"=cmd"}


def test_label_studio_counts_as_browsers_do(campaigns: Campaigns, tmp_path: Path) -> None:
    path = campaigns.export(fill(campaigns, SPANS), tmp_path / "items.json")
    task = json.loads(path.read_text(encoding="utf-8"))[0]
    value = task["annotations"][0]["result"][0]["value"]
    assert value == {"start": 6, "end": 11, "text": "Paris", "labels": ["city"]}
    assert task["annotations"][0]["completed_by"] == {"email": "ann@example.org"}
    assert task["predictions"][0]["score"] == 0.75
    # As Label Studio itself writes it, without what is our own; places in characters, as
    # programs write them, are known by their text.
    theirs = {
        "id": 71, "data": {"text": "😀 Paris"}, "annotations": [{
            "id": 9, "completed_by": 3, "was_cancelled": False, "ground_truth": False,
            "created_at": "2026-11-20T08:00:00.123456Z", "lead_time": 4.288,
            "result": [{
                "id": "Dx", "from_name": "tag", "to_name": "text", "type": "labels",
                "value": {"start": 2, "end": 7, "text": "Paris", "labels": ["city"]},
            }],
        }, {
            "completed_by": {"id": 4, "email": "bob@example.org"}, "was_cancelled": True,
            "result": [], "lead_time": None,
        }], "predictions": [],
    }  # fmt: skip
    path.write_text(json.dumps([theirs]), encoding="utf-8")
    name = campaigns.new(SPANS).id
    assert campaigns.import_(name, path) == Imported(items=1, votes=2)
    (item,) = kept(campaigns, name)
    assert (item.key, item.text) == ("71", "😀 Paris")
    ann, bob = item.votes
    assert (ann.annotator, ann.seconds) == ("3", 4.288)
    assert ann.label == '[{"start": 2, "end": 7, "label": "city"}]'
    assert (bob.annotator, bob.label, bob.skipped) == (
        "bob@example.org", None, "skipped in Label Studio",
    )  # fmt: skip


WRONG: dict[str, list[tuple[str | bytes, str]]] = {
    "csv": [
        ("a,b\n1,2\n", "columns are 'a, b'"),
        ("text,label\nx\n", "line 2: the row has 1 cells"),
        ('text,label\n"x,refund\n', "line 2: unexpected end"),
        ("text,label,annotator\nx,refunds,ann\n", "mean 'refund'"),
        ("text,label,seconds\nx,refund,soon\n", "line 2: seconds"),
        ("key,text,label\na,x,refund\na,y,refund\n", "line 3: the key 'a' had another text"),
        ("key,text,label\nknown,y,refund\n", "another text under this key: 'as it is'"),
        (b"text,label\n\xff,refund\n", "byte 0xff is no UTF-8"),
        (b"text,label\na\0b,refund\n", "NUL"),
    ],
    "jsonl": [
        ("{", "line 1: no JSON"),
        ("[" * 100_000, "line 1: no JSON"),
        ("[]", "no JSON object"),
        ('{"txt": "x"}', "there is no text, but txt"),
        ('{"text": "x", "label": {"a": 1}}', "line 1: label"),
        ('{"text": "x \\ud800", "label": "refund"}', "half a character"),
    ],
    "label-studio": [
        ("{}", "no list of tasks"),
        ("[1]", "the task 1 is not understood"),
        ('[{"text": "x"}]', "the task 1 is not understood .*data"),
        ('[{"data": {"text": "x"}, "annotations": [{}]}]', "task 1 .*result"),
        ("[" * 100_000, "no JSON"),
        ('[{"data": {"text": "x"}}]\n[]', "stands behind the list"),
    ],
    "conll": [("Paris\n", "line 1: 'Paris.*' is no token"), ("Paris E-city\n", "BIO tag")],
}


@pytest.mark.parametrize(
    ("form", "content", "reason"),
    [(form, *case) for form, cases in WRONG.items() for case in cases],
)
def test_wrong_files_are_refused_whole(
    campaigns: Campaigns, tmp_path: Path, form: str, content: Any, reason: str
) -> None:
    name = campaigns.new(ONE, [NewItem(key="known", text="as it is")]).id
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=f"(?s){reason}"):
        campaigns.import_(name, path, form)
    assert [item.key for item in campaigns.items(name)] == ["known"]
    assert campaigns.answers(name) == []


def test_times_of_all_zones_and_numbers_are_understood(
    campaigns: Campaigns, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    row = {"key": 7, "text": "x", "label": "refund"}
    said = [("ann", "2026-11-26T10:00:00+02:00"), (3, "2026-11-26T08:00:00"), ("bob", None)]
    lines = [json.dumps(row | {"annotator": who, "at": at}) for who, at in said]
    path.write_text("\n".join(lines))
    name = campaigns.new(ONE).id
    assert campaigns.import_(name, path) == Imported(items=1, votes=3)
    ann, three, bob = campaigns.answers(name)
    assert three.annotator == "3"
    assert ann.at == three.at == datetime(2026, 11, 26, 8, tzinfo=UTC)
    assert datetime.now(UTC) - bob.at < timedelta(minutes=5)
    path.write_text(json.dumps(row | {"annotator": "cem", "at": "0001-01-01T00:00:00+10:00"}))
    with pytest.raises(DataError, match="calendar"):
        campaigns.import_(name, path)


def test_huge_files_and_unknown_forms_are_refused(
    campaigns: Campaigns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = campaigns.new(ONE).id
    with pytest.raises(UnknownNameError, match=r"csv, \.json"):
        campaigns.export(name, tmp_path / "items.xls")
    with pytest.raises(UnknownNameError, match="Did you mean 'jsonl'"):
        campaigns.export(name, tmp_path / "items", "jsonlines")
    with pytest.raises(DataError, match="cannot be read"):
        campaigns.import_(name, tmp_path / "absent.csv")
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({"text": "x" * 2_000}))
    monkeypatch.setattr(base, "MOST_LINE", 1_000)
    with pytest.raises(TooLargeError, match="a line of more"):
        campaigns.import_(name, path)
    monkeypatch.setattr(base, "MOST_FILE_BYTES", 1_000)
    with pytest.raises(TooLargeError, match="bytes"):
        campaigns.import_(name, path)
