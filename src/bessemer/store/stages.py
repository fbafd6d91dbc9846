"""Outputs of stages under the digest of everything that determines them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bessemer.core import folder


@dataclass(frozen=True)
class Stages:
    """Folders `<root>/<stage>/<digest>`, each whole or absent."""

    root: Path

    def path(self, stage: str, key: str) -> Path:
        """Return where an output lies or would lie."""
        return self.root / stage / key

    def has(self, stage: str, key: str) -> bool:
        """Return whether the output is there, whole."""
        return (self.path(stage, key) / folder.MANIFEST).is_file()

    @contextlib.contextmanager
    def make(self, stage: str, key: str, *, unsealed: tuple[str, ...] = ()) -> Iterator[Path]:
        """Yield an empty folder that becomes the output when the block ends without an error.

        The caller holds the output's lock, so what lies aside under its key was left by a
        process that was killed.
        """
        folder.clear_aside(self.path(stage, key))
        with folder.atomic_folder(self.path(stage, key), unsealed=unsealed) as aside:
            yield aside

    def discard(self, stage: str, key: str) -> None:
        """Remove an output that nobody refers to, if there is one."""
        with self.lock(stage, key):
            shutil.rmtree(self.path(stage, key), ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, stage: str, key: str) -> Iterator[None]:
        """Hold the output to be made; see `folder.lock`."""
        with folder.lock(self.root / "locks" / f"{stage}-{key}"):
            yield
