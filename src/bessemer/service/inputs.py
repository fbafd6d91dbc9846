"""The tables that a project names: where they lie, and what is in them."""

from __future__ import annotations

from pathlib import Path

from bessemer.core import digest
from bessemer.core.errors import ConflictError, ProjectError
from bessemer.core.progress import Watcher
from bessemer.core.project import Project
from bessemer.prepare.locate import fetch
from bessemer.prepare.origins.base import LOCAL, ORIGINS, Fetched, Place, origin_of
from bessemer.prepare.sources.folder import files_of
from bessemer.service.project_file import Loaded


def sources(project: Project) -> dict[str, str]:
    """Return what the data block names, by role."""
    split = project.data.split
    own = {"test": split.test, "validation": split.validation}
    return {
        "source": project.data.source,
        **{role: value for role, value in own.items() if isinstance(value, str)},
    }


def local_files(loaded: Loaded) -> dict[str, Path]:
    """Return the files of this machine that a project names, by the name it gives them.

    Raises:
        ProjectError: One is a folder, which cannot be sent.
    """
    place = Place(loaded.folder, loaded.folder, Watcher())
    local = ORIGINS.load(LOCAL)
    found = {
        name: fetch(name, loaded.project.data, place).path
        for name in sources(loaded.project).values()
        if origin_of(name) is local
    }
    for name, path in found.items():
        if path.is_dir():
            raise ProjectError(
                f"data.source {name!r} is a folder, which cannot be sent.",
                remedy="Make one file of it, say a csv or a parquet file.",
            )
    return found


def fetched(loaded: Loaded, role: str, place: Place) -> Fetched:
    """Return what stands for a role; a project from elsewhere reaches nothing through it."""
    name, data = sources(loaded.project)[role], loaded.project.data
    if role != "source":
        data = data.model_copy(update={"query": None})
    origin = origin_of(name)
    if loaded.uploads is None or origin.public:
        return fetch(name, data, place)
    if origin is not ORIGINS.load(LOCAL):
        known = [begins for one in ORIGINS.names() if ORIGINS.load(one).public
                 for begins in ORIGINS.load(one).schemes]  # fmt: skip
        raise ProjectError(
            f"data.source is {name!r}: a server fetches nothing for others but"
            f" {' and '.join(known)}.",
            remedy="Send the table with PUT /api/v1/files, or run the project on that machine.",
        )
    if name not in loaded.uploads:
        raise ProjectError(
            f"The file {name!r} was not sent with the project.",
            remedy="Send it with PUT /api/v1/files and name it in `files`.",
        )
    return Fetched(loaded.uploads[name])


def digest_of(path: Path) -> str:
    """Return the digest of a file, or of the files of a folder."""
    if path.is_dir():
        return digest.of_folder(path, files_of(path))
    return digest.of_file(path)


def check_unchanged(files: dict[str, Path], digests: dict[str, str]) -> None:
    """Hold files against the digests that stand for them, after they were read.

    Raises:
        ConflictError: One was changed meanwhile.
    """
    for role, path in files.items():
        if digest_of(path) != digests[role]:
            raise ConflictError(
                f"{path} changed while it was prepared.",
                remedy="Repeat the command when nobody writes it.",
            )
