"""What a release is made of: a sealed folder that any machine can check and serve.

bundle.json           what is needed to compute an answer (class Contents)
model.onnx            the encoder's graph: token ids to states, with places for an adapter
model.weights         its numbers: the same file in every release on a base that was left as it was
encoder.safetensors   the encoder's weights, for further training
head.safetensors      from states to logits
adapter.safetensors   a LoRA adapter on the encoder's matrices, where one was trained,
adapter_config.json   and its configuration, as peft reads them
config.json           the encoder's configuration, allow-listed keys only
tokenizer.json
report.json           what it is worth, with intervals
verdict.json          why the gate let it pass
project.json          the project file with every default
README.md             the model card
manifest.json         size and SHA-256 of every file above
statement.json        in-toto statement over these digests in a DSSE envelope, Ed25519
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from bessemer.core import folder
from bessemer.core.errors import CorruptError
from bessemer.core.project import Labels
from bessemer.core.record import Record
from bessemer.core.records import Pretrained

CONTENTS, GRAPH, GRAPH_WEIGHTS, TOKENISER, STATEMENT = (
    "bundle.json",
    "model.onnx",
    "model.weights",
    "tokenizer.json",
    "statement.json",
)
ENCODER, CONFIG, HEAD, ADAPTER, ADAPTER_CONFIG = (
    "encoder.safetensors",
    "config.json",
    "head.safetensors",
    "adapter.safetensors",
    "adapter_config.json",
)


class GroupThresholds(Record):
    """What is added to the logits of favoured labels, by the group of whom a text is about."""

    #: Columns that made the groups; the values of several are joined as `JOIN` joins them.
    across: tuple[str, ...]
    #: Labels that are good to get.
    labels: tuple[str, ...]
    #: In logits.
    offsets: dict[str, float]


class Contents(Record):
    """What an engine and a task need to turn a text into an answer."""

    format: Literal[2] = 2
    project: str
    #: Task and its version, as `text-classification@2`.
    task: str
    base: Pretrained
    #: What it adds to its base: 0 a head, 1 an adapter, too, 2 weights of its own instead.
    tier: Literal[0, 1, 2]
    #: Engine with its precision, as `onnx-int8`.
    engine: str
    labels: tuple[str, ...]
    #: What the project says about its labels.
    label_rules: Labels
    max_length: int
    #: Learnt on the validation split: "temperature", which divides the logits, and others.
    calibration: dict[str, float]
    #: The headline metric on the validation split by engine, the checked fall-back's evidence.
    validation_score: dict[str, float]
    #: Only where the project asks for them; callers say which group applies.
    group_thresholds: GroupThresholds | None = None


def read(path: Path) -> Contents:
    """Check every file of a bundle against its manifest and return its contents.

    Raises:
        CorruptError: A file is missing, added or changed.
    """
    folder.check(path, unsealed=(STATEMENT,))
    return contents(path)


def contents(path: Path) -> Contents:
    """Return the contents of a folder whose files were checked before.

    Raises:
        CorruptError: `bundle.json` is unreadable or of another format.
    """
    try:
        return Contents.model_validate(json.loads((path / CONTENTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise CorruptError(
            f"{path / CONTENTS} is no bundle of this format: {error}.",
            remedy="Make the release again with this version.",
        ) from error
