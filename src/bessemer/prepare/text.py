"""Bytes of a file as text, with errors that name the place."""

from __future__ import annotations

from pathlib import Path

from bessemer.core.errors import DataError


def decoded(path: Path, encoding: str) -> str:
    """Return the text of a file; a byte-order mark is taken away.

    Raises:
        DataError: The bytes are not of that encoding, or hold NUL.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except LookupError as error:
        raise DataError(
            f"data.encoding is {encoding!r}, which is no known encoding.",
            remedy="Use utf-8, utf-16, gb18030, latin-1 …",
        ) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is no {encoding} text.",
            remedy="Save the file as UTF-8, or set data.encoding (for example gb18030 or latin-1).",
        ) from error
    if (nul := text.find("\0")) >= 0:
        raise DataError(
            f"{path}, line {text.count(chr(10), 0, nul) + 1}: there is a NUL byte.",
            remedy="The file is damaged, or is UTF-16: then set data.encoding to utf-16.",
        )
    return text
