"""Requests to a server with a key."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel

from bessemer.core import digest, errors, folder

Noun = TypeVar("Noun", bound=BaseModel)
TIMEOUT_SECONDS = 120


class Http:
    """Requests with a key; refusals become the errors they were on the server."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def call(
        self, method: str, path: str, body: Any = None, *, timeout: float = TIMEOUT_SECONDS
    ) -> Any:
        """Send JSON and return JSON."""
        content = None if body is None else json.dumps(body).encode()
        text = self._send(
            method, path, content, {"Content-Type": "application/json"}, timeout=timeout
        )
        return json.loads(text) if text else None

    def send_file(self, local: Path) -> str:
        """Send a file's bytes where the server lacks them, and return their SHA-256."""
        path = f"/files/{(sha256 := digest.of_file(local))}"
        try:
            self.call("GET", path)
        except errors.UnknownNameError:
            with local.open("rb") as file:
                size = str(local.stat().st_size)
                self._send("PUT", path, file, {"Content-Length": size})
        return sha256

    def receive_file(self, path: str, local: Path) -> None:
        """Write the bytes that are answered to a file."""
        folder.atomic_file(local, self._send("GET", path, None, {}))

    def nouns(self, path: str, kind: type[Noun], **filters: str | None) -> list[Noun]:
        """Return a list of records."""
        given = {name: value for name, value in filters.items() if value is not None}
        query = f"?{urllib.parse.urlencode(given)}" if given else ""
        return [kind.model_validate(value) for value in self.call("GET", path + query)]

    def receive(self, path: str, file: IO[bytes]) -> None:
        """Write what an address answers into a file."""
        self._send("GET", path, None, {}, file)

    def _send(
        self,
        method: str,
        path: str,
        content: Any,
        headers: dict[str, str],
        file: IO[bytes] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> bytes:
        request = urllib.request.Request(self._url + path, content, headers, method=method)
        request.add_header("Authorization", f"Bearer {self._key}")
        text = b""
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                if file is None:
                    text = answer.read()
                else:
                    with folder.storage_errors(Path(tempfile.gettempdir())):
                        shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as error:
            raise _refused(error) from error
        except (OSError, HTTPException) as error:
            raise errors.OperatorError(
                f"{self._url} did not answer: {error}.",
                remedy="Check the address, and that `bessemer serve` runs there.",
            ) from error
        return text


def _refused(error: urllib.error.HTTPError) -> errors.BessemerError:
    try:
        body = json.loads(error.read())
        message, kind = str(body["error"]), str(body["error_type"])
    except (ValueError, KeyError, TypeError):
        message, kind = f"The server answered {error.code} {error.reason}.", ""
    known = getattr(errors, kind, errors.BessemerError)
    if not (isinstance(known, type) and issubclass(known, errors.BessemerError)):
        known = errors.BessemerError
    result = known.__new__(known)
    errors.BessemerError.__init__(result, message)
    return result


def quoted(name: str) -> str:
    """Return a name as a part of an address."""
    return urllib.parse.quote(name, safe="@")
