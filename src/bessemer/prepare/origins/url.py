"""Objects in stores and on the web: any URL that fsspec opens."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from bessemer.core import digest
from bessemer.core.errors import BessemerError, DataError, MissingExtraError, OperatorError
from bessemer.core.progress import Step
from bessemer.core.project import Data
from bessemer.prepare.credentials import filled, hidden
from bessemer.prepare.origins.base import Fetched, Origin, Place, keep, room, whole
from bessemer.prepare.sources.base import source_for

#: What tells one content of an object from another, as the stores call it.
MARKS = (
    "ETag", "etag", "checksum", "md5Hash", "content_md5", "Content-MD5", "VersionId", "generation",
    "Last-Modified", "LastModified", "last_modified", "mtime", "updated", "modified", "created",
)  # fmt: skip
#: Names below a URL, each with its size and marks.
Objects = list[tuple[str, list[str]]]
#: What the disk says, in contrast to what the network does.
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_EXTRAS = {"s3fs": "s3", "aiohttp": "https"}


class Url(Origin):
    """A table, or a folder with a slash at its end, copied to this machine.

    `${NAME}` in it is replaced from the environment. What the store marks (by an ETag, a time) is
    fetched again only when its mark changes.
    """

    schemes = (
        "s3://", "gs://", "gcs://", "az://", "abfs://", "abfss://", "http://", "https://",
        "ftp://", "sftp://", "hdfs://", "webhdfs://", "smb://", "oss://",
    )  # fmt: skip

    def fetch(self, name: str, data: Data, place: Place) -> Fetched:
        """Return the copy; see `Origin.fetch`."""
        if "::" in name:
            raise DataError(f"{name!r} is a chain of URLs.", remedy="Name one.")
        url = filled(name, quoted=True)
        last = PurePosixPath(urlsplit(url).path.rstrip("/")).name or "data"
        if not url.endswith("/"):
            source_for(PurePosixPath(last))  # before much is fetched that nothing reads
        with _told(name):
            store, path = _store(url)
            objects = _objects(store, url, path)
        marked = all(len(marks) > 1 for _, marks in objects)
        target = place.cache / f"url-{digest.of_json([name, objects])[:32]}"
        if marked and whole(target):
            return Fetched(target / last)
        place.watcher.began("fetch")
        began = time.monotonic()
        with room(place) as aside:
            with _told(name):
                _copy(name, store, path, objects, aside / last, place)
                store.invalidate_cache()
                same = _objects(store, url, path) == objects
            if not same:
                raise DataError(
                    f"{name} changed while it was fetched.",
                    remedy="Repeat the command when nobody writes it.",
                )
            found = keep(aside / last, target if marked else None, place, "url")
        place.watcher.ended("fetch", time.monotonic() - began, reused=False, note=name)
        return Fetched(found)


def _copy(name: str, store: Any, path: str, objects: Objects, target: Path, place: Place) -> None:
    for key, _ in objects:
        if ".." in PurePosixPath(key).parts or key.startswith("/"):
            raise DataError(f"{name} holds {key!r}, which leads out of it.", remedy="Rename it.")
        where = target / key if key else target
        where.parent.mkdir(parents=True, exist_ok=True)
        remote = f"{path.rstrip('/')}/{key}" if key else path
        store.get_file(remote, os.fspath(where), callback=_counter(place, name))


def _store(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it."""
    from fsspec.config import conf
    from fsspec.core import url_to_fs

    scheme = url.partition(":")[0]
    options = {}
    if scheme in ("http", "https"):
        from aiohttp import ClientTimeout

        # Its own ends a download after five minutes, also one that goes on.
        patience = ClientTimeout(total=None, sock_connect=30, sock_read=60)
        options["client_kwargs"] = {
            "timeout": patience,
            **conf.get(scheme, {}).get("client_kwargs", {}),
        }
    store, path = url_to_fs(url, **options)
    store.invalidate_cache()
    return store, path


def _objects(store: Any, url: str, path: str) -> Objects:
    """Return the objects behind a URL: the name below it, or "", and what marks its content."""
    if not url.endswith("/"):
        return [("", _mark(store.info(path)))]
    top = path.rstrip("/") + "/"
    found = {
        key.removeprefix(top): _mark(info)
        for key, info in store.find(top, detail=True).items()
        if info["type"] == "file" and not f"{top}/".startswith(key)  # a folder's own mark
    }
    if not found:
        raise FileNotFoundError
    return sorted(found.items())


def _mark(info: dict[str, Any]) -> list[str]:
    return [f"size={info.get('size')}", *(f"{key}={info[key]}" for key in MARKS if info.get(key))]


def _counter(place: Place, name: str) -> Any:
    from fsspec.callbacks import Callback

    class Counter(Callback):  # type: ignore[misc]
        def call(self, hook_name: str | None = None, **kwargs: Any) -> None:
            done, total = self.value >> 20, (self.size or 0) >> 20
            place.watcher.step(Step("fetch", done, total, "MB", name))

    return Counter()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what stores and networks raise into errors that say what to do."""
    try:
        yield
    except BessemerError:
        raise
    except ImportError as error:  # fsspec raises a plain one for packages that are missing
        missing = next((one for one in _EXTRAS if one in str(error).lower()), None)
        if missing:
            raise MissingExtraError(missing, _EXTRAS[missing]) from error
        raise OperatorError(
            f"{name} needs a package: {error}.", remedy="Install it with pip."
        ) from error
    except Exception as error:  # every store has exceptions of its own
        if isinstance(error, OSError) and error.errno in _OURS:
            raise
        raise _translated(name, error) from error


def _translated(name: str, error: Exception) -> BessemerError:
    # Over HTTP the first one says "not found" whatever happened; its cause tells.
    web = name.lower().startswith("http")
    cause = error.__cause__ if web and isinstance(error, FileNotFoundError) else None
    status = getattr(cause or error, "status", None)
    told = hidden(str(cause or error), name).strip().partition("\n")[0].rstrip(".")
    told = f"{type(cause or error).__name__}: {told}" if told else type(cause or error).__name__
    if isinstance(error, FileNotFoundError) and (cause is None or status in (404, 410)):
        return DataError(f"There is no {name}.", remedy="Check the name, and that it is there.")
    if isinstance(error, PermissionError) or status in (401, 403) or "Credentials" in told:
        return OperatorError(
            f"{name} may not be read ({told}).",
            remedy="Check the credentials where Bessemer runs, and what they allow.",
        )
    return OperatorError(
        f"{name} could not be fetched ({told}).",
        remedy="Check the network and the address, and repeat the command.",
    )
