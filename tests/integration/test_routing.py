"""Canaries, promotion, rollback, aliases, unloaded routes: in records, files, memory, sockets."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import sqlalchemy as sa
from tests.conftest import overwrite, write_project
from tests.integration.test_serving import running

import bessemer
from bessemer.cli import main
from bessemer.core import digest
from bessemer.core.errors import ConflictError, NotReadyError, RequestError, UnknownNameError
from bessemer.core.records import Deployment
from bessemer.serve import residents
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.policies import LengthWindow
from bessemer.serve.residents import Resident
from bessemer.service import snapshot
from bessemer.service.deployments import told
from bessemer.service.platform import Platform
from bessemer.store import tables

CALLERS = 6


@pytest.fixture
def three(platform: Platform) -> Platform:
    """Return a platform with two more releases, whose bundles are copies of the first's."""
    first = platform.releases.show("small@1")
    place = platform.releases.bundle(first)
    for number in (2, 3):
        key = digest.of_json(["copy", number])
        target = platform.home.stages.path("release", key)
        shutil.copytree(place, target, copy_function=os.link)
        made = platform.releases.register("small", first.run, key, first.report, first.verdict)
        assert made.id == f"small@{number}"
    return platform


class Loads:
    """A data plane on a home that counts what it loads."""

    def __init__(self, platform: Platform) -> None:
        self.names = {str(platform.releases.bundle(r)): r.id for r in platform.releases.list()}
        self.loaded: list[str] = []
        self.plane = DataPlane(
            snapshot=lambda: snapshot.read(platform.home.root),
            load=self._load,
            record=lambda call: None,
            clock=platform.home.clock,
            policy=LengthWindow(),
            threads=1,
        )
        snapshot.publish(platform.home)
        self.plane.refresh()

    def _load(self, bundle: Path) -> Resident:
        self.loaded.append(self.names[str(bundle)])
        return residents.load(bundle)

    def follow(self) -> list[str]:
        """Follow the snapshot and return what was loaded for it."""
        self.loaded.clear()
        assert self.plane.refresh()
        return self.loaded


def serves(deployment: Deployment) -> tuple[str, str | None, float | None, bool]:
    return deployment.release, deployment.canary, deployment.share, deployment.unloaded


def test_a_history_that_is_only_added_to(three: Platform) -> None:
    nouns = three.deployments
    assert serves(three.deploy("small@2", canary=0.1)) == ("small@1", "small@2", 0.1, False)
    assert serves(three.deploy("small@2", canary=0.3)) == ("small@1", "small@2", 0.3, False)
    assert told(nouns.live("small")).endswith("serves small@1, and small@2 to 30 % of the callers")
    assert serves(nouns.rollback("small")) == ("small@1", None, None, False)
    with pytest.raises(ConflictError, match="nothing before small@1"):
        nouns.rollback("small")
    three.deploy("small@2", canary=0.5)
    assert serves(nouns.promote("small")) == ("small@2", None, None, False)
    three.deploy("small@3", canary=0.5)
    assert serves(nouns.unload("small")) == ("small@2", "small@3", 0.5, True)
    assert nouns.unload("small") == nouns.live("small")
    assert told(nouns.live("small")) == "route small is unloaded"
    assert serves(nouns.load("small")) == ("small@2", "small@3", 0.5, False)
    assert nouns.load("small") == nouns.live("small")
    assert serves(three.deploy("small@3")) == ("small@3", None, None, False)
    assert serves(nouns.rollback("small")) == ("small@2", None, None, False)
    nouns.unload("small")
    assert serves(nouns.rollback("small")) == ("small@1", None, None, False)
    history = nouns.list("small")
    assert [d.live for d in history] == [True] + [False] * (len(history) - 1)
    with three.home.database.begin() as connection:
        verbs = connection.execute(sa.select(tables.events.c.verb)).scalars().all()
    assert len(history) == 13
    assert verbs[-12:] == [
        "canary deployed", "canary deployed", "canary ended", "canary deployed", "promoted",
        "canary deployed", "unloaded", "loaded", "deployed", "rolled back", "unloaded",
        "rolled back",
    ]  # fmt: skip


