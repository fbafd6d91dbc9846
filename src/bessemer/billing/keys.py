"""API keys: `bsm_<id>_<secret>`, of which only the secret's SHA-256 is kept.

The secret has 256 random bits, so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping

from bessemer.core import digest
from bessemer.core.errors import AuthenticationError
from bessemer.core.records import KeyState

_FORM = re.compile(r"bsm_([0-9a-f]{12})_([0-9a-f]{64})")
#: Compared with when no key has the given id, so that both cases take equal work.
_NOBODY = digest.of_bytes(b"no such key")


def mint() -> tuple[str, str, str]:
    """Return a new key's id, the whole key to be shown once, and the hash to be kept."""
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    return key_id, f"bsm_{key_id}_{secret}", digest.of_bytes(secret.encode())


def authenticate(authorization: str | None, keys: Mapping[str, KeyState]) -> tuple[str, KeyState]:
    """Return the id and state of the key in an `Authorization` header.

    Args:
        authorization: The header's value, `Bearer bsm_…`, or None.
        keys: All valid keys by id; a revoked one is not among them.

    Raises:
        AuthenticationError: There is no valid key; the message never repeats a secret.
    """
    scheme, _, value = (authorization or "").partition(" ")
    form = _FORM.fullmatch(value.strip()) if scheme.lower() == "bearer" else None
    if form is None:
        raise AuthenticationError(
            "The request brings no API key.",
            remedy="Send the header `Authorization: Bearer bsm_…`; an owner makes keys with"
            " `bessemer keys create`.",
        )
    key_id, secret = form.groups()
    state = keys.get(key_id)
    expected = state.secret_hash if state else _NOBODY
    same = hmac.compare_digest(expected, digest.of_bytes(secret.encode()))
    if state is None or not same:
        raise AuthenticationError(
            f"The API key {key_id!r} is unknown, false or revoked.",
            remedy="Ask an owner for a new one.",
        )
    return key_id, state
