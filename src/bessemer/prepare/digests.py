"""Digests of texts, which stand for them where texts are only told apart."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

#: 64 bits of each: of a hundred million texts, two share them with probability 0.0003.
Digests = NDArray[np.uint64]


def of_text(text: str | None, size: int = 16) -> bytes:
    """Return a text's BLAKE2b digest of `size` bytes (RFC 7693); no text is like an empty one."""
    return blake2b((text or "").encode(), digest_size=size).digest()


def of_texts(texts: Iterable[str | None]) -> Digests:
    """Return 64 bits of digest for each text, shape [texts]."""
    return np.fromiter((int.from_bytes(of_text(text, 8), "little") for text in texts), np.uint64)
