"""A local fake of the hub's HTTP API, as far as its packages ask it here."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bessemer.core import digest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def hub(repository: str, revision: str, folder: Path, kind: str = "models") -> Iterator[str]:
    """Serve a folder as one repository with one revision; yield the hub's address.

    `kind` is models or datasets, and COMMIT is what the revision means now.
    """
    api = f"/api/{kind}/{repository}"
    files = f"{'' if kind == 'models' else f'/{kind}'}/{repository}/resolve/"

    def tree() -> list[dict]:
        return [
            {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": COMMIT}
            for f in sorted(folder.iterdir())
        ]

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            wanted = dict(urllib.parse.parse_qsl(asked.decode())).get("paths", "")
            self._send(200, json.dumps([one for one in tree() if one["path"] == wanted]).encode())

        def _answer(self) -> None:
            path = urllib.parse.unquote(self.path.partition("?")[0])
            path = path.replace(f"{files}{revision}/", f"{files}{COMMIT}/")
            file = folder / path.removeprefix(f"{files}{COMMIT}/")
            if path in (f"{api}/revision/{revision}", f"{api}/revision/{COMMIT}"):
                names = [{"rfilename": file["path"]} for file in tree()]
                body = {"id": repository, "sha": COMMIT, "siblings": names}
                self._send(200, json.dumps(body).encode())
            elif path.rstrip("/") == f"{api}/tree/{COMMIT}":
                self._send(200, json.dumps(tree()).encode())
            elif path.startswith(files) and file.is_file():
                self._file(file)
            else:
                code = "EntryNotFound" if path.startswith((files, api)) else "RepoNotFound"
                self._send(404, b"{}", {"X-Error-Code": code})

        def _file(self, file: Path) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(file.stat().st_size))
            self.send_header("ETag", f'"{digest.of_file(file)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                with file.open("rb") as content:
                    shutil.copyfileobj(content, self.wfile)

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
