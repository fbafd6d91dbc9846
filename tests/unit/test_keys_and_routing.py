"""Who may call, and what answers."""

from __future__ import annotations

import itertools
import math
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bessemer.billing.keys import authenticate, mint
from bessemer.core.errors import AuthenticationError, NotReadyError, UnknownNameError
from bessemer.core.records import CanaryState, KeyState, RouteState, Snapshot
from bessemer.serve.residents import Resident
from bessemer.serve.routing import Canary, Routing, bundles


def test_a_minted_key_is_known_again_and_nothing_else_is() -> None:
    key_id, secret, secret_hash = mint()
    keys = {key_id: KeyState(secret_hash=secret_hash, role="caller")}
    assert authenticate(f"Bearer {secret}", keys)[0] == key_id
    assert authenticate(f"bearer  {secret} ", keys)[0] == key_id
    other_id, other, _ = mint()
    wrong = [
        None, "", "Bearer", f"Basic {secret}", secret, f"Bearer {other}", f"Bearer {secret}0",
        f"Bearer bsm_{key_id}_{other.rpartition('_')[2]}", f"Bearer {secret.upper()}",
        f"Bearer bsm_{other_id}_{secret.rpartition('_')[2]}",
    ]  # fmt: skip
    for header in wrong:
        with pytest.raises(AuthenticationError) as caught:
            authenticate(header, keys)
        assert secret.rpartition("_")[2] not in str(caught.value)


def test_secrets_are_long_and_new() -> None:
    made = {mint()[1] for _ in range(100)}
    assert len(made) == 100
    assert all(len(secret) == len("bsm__") + 12 + 64 for secret in made)


def state(
    release: str, canary: str | None = None, *, share: float = 0.5, previous: str | None = None
) -> RouteState:
    beside = CanaryState(release=canary, bundle=f"/{canary}", share=share) if canary else None
    return RouteState(release=release, bundle=f"/{release}", canary=beside, previous=previous)


def snapshot(version: int, **routes: RouteState) -> Snapshot:
    return Snapshot(version=version, routes=routes, keys={}, aliases={"front": "a"})


def memory(*releases: str) -> dict[str, Resident]:
    """Return stand-ins for loaded releases; nothing here looks into one."""
    return {release: cast(Resident, f"resident of {release}") for release in releases}


def test_an_unknown_route_is_never_another() -> None:
    found = snapshot(1, broken=state("r1"), a=state("r2"))
    routing = Routing().following(found, memory("r2"), {"r1": "its bundle was changed"})
    with pytest.raises(UnknownNameError, match="Did you mean 'front'"):
        routing.route("fron")
    with pytest.raises(UnknownNameError):
        routing.route("r1")
    with pytest.raises(NotReadyError, match="its bundle was changed"):
        routing.route("broken")
    assert routing.route("front") == routing.route("a")
    assert routing.route("front").route == "a"


SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)


def canary(share: float, release: str = "r2", route: str = "a") -> Canary:
    return Canary(route, release, memory(release)[release], share)


@settings(max_examples=50)
@given(sticky=st.text(), shares=st.tuples(SHARES, SHARES))
def test_a_share_that_grows_keeps_those_whom_it_had(
    sticky: str, shares: tuple[float, float]
) -> None:
    few, many = sorted(shares)
    assert canary(many).takes(sticky) or not canary(few).takes(sticky)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", ["user-{}", "{:012x}", "客户{}"])
def test_the_share_of_the_callers_is_the_share(share: float, name: str) -> None:
    count = 4_000
    taken = sum(canary(share).takes(name.format(n)) for n in range(count))
    assert abs(taken - count * share) < 4 * math.sqrt(count * share * (1 - share))


def test_each_canary_and_each_route_draws_anew() -> None:
    everyone = [str(n) for n in range(4000)]
    drawn = [
        {who for who in everyone if one.takes(who)}
        for one in (canary(0.5), canary(0.5, "r3"), canary(0.5, route="b"))
    ]
    for one, other in itertools.combinations(drawn, 2):
        assert 900 < len(one & other) < 1100


def test_places_are_the_same_in_every_version() -> None:
    """Another hash would move callers at an update, so it may not change by accident."""
    taken = [n for n in range(30) if canary(0.2).takes(str(n))]
    assert taken == [0, 4, 7, 15, 23]


RELEASES = ("r1", "r2", "r3")
STATES = st.builds(
    state, st.sampled_from(RELEASES), st.none() | st.sampled_from(RELEASES), share=SHARES,
    previous=st.none() | st.sampled_from(RELEASES),
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abc"), st.tuples(STATES, st.booleans())),
            st.sets(st.sampled_from(RELEASES)),
        ),
        max_size=8,
    ),
    st.text(),
)
def test_a_route_that_served_goes_on_whatever_can_be_loaded(
    changes: list[tuple[dict[str, tuple[RouteState, bool]], set[str]]], sticky: str
) -> None:
    routing = Routing()
    for version, (routes, bad) in enumerate(changes):
        states = {n: s.model_copy(update={"unloaded": gone}) for n, (s, gone) in routes.items()}
        found = snapshot(version, **states)
        held = routing.residents
        early = routing.following(found, held, {})
        failed = dict.fromkeys(bad - held.keys(), "bad")
        held |= memory(*(bundles(found).keys() - failed.keys()))
        late = early.following(found, held, failed)
        for name, wanted in states.items():
            for view in (early, late):
                may = {wanted.release, wanted.canary and wanted.canary.release}
                may |= {routing.served[name].release} if name in routing.served else set()
                if wanted.unloaded or (name not in routing.served and name not in view.served):
                    with pytest.raises(NotReadyError):
                        view.route(name, sticky)
                else:
                    served = view.route(name, sticky)
                    assert served.release in may
                    assert served.resident == memory(served.release)[served.release]
            ill = {wanted.release, wanted.canary and wanted.canary.release} & failed.keys()
            assert (name in late.broken) == (bool(ill) and not wanted.unloaded)
        assert late.loading == frozenset()
        wanted_now = {*bundles(found), *(s.previous for s in states.values())}
        kept = {s.release for s in routing.served.values()}
        assert late.residents.keys() <= wanted_now | kept
        routing = late
