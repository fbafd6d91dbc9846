"""Images of the home's `blobs/`, as pages of a room may show them."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from bessemer.console.shell import Shell
from bessemer.core.errors import UnknownNameError

_DIGEST = re.compile(r"[0-9a-f]{64}")
#: What a file must begin with to be shown, whatever it is called; nothing that could hold a script.
KINDS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


class Images:
    """Answers with an image by its digest."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Return an image.

        Raises:
            UnknownNameError: There is none with this digest, or it is no image of the known kinds.
        """
        digest = request.path_params["digest"]
        path = self._shell.platform.home.root / "blobs" / digest
        if _DIGEST.fullmatch(digest) and path.is_file():
            with path.open("rb") as file:
                begins = file.read(16)
            for kind, beginning in KINDS.items():
                if beginning.match(begins):
                    return FileResponse(path, media_type=kind)
        raise UnknownNameError("image", digest[:64], [])
