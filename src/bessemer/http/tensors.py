"""Tensors behind the JSON of a body: the binary extension of the Open Inference Protocol.

Numbers lie in little-endian order; an element of BYTES is its length in 4 bytes, then itself.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from bessemer.core.errors import RequestError

#: Header that says how long the JSON is; without it the body is nothing else.
JSON_LENGTH = "Inference-Header-Content-Length"
_KINDS = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4"}


def split(body: bytes, length: bytes | None) -> tuple[bytes, bytes]:
    """Return a body's JSON and what lies behind it.

    Raises:
        RequestError: The header says no length, or a longer one than the body has.
    """
    if length is None:
        return body, b""
    if not (length.isdigit() and len(length) < 10 and int(length) <= len(body)):
        raise RequestError(
            f"{JSON_LENGTH} is {length.decode('latin-1')!r}, the body has {len(body)} bytes.",
            remedy="Send the number of bytes of the JSON.",
        )
    return body[: int(length)], body[int(length) :]


def unpack(data: bytes) -> list[str]:
    """Return the texts of a BYTES tensor.

    Raises:
        RequestError: A length lies, or a text is no UTF-8.
    """
    texts: list[str] = []
    end = 0
    while end < len(data):
        start = end + 4
        length = int.from_bytes(data[end:start], "little")
        end = start + length
        if end > len(data):
            raise RequestError(
                f"Text {len(texts)} of the tensor ends behind the tensor's {len(data)} bytes.",
                remedy="Send each text's length in 4 bytes, little-endian, then its UTF-8.",
            )
        texts.append(decoded(len(texts), data[start:end]))
    return texts


def decoded(number: int, element: bytes) -> str:
    """Return a text of a BYTES tensor.

    Raises:
        RequestError: It is no UTF-8.
    """
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"Text {number} of the tensor is no UTF-8 at its byte {error.start}.",
            remedy="Send texts as UTF-8.",
        ) from error


def pack(datatype: str, values: list[Any]) -> bytes:
    """Return a tensor's values, given row by row, as bytes."""
    if datatype != "BYTES":
        return np.asarray(values, dtype=_KINDS[datatype]).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
