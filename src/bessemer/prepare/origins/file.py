"""Files and folders of this machine."""

from __future__ import annotations

import os
from pathlib import Path

from bessemer.core.errors import DataError, nearest
from bessemer.core.project import Data
from bessemer.prepare.origins.base import Fetched, Origin, Place


class File(Origin):
    """A path, where relative from the folder of the project file; it is read where it lies."""

    schemes = ()

    def fetch(self, name: str, data: Data, place: Place) -> Fetched:
        """Return the path; see `Origin.fetch`."""
        path = place.relative_to / Path(name).expanduser()
        if not (path.is_file() or path.is_dir()):
            beside = {p.name for p in path.parent.iterdir()} if path.parent.is_dir() else set()
            close = nearest(path.name, beside - {path.name})
            raise DataError(
                f"{name!r}: there is no file {path}.",
                remedy=f"Did you mean {close!r}?" if close else "Check the path and its folder.",
            )
        if not os.access(path, os.R_OK):
            raise DataError(f"{name!r} may not be read.", remedy="Check its rights.")
        return Fetched(path)
