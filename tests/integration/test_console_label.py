"""The room *Label* over real sockets: who may do what in it, what it shows, what it keeps."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
from tests.integration.test_console import logged_in
from tests.server import Server

from bessemer.core.labelling import NewCampaign, NewItem, Suggestion
from bessemer.service.platform import Platform

ROOM = "/console/label"
BAD = "<img src=x onerror=alert(1)>"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


def begin(platform: Platform, **asked: object) -> str:
    """Begin a campaign of three letters, the last one a test, and return its id."""
    hint = Suggestion(label="late", score=0.9)
    items = [
        NewItem(key="1", text=f"{BAD} a", suggestions=(hint,)),
        NewItem(key="2", text="b"),
        NewItem(key="3", text="c", gold="late"),
    ]
    wanted = {"project": "letters", "labels": ("late", f"{BAD} label"), **asked}
    return platform.campaigns.new(NewCampaign(**wanted), items, f"{BAD} guideline").id


def post(client: httpx.Client, path: str, **fields: object) -> httpx.Response:
    return client.post(f"{ROOM}/{path}", json=fields)


def test_no_campaigns(shared: Server) -> None:
    for tongue, owner, annotator in (
        ("en", "Begin a campaign from a project", "nothing to label at the moment"),
        ("zh", "还没有标注任务", "目前没有需要标注的内容"),
    ):
        for who, told in (("owner", owner), ("annotator", annotator)):
            with logged_in(shared, who, **{"Accept-Language": tongue}) as client:
                page = client.get(ROOM).text
                assert told in page
                assert (owner in page) == (who == "owner")


def test_a_campaign_is_shown(server: Server) -> None:
    name = begin(server.platform, overlap=2)
    say = server.platform.campaigns.say
    say(name, 1, "bob", label="late", seconds=2)
    say(name, 1, "a", label=f"{BAD} label", seconds=4)
    say(name, 3, "a", label=f"{BAD} label", seconds=4)
    for tongue, words in (("en", ("Annotators", "Guideline")), ("zh", ("标注员", "标注指南"))):
        with logged_in(server, **{"Accept-Language": tongue}) as client:
            room, page = client.get(ROOM).text, client.get(f"{ROOM}/{name}").text
        assert f'href="{ROOM}/letters%401"' in room
        assert "1/2" in room
        for word in (
            *words,
            "0/1",
            "bob",
            "adjudicate",
            'data-opens="close"',
            'data-opens="guide"',
        ):
            assert word in page
        assert BAD not in room + page
        assert "&lt;img src=x" in page
    with logged_in(server, "annotator") as client:
        page = client.get(f"{ROOM}/{name}").text
        assert "bob" not in page
        assert "0/1" not in page, "who sees how tests went can find the right answers"
        for word in ("adjudicate", "data-opens", "data-picture", "kappa"):
            assert word not in page
        assert client.get(f"{ROOM}/letter@1").status_code == 404


def test_items_are_handed_out_and_answers_kept(server: Server) -> None:
    name = begin(server.platform)
    with logged_in(server, "annotator") as client:
        page = client.get(f"{ROOM}/{name}/work").text
        assert BAD not in page
        handed = post(client, f"{name}/work/next").json()["items"]
        assert [item["number"] for item in handed] == [1, 2]
        assert handed[0] == {
            "number": 1,
            "text": f"{BAD} a",
            "image": None,
            "suggestions": [{"label": "late", "score": 0.9, "start": None, "end": None}],
        }
        said = {"item": 1, "label": "late", "seconds": 1.5, "suggested": True}
        for _ in range(2):  # as a page does that has not heard the answer
            told = post(client, f"{name}/work/say", **said).json()
            assert [item["number"] for item in told["items"]] == [2, 3]
            assert told["guideline"] == 1
        assert "gold" not in str(told)
        told = post(client, f"{name}/work/say", **{**said, "label": f"{BAD} label"})
        assert told.status_code == 409
        kept = server.platform.campaigns.answers(name)
        assert [(s.annotator, s.label, s.seconds, s.suggested) for s in kept] == [
            ("a", "late", 1.5, True)
        ]
        told = post(client, f"{name}/work/undo").json()
        assert [item["number"] for item in told["items"]] == [1, 2]
        assert server.platform.campaigns.answers(name) == []
        assert post(client, f"{name}/work/undo").status_code == 409
        guideline = client.get(f"{ROOM}/{name}/work/guideline").json()
        assert guideline == {"version": 1, "text": f"{BAD} guideline"}


BODIES = [
    (b"", 400),
    (b"\xff", 400),
    (b"[]", 400),
    (b'{"item": "1", "label": "late"}', 400),
    (b'{"item": 1, "label": "late", "seconds": -1}', 400),
    (b'{"item": 1, "label": "late", "seconds": 1e999}', 400),
    (b'{"item": 1, "label": "late", "annotator": "bob"}', 400),
    (b'{"item": 1}', 400),
    (b'{"item": 1, "label": "late", "skipped": "unclear"}', 400),
    (b'{"item": 1, "skipped": "' + b"x" * 300_000 + b'"}', 413),
    (b'{"item": 1, "label": "lat"}', 404),
    (b'{"item": 9, "label": "late"}', 404),
]


def test_bad_answers_are_refused(server: Server) -> None:
    name = begin(server.platform)
    with logged_in(server, "annotator") as client:
        for body, status in BODIES:
            answer = client.post(f"{ROOM}/{name}/work/say", content=body)
            assert answer.status_code == status, (body[:60], answer.text)
    assert server.platform.campaigns.answers(name) == []


def test_owners_close_open_guide_and_settle(server: Server) -> None:
    name = begin(server.platform, overlap=2)
    campaigns = server.platform.campaigns
    campaigns.say(name, 1, "ann", label="late")
    campaigns.say(name, 1, "bob", label=f"{BAD} label")
    with logged_in(server) as client, logged_in(server, "annotator") as annotator:
        for action, state in (("close", "closed"), ("open", "open")):
            assert annotator.post(f"{ROOM}/{name}/{action}").status_code == 403
            answer = client.post(f"{ROOM}/{name}/{action}")
            assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOM}/{name}")
            assert campaigns.list()[0].state == state
        assert client.post(f"{ROOM}/{name}/burn").status_code == 404
        assert annotator.post(f"{ROOM}/{name}/guide", data={"text": "x"}).status_code == 403
        assert client.post(f"{ROOM}/{name}/guide", data={"text": " "}).status_code == 400
        assert client.post(f"{ROOM}/{name}/guide", data={"text": "a\r\nb"}).status_code == 303
        guideline = campaigns.show(name).guideline
        assert (guideline.version, guideline.text) == (2, "a\nb")
        assert guideline.by == server.owner.split("_")[1]
        assert post(annotator, f"{name}/adjudicate/next").status_code == 403
        (item,) = post(client, f"{name}/adjudicate/next").json()["items"]
        assert [(s["annotator"], s["label"]) for s in item["said"]] == [
            ("ann", "late"), ("bob", f"{BAD} label"),
        ]  # fmt: skip
        assert [s["score"] for s in item["suggestions"]] == [0.5, 0.5]
        refused = post(annotator, f"{name}/adjudicate/say", item=1, label="late")
        assert refused.status_code == 403
        told = post(client, f"{name}/adjudicate/say", item=1, label="late").json()
        assert told == {"items": [], "guideline": 2}
        (final,) = [said for said in campaigns.answers(name) if said.final]
        assert (final.annotator, final.label) == ("o", "late")


def test_images_are_images(server: Server) -> None:
    folder: Path = server.platform.home.root / "blobs"
    folder.mkdir()
    kinds = {
        "image/png": PNG,
        "image/jpeg": b"\xff\xd8\xff\xe0" + b"0" * 20,
        "image/webp": b"RIFF1234WEBPVP8 ",
        "": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    }
    name = begin(server.platform)
    with logged_in(server, "annotator") as client, logged_in(server) as owner:
        for kind, content in kinds.items():
            digest = hashlib.sha256(content).hexdigest()
            (folder / digest).write_bytes(content)
            answer = client.get(f"{ROOM}/{name}/images/{digest}")
            assert answer.status_code == (200 if kind else 404)
            if kind:
                assert answer.headers["content-type"] == kind
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.content == content
        (folder.parent / ("f" * 64)).write_bytes(PNG)
        for digest in ("0" * 64, "%2e%2e", "..%2fbessemer.db", f"..%2f{'f' * 64}"):
            address = f"{ROOM}/{name}/images/{digest}"
            assert client.get(address).status_code in (403, 404)
            assert owner.get(address).status_code == 404
