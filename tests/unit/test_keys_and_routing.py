"""Who may call, and what answers."""

from __future__ import annotations

import pytest

from bessemer.billing.keys import authenticate, mint
from bessemer.core.errors import AuthenticationError, NotReadyError, UnknownNameError
from bessemer.core.records import KeyState
from bessemer.serve.routing import Routing


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


def test_an_unknown_route_is_never_another() -> None:
    routing = Routing(1, {}, {"broken": "its bundle was changed"}, {})
    with pytest.raises(UnknownNameError):
        routing.route("brokn")
    with pytest.raises(NotReadyError, match="its bundle was changed"):
        routing.route("broken")
