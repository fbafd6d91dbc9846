"""Releases in memory: everything that turns texts into answers, the base shared by all on it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bessemer.bundle import format as bundle_format
from bessemer.bundle import weights
from bessemer.bundle.format import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONTENTS,
    HEAD,
    TOKENISER,
    Contents,
    GroupThresholds,
)
from bessemer.bundle.weights import Adapter, Head
from bessemer.core import folder
from bessemer.core.errors import CorruptError, RequestError
from bessemer.engines.base import ENGINES, Engine, States
from bessemer.measures.group_thresholds import shifted
from bessemer.serve.policies import batches
from bessemer.tasks.base import TASKS, Encoded, Features, Logits, Task

_numbers = count()


@dataclass(frozen=True, eq=False)
class Model:
    """From token ids to logits: an engine that others may share, its adapter there, and a head."""

    engine: Engine
    head: Head
    adapter: str | None
    #: Whether the head reads one vector a text, or one a token.
    pooled: bool

    def logits(self, states: Sequence[States]) -> list[Logits]:
        """Return the logits of each text from its states."""
        if self.pooled and states:
            return list(self.head(np.stack(states)))
        return [self.head(row) for row in states]

    def run(self, features: Sequence[Features]) -> list[Logits]:
        """Return the logits of any number of rows, computed in batches of like length."""
        return [logits for logits, _ in self.seen(features)]

    def seen(self, features: Sequence[Features]) -> list[tuple[Logits, States]]:
        """Return logits as `run` does, each with a vector of its text, shape [width], length 1."""
        found: dict[int, tuple[Logits, States]] = {}
        for batch in batches([len(row) for row in features]):
            rows, adapters = [features[n] for n in batch], [self.adapter] * len(batch)
            states = self.engine.run(rows, adapters, pooled=self.pooled)
            vectors = states if self.pooled else [_unit(one.mean(axis=0)) for one in states]
            pairs = zip(self.logits(states), vectors, strict=True)
            found.update(zip(batch, pairs, strict=True))
        return [found[number] for number in range(len(features))]


def _unit(vector: States) -> States:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)


def shift(
    logits: Sequence[Logits],
    groups: Sequence[str | None],
    thresholds: GroupThresholds,
    labels: Sequence[str],
) -> list[Logits]:
    """Return logits after the thresholds of each text's group; `labels` name their columns."""
    favoured = np.array([label in thresholds.labels for label in labels], dtype=bool)
    return shifted(logits, groups, thresholds.offsets, favoured)


def attached(
    engine: Engine, place: Path, digests: Mapping[str, str] | None = None, *, pooled: bool
) -> Model:
    """Return a task on an engine; its adapter is detached when nobody holds it any more.

    Args:
        engine: Of its base.
        place: Folder of its head and, if it has one, its adapter.
        pooled: Whether the head reads one vector a text.
        digests: SHA-256 of the files, to be held against them whenever they are read.

    Raises:
        CorruptError: They were changed, cannot be read or do not fit the engine.
    """

    def check(*names: str) -> None:
        for name in names:
            if digests is not None:
                folder.check_file(place / name, digests.get(name, ""))

    def load() -> Adapter:
        check(ADAPTER, ADAPTER_CONFIG)
        return weights.read_adapter(place)

    check(HEAD)
    # Before it is asked whether there is an adapter: without its file, or with another one, the
    # task would be served without what it has learnt.
    if ADAPTER_CONFIG in (digests or ()) or (place / ADAPTER_CONFIG).exists():
        check(ADAPTER_CONFIG)
    head = weights.read_head(place)
    if not weights.has_adapter(place):
        return Model(engine, head, None, pooled)
    name = f"adapter-{next(_numbers)}"
    engine.attach(name, load)
    model = Model(engine, head, name, pooled)
    weakref.finalize(model, engine.detach, name)
    return model


@dataclass(frozen=True, eq=False)
class Base:
    """What releases share whose encoders and tokenizers are equal to the byte."""

    engine: Engine
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Resident:
    """A loaded release. Its methods may be called from several threads at once."""

    contents: Contents
    task: Task
    base: Base
    model: Model

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return features, as many rows as texts."""
        return self.task.encode(self.base.tokenizer, texts, self.contents.max_length)

    def features(self, ids: Sequence[int]) -> Features:
        """Return token ids that a caller brings as an engine takes them, cut at the longest.

        Raises:
            RequestError: One of them is no token of the base.
        """
        known = self.base.tokenizer.get_vocab_size()
        if not ids:
            raise RequestError("A text has no token.", remedy="Send one token at least.")
        for token in ids:
            if not 0 <= token < known:
                raise RequestError(
                    f"There is no token {token}.", remedy=f"Tokens are numbered 0 to {known - 1}."
                )
        return np.array(ids[: self.contents.max_length], dtype=np.int64)

    def logits(self, texts: Sequence[str]) -> list[Logits]:
        """Return the logits of each text."""
        return self.model.run(self.encode(texts).features)

    def shifted(self, logits: Sequence[Logits], groups: Sequence[str | None]) -> list[Logits]:
        """Return logits after the thresholds of each text's group; see `measures`."""
        found = self.contents.group_thresholds
        return list(logits) if found is None else shift(logits, groups, found, self.task.labels)

    def decode(
        self,
        encoded: Encoded,
        logits: Sequence[Logits],
        top_k: int | None,
        coverage: float | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Return for each text its predictions; see `Task.decode`."""
        return self.task.decode(encoded, logits, self.contents.calibration, top_k, coverage)


class Residents:
    """Loads releases; a base is in memory once, and goes when the last release on it does."""

    def __init__(self) -> None:
        self._bases: weakref.WeakValueDictionary[object, Base] = weakref.WeakValueDictionary()
        self._loading = threading.Lock()

    def load(self, bundle: Path, digests: Mapping[str, str]) -> Resident:
        """Load a release after comparing what is read of it with its digests.

        Args:
            bundle: Its folder.
            digests: SHA-256 of each file, from whoever vouches for them.

        Raises:
            CorruptError: A file was changed, or the bundle needs a part of another version.
        """
        folder.check_file(bundle / CONTENTS, digests.get(CONTENTS, ""))
        contents = bundle_format.contents(bundle)
        name, _, version = contents.task.partition("@")
        task = TASKS.load(name)
        if str(task.version) != version:
            raise CorruptError(
                f"{bundle} was made for {contents.task}, here is {name}@{task.version}.",
                remedy="Serve it with the Bessemer that made it, or make the release again.",
            )
        base = self._base(bundle, digests, contents.engine)
        model = attached(base.engine, bundle, digests, pooled=task.pooled)
        return Resident(contents, task(contents.label_rules, contents.labels), base, model)

    def _base(self, bundle: Path, digests: Mapping[str, str], name: str) -> Base:
        """Return the base of a bundle, the one in memory if there is one."""
        engine = ENGINES.load(name.partition("-")[0])
        read = {file: digests.get(file, "") for file in (*engine.files, TOKENISER)}
        key = (engine, *read.values())
        with self._loading:
            base = self._bases.get(key)
            if base is None:
                for file, wanted in read.items():
                    folder.check_file(bundle / file, wanted)
                base = Base(engine(bundle), tokenizer(bundle / TOKENISER))
                self._bases[key] = base
            return base


def load(bundle: Path) -> Resident:
    """Check every file of a bundle against its manifest and load it by itself.

    Raises:
        CorruptError: See `Residents.load`.
    """
    digests = folder.check(bundle, unsealed=(bundle_format.STATEMENT,))
    return Residents().load(bundle, digests)


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
