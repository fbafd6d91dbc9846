"""A local fake of the hub's HTTP API, as far as `snapshot_download` asks it."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bessemer.core import digest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def hub(repository: str, revision: str, folder: Path) -> Iterator[str]:
    """Serve a folder as one repository with one revision; yield the hub's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            files = f"/{repository}/resolve/{COMMIT}/"
            if path == f"/api/models/{repository}/revision/{revision}":
                names = [{"rfilename": file.name} for file in sorted(folder.iterdir())]
                body = {"id": repository, "sha": COMMIT, "siblings": names}
                self._send(200, json.dumps(body).encode())
            elif path == f"/api/models/{repository}/tree/{COMMIT}":
                body = [
                    {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": COMMIT}
                    for f in sorted(folder.iterdir())
                ]
                self._send(200, json.dumps(body).encode())
            elif path.startswith(files) and (folder / path.removeprefix(files)).is_file():
                self._file(folder / path.removeprefix(files))
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

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
