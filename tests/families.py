"""A small project for each task family, and a base so small that training it takes seconds."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bessemer.pretrained.resolve import CONFIG, TOKENISER, WEIGHTS, resolve
from tests.conftest import small_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

TOWNS = ("Paris", "Wien", "北京", "Ulm", "“Little” Rome", "São Paulo", "Köln 🏰")
NAMES = ("Ada", "Grace Hopper", "李雷", "O'Neil", "Zoë")
#: More options for the project file, by family variant; every family has one variant or more.
VARIANTS = {
    "text-classification": ("text-classification", "{}"),
    "text-classification, several labels": ("text-classification", '{separator: "|"}'),
    "text-classification, out of scope": ("text-classification", "{out_of_scope: gift_card}"),
    "token-classification": ("token-classification", "{}"),
}


def rows_of(variant: str) -> list[tuple[str, str]]:
    """Return texts and label cells."""
    if variant == "token-classification":
        return spans()
    rows = small_rows()
    if variant.endswith("several labels"):
        return [
            (text, f"{label}|urgent" if number % 3 == 0 else label if number % 7 else "")
            for number, (text, label) in enumerate(rows)
        ]
    return rows


def spans() -> list[tuple[str, str]]:
    """Return sentences about people and towns, quoted, with emoji and in Chinese, with spans."""
    patterns = (
        "{name} flew to {town} yesterday.",
        'He said: "{name} lives in {town}", and left.',
        "👩‍🚀 {town} is where {name} works 🎉",
        "{name}去了{town}。",
        "Nothing to see here, row {name}{town}",
    )
    rows = []
    for number in range(100):
        pattern = patterns[number % len(patterns)]
        town, name = TOWNS[number % len(TOWNS)], NAMES[number // 3 % len(NAMES)]
        found = []
        if "Nothing" in pattern:
            text = pattern.format(name=number, town="")
        else:
            text = f"{number}. " + pattern.format(name=name, town=town)
            for label, part in (("person", name), ("town", town)):
                start = text.index(part)
                found.append({"start": start, "end": start + len(part), "label": label})
        rows.append((text, json.dumps(found, ensure_ascii=False)))
    return rows


def write_family(folder: Path, variant: str, train: str, *, base: str = "minilm-l6") -> Path:
    """Write a project of a variant; `train` is its train block."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows_of(variant)])
    task, labels = VARIANTS[variant]
    (folder / "bessemer.yaml").write_text(
        f"name: small\ntask: {task}\nbase: {base}\n"
        f"data: {{source: table.csv, labels: {labels}, split: {{test: 0.3, validation: 0.3}}}}\n"
        f"evaluate: {{resamples: 100}}\ntrain: {train}\n"
    )
    return folder


#: What both tiny bases have; the vocabulary is that of the real tokeniser beside them.
TINY = {
    "vocab_size": 30522,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}


def tiny_base(folder: Path) -> Path:
    """Write a BERT of two layers with random weights and a real tokeniser."""
    from transformers import BertConfig, BertModel

    return _written(folder, lambda: BertModel(BertConfig(**TINY), add_pooling_layer=False))


def tiny_decoder(folder: Path, layers: int = 2) -> Path:
    """Write a Gemma 3 with random weights and a real tokeniser."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    own = {"num_key_value_heads": 1, "head_dim": 16, "sliding_window": 8}
    config = {**TINY, **own, "num_hidden_layers": layers}
    return _written(folder, lambda: Gemma3TextModel(Gemma3TextConfig(**config)))


def _written(folder: Path, build: Callable[[], PreTrainedModel]) -> Path:
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = build()
    state = model.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(model.config.to_dict(), default=str))
    whole = resolve("minilm-l6", relative_to=folder)
    shutil.copyfile(whole.folder / TOKENISER, folder / TOKENISER)
    return folder
