"""A release in memory: everything that turns texts into answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bessemer.bundle import format as bundle_format
from bessemer.bundle.format import Contents
from bessemer.core.errors import CorruptError
from bessemer.engines.base import ENGINES, Engine
from bessemer.tasks.base import TASKS, Encoded, Logits, Task


@dataclass(frozen=True)
class Resident:
    """A loaded release. Its methods may be called from several threads at once."""

    contents: Contents
    task: Task
    engine: Engine
    tokenizer: Tokenizer

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return features, as many rows as texts."""
        return self.task.encode(self.tokenizer, texts, self.contents.max_length)

    def logits(self, texts: Sequence[str]) -> list[Logits]:
        """Return the logits of each text."""
        return self.engine.run(self.encode(texts).features)

    def decode(
        self, encoded: Encoded, logits: Sequence[Logits], top_k: int | None
    ) -> list[list[dict[str, Any]]]:
        """Return for each text its predictions; see `Task.decode`."""
        return self.task.decode(encoded, logits, self.contents.calibration, top_k)


def load(bundle: Path, *, checked: bool = False) -> Resident:
    """Check every file of a bundle against its manifest and load it.

    Args:
        bundle: Its folder.
        checked: Whether the caller has just compared the files, with the signature.

    Raises:
        CorruptError: A file was changed, or the bundle needs a part of another version.
    """
    contents = (bundle_format.contents if checked else bundle_format.read)(bundle)
    name, _, version = contents.task.partition("@")
    task = TASKS.load(name)
    if str(task.version) != version:
        raise CorruptError(
            f"{bundle} was made for {contents.task}, here is {name}@{task.version}.",
            remedy="Serve it with the Bessemer that made it, or make the release again.",
        )
    engine = ENGINES.load(contents.engine.partition("-")[0])(bundle / bundle_format.GRAPH)
    whole = task(contents.label_rules, contents.labels)
    return Resident(contents, whole, engine, tokenizer(bundle / bundle_format.TOKENISER))


def tokenizer(path: Path) -> Tokenizer:
    """Return a tokenizer that neither pads nor cuts; the task and the engine see to that.

    Raises:
        CorruptError: The file is no tokenizer.
    """
    try:
        result = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise CorruptError(f"{path} cannot be loaded: {error}.") from error
    result.no_padding()
    result.no_truncation()
    return result
