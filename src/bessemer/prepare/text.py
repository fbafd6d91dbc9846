"""Bytes of a file as lines of text, in constant memory, with errors that name the place."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO, cast

import pyarrow as pa

from bessemer.core.errors import DataError, TooLargeError

#: Endings of compressed text, behind the one that says what it is: `table.csv.gz`.
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
#: How often larger than its file the inflated text may be, once it has more than the free bytes;
#: tables of a few sentences stay below 100.
MOST_RATIO, FREE_BYTES = 200, 100_000_000
MOST_INFLATED_BYTES = 500_000_000_000
#: A longer line is taken for a broken file.
MOST_LINE = 16_000_000
_BLOCK = 1 << 20


def ending(path: PurePath) -> str:
    """Return the ending that says how to read a file: `.csv` of `table.csv.gz`, too."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def lines(path: Path, encoding: str, newline: str = "\n", *, cut: bool = False) -> Iterator[str]:
    r"""Yield the lines of a file, each with its end; a byte-order mark is taken away.

    Args:
        path: A file; `.gz` and `.zst` are inflated on the way.
        encoding: Of its text.
        newline: `"\n"` splits there only, since texts may hold U+2028 and its like; `""` at
            `\r`, too.
        cut: Yield a long line in pieces and do not refuse it.

    Raises:
        DataError: The bytes are not of that encoding, or hold NUL; a line has no end; the file
            is not compressed as it says, or changed meanwhile.
        TooLargeError: It inflates to too much.
    """
    most = _BLOCK if cut else MOST_LINE
    number, rest = 1, ""
    for block in _decoded(path, encoding):
        if (nul := block.find("\0")) >= 0:
            raise DataError(
                f"{path}, line {number + block.count(chr(10), 0, nul)}: there is a NUL byte.",
                remedy="The file is damaged, or is UTF-16: then set data.encoding to utf-16.",
            )
        found = list(io.StringIO(rest + block, newline=newline))
        rest = "" if found[-1].endswith("\n") else found.pop()
        yield from found
        number += len(found)
        if len(rest) > most and cut:
            yield rest
            rest = ""
        elif len(rest) > most:
            raise DataError(
                f"{path}, line {number}: it has more than {MOST_LINE:,} characters.",
                remedy="Is a line break missing, or is it no text?",
            )
    if rest:
        yield rest


def decoded(path: Path, encoding: str) -> str:
    """Return the text of a small file; see `lines`."""
    return "".join(lines(path, encoding))


@contextlib.contextmanager
def steady(path: Path) -> Iterator[None]:
    """Hold that a file is the same before and after the block that reads it.

    Raises:
        DataError: It vanished or changed meanwhile, or the disk could not read it.
    """
    try:
        before = _mark(path)
        yield
        after = _mark(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE, errno.EIO, errno.EACCES, errno.ENOTDIR):
            raise
        raise DataError(
            f"{path} could not be read to its end: {error.strerror}.",
            remedy="Was it moved or removed? Put it back and repeat the command.",
        ) from error
    if before != after:
        raise DataError(
            f"{path} changed while it was read.",
            remedy="Repeat the command when nobody writes it.",
        )


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    """Yield the text of a file in blocks."""
    try:
        "".encode(encoding)  # which refuses encodings of other things than text
    except (LookupError, ValueError) as error:
        raise DataError(
            f"data.encoding is {encoding!r}, which is no known encoding.",
            remedy="Use utf-8, utf-16, gb18030, latin-1 …",
        ) from error
    exact = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    decoder, line, content = codecs.getincrementaldecoder(exact)(), 1, b"-"
    with steady(path), _opened(path) as file:
        while content:
            content = file.read(_BLOCK)
            try:
                if block := decoder.decode(content, final=not content):
                    yield block
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise DataError(
                    f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is no"
                    f" {encoding} text.",
                    remedy="Save the file as UTF-8, or set data.encoding (for example gb18030 or"
                    " latin-1).",
                ) from error
            except UnicodeError as error:
                raise DataError(
                    f"{path}: {error}.", remedy="Set data.encoding, for example to utf-16-le."
                ) from error
            line += block.count("\n")


def _mark(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _opened(path: Path) -> BinaryIO:
    kind = COMPRESSED.get(path.suffix.lower())
    if kind is None:
        return path.open("rb", buffering=_BLOCK)
    return cast(BinaryIO, io.BufferedReader(_Inflated(path, kind), _BLOCK))


class Bound:
    """Holds what a compressed file inflates to against its size: a few bytes may be terabytes."""

    def __init__(self, path: Path) -> None:
        self._path, self._found = path, 0
        self._most = min(max(FREE_BYTES, MOST_RATIO * path.stat().st_size), MOST_INFLATED_BYTES)

    def add(self, count: int) -> None:
        """Count so many bytes more.

        Raises:
            TooLargeError: These are too many.
        """
        self._found += count
        if self._found > self._most:
            raise TooLargeError(
                f"{self._path} inflates to more than {self._most:,} bytes, {MOST_RATIO} times its"
                " own size or more.",
                remedy="If you trust it, inflate it yourself and name a plain csv or jsonl file.",
            )


class _Inflated(io.RawIOBase):
    """What a compressed file holds, up to a bound."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind = path, kind
        self._bound = Bound(path)
        self._stream = pa.CompressedInputStream(pa.OSFile(os.fspath(path)), kind)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            found = self._stream.read(len(buffer))
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{self._path} is no whole {self._kind} file: {error}.",
                remedy="Compress it again, or inflate it yourself and name the plain file.",
            ) from error
        self._bound.add(len(found))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._stream.close()
        super().close()
