"""The home's signing key and the public keys it trusts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bessemer.bundle import signature
from bessemer.core import folder
from bessemer.core.errors import SignatureError, needs
from bessemer.service.home import Home

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519


def signing_key(home: Home) -> ed25519.Ed25519PrivateKey:
    """Return the private key of this home, made and trusted at its first use.

    It lies unencrypted in `keys/signing.pem`, readable by its owner alone.

    Raises:
        SignatureError: The file holds no Ed25519 key.
    """
    with needs("serve"):
        from cryptography.hazmat.primitives import serialization as forms
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = home.root / "keys" / "signing.pem"
    with home.stages.lock("keys", "signing"):
        if not path.exists():
            key = Ed25519PrivateKey.generate()
            public = key.public_key().public_bytes(
                forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
            )
            name = f"{signature.fingerprint(key.public_key())}.pem"
            folder.atomic_file(_trusted(home) / name, public)
            private = key.private_bytes(
                forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
            )
            folder.atomic_file(path, private, mode=0o600)
    try:
        found = forms.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{path} holds no key: {error}.", remedy="Restore it.") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise SignatureError(f"{path} holds no Ed25519 key.", remedy="Restore it.")
    return found


def verify(home: Home, bundle: Path) -> tuple[str, int]:
    """Check a bundle against the trusted keys; see `bundle.signature.verify`."""
    return signature.verify(bundle, _trusted_keys(home))


def signed(home: Home, bundle: Path) -> dict[str, str]:
    """Return the digests that a trusted key signed; see `bundle.signature.signed`."""
    return signature.signed(bundle, _trusted_keys(home))[1]


def _trusted_keys(home: Home) -> dict[str, ed25519.Ed25519PublicKey]:
    with needs("serve"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

    trusted: dict[str, ed25519.Ed25519PublicKey] = {}
    for path in sorted(_trusted(home).glob("*.pem")):
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SignatureError(
                f"{path} holds no public key: {error}.", remedy="Remove or restore it."
            ) from error
        if isinstance(key, Ed25519PublicKey):
            trusted[signature.fingerprint(key)] = key
    return trusted


def _trusted(home: Home) -> Path:
    return home.root / "keys" / "trusted"
