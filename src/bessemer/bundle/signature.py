"""Signing and checking a bundle: Ed25519 over an in-toto statement in a DSSE envelope.

Formats: in-toto Statement v1 and DSSE v1.0 (pre-authentication encoding). The subjects are
the files of the manifest and the manifest itself, so the signature covers every byte.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bessemer.bundle.format import STATEMENT
from bessemer.core import digest, folder
from bessemer.core.errors import SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://bessemer.dev/release/v1"


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the first 16 hexadecimal digits of the raw public key's SHA-256."""
    return digest.of_bytes(key.public_bytes_raw())[:16]


def sign(bundle: Path, key: Ed25519PrivateKey, predicate: dict[str, Any]) -> bytes:
    """Return the envelope that belongs into `statement.json` of a sealed folder."""
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": value}}
            for name, value in sorted(_subjects(bundle).items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    payload = digest.canonical_json(statement)
    signature = key.sign(_pre_authentication_encoding(payload))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": fingerprint(key.public_key()),
                "sig": base64.b64encode(signature).decode(),
            }
        ],
    }
    return json.dumps(envelope, indent=1).encode() + b"\n"


def verify(bundle: Path, trusted: dict[str, Ed25519PublicKey]) -> tuple[str, int]:
    """Check every byte of a bundle and who signed it.

    Args:
        bundle: The release's folder.
        trusted: Public keys by fingerprint.

    Returns:
        The signing key's fingerprint and how many files were checked.

    Raises:
        CorruptError: A file is not what the manifest says.
        SignatureError: The signature is missing, false, or by a key that is not trusted.
    """
    key, digests = signed(bundle, trusted)
    folder.check(bundle, unsealed=(STATEMENT,))
    return key, len(digests)


def signed(bundle: Path, trusted: dict[str, Ed25519PublicKey]) -> tuple[str, dict[str, str]]:
    """Check who signed a bundle's manifest; its files are still to be held against it.

    Returns:
        The signing key's fingerprint, and the SHA-256 of each file.

    Raises:
        CorruptError: The manifest is unreadable.
        SignatureError: See `verify`.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        envelope = json.loads((bundle / STATEMENT).read_text(encoding="utf-8"))
        payload = _decoded(envelope["payload"])
        key_id = str(envelope["signatures"][0]["keyid"])
        signature = _decoded(envelope["signatures"][0]["sig"])
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise ValueError(f"payload type {envelope['payloadType']!r}")
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise SignatureError(
            f"{bundle / STATEMENT} is missing or no signature: {error}.",
            remedy="Do not use this bundle; make the release again.",
        ) from error
    if key_id not in trusted:
        raise SignatureError(
            f"The bundle was signed with the key {key_id!r}, which is not trusted here.",
            remedy="If you know the signer, put the public key into the home's keys/trusted.",
        )
    try:
        trusted[key_id].verify(signature, _pre_authentication_encoding(payload))
    except InvalidSignature as error:
        raise SignatureError(
            f"The signature of {bundle} is false.",
            remedy="Do not use this bundle; make the release again.",
        ) from error
    named = {item["name"]: item["digest"]["sha256"] for item in json.loads(payload)["subject"]}
    if named != (found := _subjects(bundle)):
        odd = sorted(name for name in named.keys() | found if named.get(name) != found.get(name))
        raise SignatureError(
            f"{bundle} is not what was signed: {', '.join(odd)} differ.",
            remedy="Do not use this bundle; make the release again.",
        )
    return key_id, named


def _decoded(text: str) -> bytes:
    """Decode base64 in its one spelling: unused bits at the end are zero."""
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:
        raise ValueError(f"{text[-8:]!r} is no canonical base64")
    return content


def _subjects(bundle: Path) -> dict[str, str]:
    found = folder.entries(bundle)
    return {**found, folder.MANIFEST: digest.of_file(bundle / folder.MANIFEST)}


def _pre_authentication_encoding(payload: bytes) -> bytes:
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
