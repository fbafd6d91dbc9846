"""A running server in a thread of this process, over a real socket."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import httpx
import uvicorn

from bessemer.http.app import guarded
from bessemer.http.server import listen, settings
from bessemer.service.platform import Platform
from bessemer.service.serving import Serving


class Server:
    """A running server, its keys, and a client."""

    def __init__(self, platform: Platform, serving: Serving, url: str) -> None:
        self.platform, self.serving, self.url = platform, serving, url
        self.owner = platform.keys.create("o", "owner").secret
        self.caller = platform.keys.create("c").secret
        self.annotator = platform.keys.create("a", "annotator").secret
        serving.plane.refresh()
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {self.caller}"})

    def predict(self, body: object, route: str = "small", **kwargs) -> httpx.Response:
        return self.http.post(f"/predict/{route}", json=body, **kwargs)


@contextlib.contextmanager
def running(platform: Platform) -> Iterator[Server]:
    serving = platform.serving()
    serving.start()
    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(settings(guarded(platform, serving.plane)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        found = Server(platform, serving, f"http://127.0.0.1:{bound.getsockname()[1]}")
        yield found
        found.http.close()
    finally:
        server.should_exit = True
        thread.join()
        serving.stop()
        platform.jobs.close()
        bound.close()