def test_what_cannot_be_asked_for(three: Platform) -> None:
    nouns, aliases = three.deployments, three.aliases
    aliases.set("front", "small")
    before = nouns.list(), aliases.list()
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(RequestError, match="share is"):
            three.deploy("small@2", canary=share)
    with pytest.raises(ConflictError, match="small@1 is live on the route 'small' already"):
        three.deploy("small@1", canary=0.5)
    with pytest.raises(ConflictError, match="serves nothing that a canary could stand beside"):
        three.deploy("small@2", "new", canary=0.5)
    with pytest.raises(ConflictError, match="has no canary"):
        nouns.promote("small")
    for change in (three.deploy, lambda _, name: aliases.set("second", name)):
        with pytest.raises(ConflictError, match="'front' is an alias of the route 'small'"):
            change("small@2", "front")
    for verb in (nouns.promote, nouns.rollback, nouns.unload, nouns.load):
        with pytest.raises(ConflictError, match="is an alias"):
            verb("front")
        with pytest.raises(UnknownNameError, match="Did you mean 'small'"):
            verb("smal")
    with pytest.raises(ConflictError, match="'small' is a route"):
        aliases.set("small", "small")
    with pytest.raises(UnknownNameError, match="no route 'smal'"):
        aliases.set("second", "smal")
    with pytest.raises(UnknownNameError, match="no alias 'small'"):
        aliases.remove("small")
    for name in ("", "a/b", ".a", "a" * 64, "a\n", "名"):
        with pytest.raises(RequestError, match="no name for a route"):
            aliases.set(name, "small")
    with pytest.raises(RequestError, match="no name for a route"):
        three.deploy("small@2", "a/b")
    assert (nouns.list(), aliases.list()) == before


def test_a_rollback_loads_nothing_and_what_nobody_needs_is_let_go(three: Platform) -> None:
    loads = Loads(three)
    plane = loads.plane

    def in_memory() -> set[str]:
        return set(plane.routing.residents)

    three.deploy("small@2", canary=0.5)
    assert loads.follow() == ["small@2"]
    three.deployments.promote("small")
    assert loads.follow() == []
    assert in_memory() == {"small@1", "small@2"}
    three.deploy("small@3", canary=0.5)
    assert loads.follow() == ["small@3"]
    three.deployments.rollback("small")
    assert loads.follow() == []
    assert in_memory() == {"small@1", "small@2"}
    three.deployments.rollback("small")
    assert loads.follow() == []
    assert in_memory() == {"small@1"}
    three.deploy("small@1", "other")
    three.deployments.unload("small")
    assert loads.follow() == []
    gone = weakref.ref(plane.routing.route("other").resident)
    with pytest.raises(NotReadyError, match=r"unloaded.*bessemer deployments load small"):
        plane.routing.route("small")
    three.deployments.unload("other")
    assert loads.follow() == []
    gc.collect()
    assert gone() is None
    three.deployments.load("small")
    assert loads.follow() == ["small@1"]
    assert set(plane.routing.served) == {"small"}
    plane.close()


def test_without_its_canary_the_live_release_takes_all(three: Platform) -> None:
    loads = Loads(three)
    graph = three.releases.bundle(three.releases.show("small@2")) / "model.onnx"
    whole = graph.read_bytes()
    three.deploy("small@2", canary=0.9)
    overwrite(graph, whole[:-1])
    assert loads.follow() == ["small@2"]
    routing = loads.plane.routing
    assert {routing.route("small", str(n)).release for n in range(100)} == {"small@1"}
    assert "small@2 could not be loaded" in routing.broken["small"]
    overwrite(graph, whole)
    loads.plane._tried = 0.0
    assert loads.follow() == ["small@2"]
    routing = loads.plane.routing
    assert routing.broken == {}
    assert {routing.route("small", str(n)).release for n in range(100)} == {"small@1", "small@2"}
    loads.plane.close()


def test_the_view_does_not_wait_for_a_release_that_loads(three: Platform) -> None:
    """A rollback, an alias and a revoked key are followed while another route still loads."""
    key = three.keys.create("to be revoked")
    loads = Loads(three)
    three.deploy("small@2")
    loads.follow()
    plane, seen = loads.plane, {}
    load = plane._load

    def slow(bundle: Path) -> Resident:
        seen.update(routing=plane.routing)
        return load(bundle)

    plane._load = slow
    three.deployments.rollback("small")
    three.aliases.set("front", "small")
    three.keys.revoke(key.id)
    three.deploy("small@3", "new")
    assert loads.follow() == ["small@3"]
    assert seen["routing"].route("front").release == "small@1"
    assert key.id not in seen["routing"].keys
    with pytest.raises(NotReadyError, match="'new' is loading"):
        seen["routing"].route("new")
    assert plane.routing.route("new").release == "small@3"
    plane.close()


