"""A folder: of parts of one table, or of texts or images whose folders name their labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from bessemer.core.errors import DataError
from bessemer.core.project import Data
from bessemer.prepare.sources.base import MOST_CELL_BYTES, Source, batches, source_for
from bessemer.prepare.text import decoded, ending, steady

#: Parts of one table, whose columns must be the same.
PARTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
TEXTS = (".txt", ".md")
#: How files of each kind begin: (place, bytes).
IMAGES = {
    ".png": (0, b"\x89PNG\r\n\x1a\n"),
    ".jpg": (0, b"\xff\xd8\xff"),
    ".jpeg": (0, b"\xff\xd8\xff"),
    ".webp": (8, b"WEBP"),
}
#: What lies beside data and tells of it.
ABOUT = ("README", "LICENSE", "LICENCE", "NOTICE")


class Folder(Source):
    """All files of a folder and the folders in it, by name; names that begin with a dot or an
    underscore are left out, and at its top the files that tell of it, as `README.md`.

    Parts of a table are read one after the other. Each text and each image is a row: its label
    is the name of its folder (None at the top). The text of an image is its file's name.
    """

    version = 1
    suffixes = ("/",)

    def read(self, path: Path, data: Data) -> Iterator[pa.RecordBatch]:
        """Read the folder; see `Source.read`."""
        first = next(files_of(path), None)
        if first is None:
            raise DataError(
                f"{path} holds no files.", remedy="Put texts, images or parts of a table there."
            )
        if (kind := _kind(path / first)) == "part":
            yield from _parts(path, data)
            return
        where = "image" if kind == "image" else "file"
        names = [data.columns.text, data.columns.label, where]
        yield from batches(path, names, _rows(path, data, kind))


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the data files of a folder in the order of their names, relative to it.

    Raises:
        DataError: It may not be listed, or holds files of different kinds or what is no data.
    """
    first: Path | None = None
    for path in _walk(folder):
        if not path.is_file():
            raise DataError(f"{path} is no file.", remedy="Remove it, or what it points to.")
        name = path.relative_to(folder)
        first = first or name
        if _kind(path) != _kind(folder / first):
            raise DataError(
                f"{folder} holds different kinds of files: {first} and {name}.",
                remedy="Keep one kind in a folder: parts of a table, or texts, or images.",
            )
        yield name


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all files but those left out; a link to a folder is followed once."""

    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename} cannot be listed: {error.strerror}.",
            remedy="Check its rights, and that it is still there.",
        ) from error

    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "_"))
            and os.path.realpath(os.path.join(place, name)) not in seen
        )
        for name in sorted(names):
            about = Path(place) == folder and Path(name).stem.upper() in ABOUT
            if not name.startswith((".", "_")) and not about:
                yield Path(place) / name


def _kind(path: Path) -> str:
    found = ending(path)
    if found in PARTS:
        return "part"
    if found in TEXTS:
        return "text"
    if found in IMAGES:
        return "image"
    raise DataError(
        f"{path} is neither part of a table, text nor image.",
        remedy=f"Known endings: {', '.join((*PARTS, *TEXTS, *IMAGES))}. Move it elsewhere, or let"
        " its name begin with a dot.",
    )


def _parts(path: Path, data: Data) -> Iterator[pa.RecordBatch]:
    schema: pa.Schema | None = None
    for name in files_of(path):
        for batch in source_for(path / name)[1]().read(path / name, data):
            schema = schema or batch.schema
            if odd := sorted(set(schema.names) ^ set(batch.schema.names)):
                raise DataError(
                    f"{path / name} has other columns than the parts before it:"
                    f" {', '.join(map(repr, odd))} only on one side.",
                    remedy="Parts of one table have the same columns; move the others elsewhere.",
                )
            yield batch.select(schema.names)


def _rows(path: Path, data: Data, kind: str) -> Iterator[tuple[str, str | None, str]]:
    for name in files_of(path):
        if kind == "image":
            _check_image(path / name)
            text = name.stem
        else:
            with steady(path / name):
                size = (path / name).stat().st_size
            if size > MOST_CELL_BYTES:
                raise DataError(
                    f"{path / name} has {size:,} bytes.",
                    remedy=f"A text has at most {MOST_CELL_BYTES:,} bytes.",
                )
            text = decoded(path / name, data.encoding)
        label = name.parent.as_posix()
        yield text, None if label == "." else label, name.as_posix()


def _check_image(path: Path) -> None:
    place, begins = IMAGES[path.suffix.lower()]
    with steady(path), path.open("rb") as file:
        found = file.read(place + len(begins))
    if found[place:] != begins:
        raise DataError(
            f"{path} is no {path.suffix[1:]} image: it begins with {found[:12]!r}.",
            remedy="Give it the ending of what it is, or move it elsewhere.",
        )