def test_the_sticky_key_comes_in_a_header_of_every_protocol(three: Platform) -> None:
    three.deploy("small@2", canary=0.5)
    with running(three) as server:
        drawn = server.serving.plane.routing.canaries["small"]
        bodies = {
            "/predict/small": {"inputs": "one"},
            "/embed/small": {"inputs": "one"},
            "/v1/embeddings": {"model": "small", "input": "one"},
            "/v2/models/small/infer": {
                "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["one"]}]
            },
        }
        for number in range(6):
            wanted = "small@2" if drawn.takes(f"user-{number}") else "small@1"
            for path, body in bodies.items():
                headers = {"X-Sticky-Key": f"user-{number}"}
                answer = server.http.post(path, json=body, headers=headers)
                assert answer.headers["x-release"] == wanted, (path, number)
        assert len({drawn.takes(f"user-{number}") for number in range(6)}) == 2
        long = server.http.post(
            "/predict/small", json={"inputs": "one"}, headers={"X-Sticky-Key": "a" * 257}
        )
        assert long.status_code == 400
        assert "257 bytes" in long.json()["error"]


def test_a_restart_finds_the_same_routing(three: Platform, home: Path) -> None:
    def routing(platform: Platform) -> tuple[object, ...]:
        serving = platform.serving()
        serving.start()
        found = serving.plane.routing
        serving.stop()
        platform.home.database.close()
        served = {name: s.release for name, s in found.served.items()}
        canaries = {name: (c.release, c.share) for name, c in found.canaries.items()}
        return found.version, served, canaries, dict(found.aliases), found.unloaded

    three.deploy("small@2", canary=0.25)
    three.deploy("small@1", "other")
    three.deployments.unload("other")
    three.aliases.set("front", "small")
    before = routing(three)
    assert before[1:] == (
        {"small": "small@1"}, {"small": ("small@2", 0.25)}, {"front": "small"}, {"other"},
    )  # fmt: skip
    (home / snapshot.FILE).unlink()
    assert routing(Platform.open(home)) == before


def test_a_run_deploys_to_the_share_that_the_project_asks_for(
    platform: Platform, tmp_path: Path
) -> None:
    def run(share: float) -> str | None:
        serve = f"serve: {{route: shop, canary: {share}}}\n"
        return platform.run(write_project(tmp_path / "project", serve)).release

    nouns = platform.deployments
    platform.deploy("small@1", "shop")
    assert run(0.25) == "small@2"
    assert serves(nouns.live("shop")) == ("small@1", "small@2", 0.25, False)
    nouns.rollback("shop")
    # The share is no part of what a release is made from, and that one was taken away.
    assert run(0.5) == "small@2"
    assert serves(nouns.live("shop")) == ("small@1", None, None, False)
    with platform.home.database.begin() as connection:
        route = tables.deployments.c.route
        connection.execute(sa.delete(tables.deployments).where(route == "shop"))
    # Beside nothing it is live at once.
    assert run(0.5) == "small@2"
    assert serves(nouns.live("shop")) == ("small@2", None, None, False)


def test_the_doors(three: Platform, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("BESSEMER_HOME", str(three.home.root))
    with running(three) as server:
        client = bessemer.connect(server.url, server.owner)
        assert client.deploy("small@2", canary=0.5).share == 0.5
        assert client.deployments.promote("small").release == "small@2"
        assert client.deployments.unload("small").unloaded
        assert not client.deployments.load("small").unloaded
        assert client.deployments.rollback("small") == three.deployments.live("small")
        assert client.aliases.set("front", "small") in three.aliases.list()
        assert client.aliases.list() == three.aliases.list()
        assert client.aliases.remove("front").route == "small"
        with pytest.raises(RequestError, match="share is 2"):
            client.deploy("small@2", canary=2)
    for arguments, line in {
        "deploy small@2 --canary 0.07": "serves small@1, and small@2 to 7 % of the callers",
        "deployments list": "small@2 7 %",
        "deployments promote small": "route small serves small@2",
        "deployments unload small": "route small is unloaded",
        "deployments load small": "route small serves small@2",
        "deployments rollback small": "route small serves small@1",
        "aliases set front small": "front stands for route small",
        "aliases list": "front",
        "aliases remove front": "front stands for nothing",
    }.items():
        assert main.run(arguments.split()) == 0
        assert line in capsys.readouterr().out


class Asked(NamedTuple):
    began: float
    ended: float
    key: str
    name: str
    status: int
    release: str | None


class Traffic:
    """Callers with a key each, who ask all names in turn until told to stop."""

    def __init__(self, url: str, secrets: list[str], names: list[str]) -> None:
        self.asked: list[Asked] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(url, secret, names)) for secret in secrets
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def flow(self) -> None:
        """Wait until every caller has asked every name anew."""
        start, deadline = len(self.asked), time.monotonic() + 10
        while time.monotonic() < deadline:
            counts: dict[str, int] = defaultdict(int)
            for asked in self.asked[start:]:
                counts[asked.key] += 1
            if len(counts) == CALLERS and min(counts.values()) >= 3:
                return
            time.sleep(0.005)
        raise AssertionError("no traffic")

    def _ask(self, url: str, secret: str, names: list[str]) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}) as http:
            while not self._stop.is_set():
                for name in names:
                    began = time.monotonic()
                    answer = http.post(f"/predict/{name}", json={"inputs": "where is my card"})
                    release = answer.headers.get("x-release")
                    status, key = answer.status_code, secret.split("_")[1]
                    self.asked.append(Asked(began, time.monotonic(), key, name, status, release))


class Phase(NamedTuple):
    """Between two changes: from when it was in force everywhere until the next was asked for."""

    began: float
    followed: float
    #: Release by name and key.
    serves: dict[tuple[str, str], str]


def test_no_request_is_dropped_or_answered_by_another_release(
    three: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bessemer.service.serving.FOLLOW_SECONDS", 0.01)
    three.deploy("small@2", "other")
    three.deploy("small@1", "third")
    three.aliases.set("front", "small")
    made = [three.keys.create(f"caller {n}") for n in range(CALLERS)]
    names, phases = ["small", "front"], []
    with running(three) as server:
        plane = server.serving.plane

        def phase(change: Callable[[], object]) -> None:
            began = time.monotonic()
            change()
            published = snapshot.read(three.home.root).version
            while plane.routing.version < published:
                time.sleep(0.002)
            view = plane.routing
            found = {(n, key.id): view.route(n, key.id).release for n in names for key in made}
            phases.append(Phase(began, time.monotonic(), found))
            traffic.flow()

        with Traffic(server.url, [key.secret for key in made], names) as traffic:
            nouns = three.deployments
            for change in (
                lambda: None,
                lambda: three.deploy("small@2", canary=0.2),
                lambda: three.deploy("small@2", canary=0.7),
                lambda: nouns.unload("third"),
                lambda: nouns.promote("small"),
                lambda: nouns.rollback("small"),
                # Not in memory yet: until it is, the route goes on with what it serves.
                lambda: three.deploy("small@3"),
                lambda: three.aliases.set("front", "other"),
                lambda: nouns.load("third"),
                lambda: nouns.rollback("small"),
            ):
                phase(change)
    assert {asked.status for asked in traffic.asked} == {200}
    check(traffic.asked, phases)
    few, many = phases[1].serves, phases[2].serves
    assert all(many[who] == "small@2" for who, release in few.items() if release == "small@2")
    assert {release for p in phases for release in p.serves.values()} == {
        "small@1", "small@2", "small@3",
    }  # fmt: skip
    with three.home.database.begin() as connection:
        kept = connection.execute(sa.select(tables.calls.c.route)).scalars().all()
    assert len(kept) == len(traffic.asked)
    assert set(kept) == {"small", "other"}


def check(everything: list[Asked], phases: list[Phase]) -> None:
    """Hold each answer against what its caller was to get at some time while it was asked."""
    ends = [*(phase.followed for phase in phases[1:]), float("inf")]
    steady = 0
    for asked in everything:
        legitimate = {
            phase.serves[asked.name, asked.key]
            for phase, end in zip(phases, ends, strict=True)
            if phase.began <= asked.ended and asked.began <= end
        }
        assert asked.release in legitimate, asked
        steady += len(legitimate) == 1
    assert steady > 100
