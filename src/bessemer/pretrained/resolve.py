"""From the name of a base model to a folder on this machine that is safe to load."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from bessemer.core import digest
from bessemer.core import folder as folders
from bessemer.core.errors import (
    ContractError,
    CorruptError,
    DataError,
    MissingExtraError,
    OperatorError,
    UnknownNameError,
    UnsafeModelError,
    needs,
)
from bessemer.core.progress import Watcher
from bessemer.core.records import Pretrained

WEIGHTS, CONFIG, TOKENISER = "model.safetensors", "config.json", "tokenizer.json"
#: Architectures whose code ships with transformers and that were tried here. A decoder's vectors
#: are pooled like an encoder's.
ENCODERS = ("bert", "distilbert", "roberta", "xlm-roberta", "mpnet", "electra")
DECODERS = ("gemma3_text",)
ARCHITECTURES = (*ENCODERS, *DECODERS)
#: What may stand in a configuration; everything else is dropped (see CVE-2026-4372).
CONFIG_KEYS = frozenset(
    [
        "model_type",
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "max_position_embeddings",
        "type_vocab_size",
        "initializer_range",
        "layer_norm_eps",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
        "position_embedding_type",
        "dim",
        "hidden_dim",
        "n_heads",
        "n_layers",
        "dropout",
        "attention_dropout",
        "activation",
        "embedding_size",
        "relative_attention_num_buckets",
        "sinusoidal_pos_embds",
        # Of decoders.
        "num_key_value_heads",
        "head_dim",
        "hidden_activation",
        "rms_norm_eps",
        "rope_parameters",
        "query_pre_attn_scalar",
        "sliding_window",
        "layer_types",
        "attention_bias",
        "attn_logit_softcapping",
        "use_bidirectional_attention",
    ]
)


@dataclass(frozen=True)
class Base:
    """A resolved base model: its record, its folder, its checked configuration."""

    record: Pretrained
    folder: Path
    config: dict[str, Any]


def known() -> dict[str, dict[str, str]]:
    """Return the catalogue: {name: {package, extra, folder or gguf, licence, about}}."""
    text = files("bessemer.pretrained").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    entries: dict[str, dict[str, str]] = yaml.safe_load(text)
    return entries


def resolve(
    name: str, *, relative_to: Path, cache: Path | None = None, watcher: Watcher | None = None
) -> Base:
    """Find a base by catalogue name, folder, or `hub:owner/name@revision`.

    A base that comes as GGUF is converted once, which takes minutes.

    Args:
        name: As written in the project file.
        relative_to: Folder that a relative path starts from.
        cache: Folder for what is converted; without one, such a base cannot be had.
        watcher: Is told of a conversion.

    Raises:
        UnknownNameError: No catalogue entry and no folder has that name.
        MissingExtraError: The package that carries the model is not installed.
        UnsafeModelError: The weights are not safetensors, or the configuration names code.
        DataError: A file is missing or not readable.
        OperatorError: The hub did not answer.
    """
    entries = known()
    licence = None
    if name in entries:
        entry = entries[name]
        spec = find_spec(entry["package"])
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtraError(entry["package"], entry["extra"])
        if "gguf" in entry:
            source = partial(_assembled, entry["package"])
            folder = _converted(source, entry["gguf"], name, cache, watcher)
        else:
            folder = Path(spec.submodule_search_locations[0]) / entry["folder"]
        licence = entry["licence"]
    elif name.startswith("hub:"):
        folder = _from_hub(name)
    else:
        folder = (relative_to / name).expanduser()
        if not folder.is_dir():
            raise UnknownNameError(
                "base", name, [*entries, "<a folder>", "hub:<owner>/<name>@<revision>"]
            )
        if not (folder / WEIGHTS).is_file() and len(found := list(folder.glob("*.gguf"))) == 1:
            source = partial(shutil.copyfile, found[0])
            folder = _converted(source, digest.of_file(found[0]), name, cache, watcher)
    return Base(
        record=Pretrained(name=name, digest=_checked_digest(folder), licence=licence),
        folder=folder,
        config=safe_config(folder / CONFIG),
    )


def _assembled(package: str, target: Path) -> None:
    """Join the parts of a model that comes in several packages."""
    with needs("gemma"):
        importlib.import_module(package).assemble(target, overwrite=True)


def _converted(
    source: Callable[[Path], Any],
    pinned: str,
    name: str,
    cache: Path | None,
    watcher: Watcher | None,
) -> Path:
    """Return the folder that a GGUF file was converted to, made if need be.

    Args:
        source: Writes the file to a path.
        pinned: Its SHA-256.
        name: Of the base, for the watcher.
        cache: Where the folder lies.
        watcher: Is told.
    """
    if cache is None:
        raise ContractError(f"The base {name!r} must be converted, and there is no folder for it.")
    target = cache / f"base-{pinned[:16]}"
    if (target / folders.MANIFEST).exists():
        return target
    with folders.lock(target.with_name(f".{target.name}.lock")):
        if not (target / folders.MANIFEST).exists():  # while this one waited
            _convert(source, pinned, name, target, watcher or Watcher())
    return target


def _convert(
    source: Callable[[Path], Any], pinned: str, name: str, target: Path, watcher: Watcher
) -> None:
    watcher.began("convert")
    began = time.monotonic()
    folders.clear_aside(target)
    with folders.atomic_folder(target) as aside:
        file = aside / "model.gguf"
        source(file)
        if (found := digest.of_file(file)) != pinned:
            raise CorruptError(
                f"The model file of {name!r} is not the pinned one: its SHA-256 is"
                f" {found[:12]}…, not {pinned[:12]}…."
            )
        from bessemer.pretrained.gguf import convert

        convert(file, aside)
        file.unlink()
    watcher.ended("convert", time.monotonic() - began, reused=False, note=f"{name} from GGUF")


def safe_config(path: Path) -> dict[str, Any]:
    """Read a `config.json` and keep only what is allowed.

    Raises:
        UnsafeModelError: It names code to run, or an architecture that is not allowed.
        DataError: It is not a JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}.", remedy="Choose another base."
        ) from error
    if not isinstance(config, dict):
        raise DataError(f"{path} holds no JSON object.", remedy="Choose another base.")
    for key in ("auto_map", "trust_remote_code", "custom_pipelines"):
        if config.get(key):
            raise UnsafeModelError(
                f"{path} asks to run its own code ({key!r}).",
                remedy="Bessemer never does; choose a base whose architecture is built in.",
            )
    if (architecture := config.get("model_type")) not in ARCHITECTURES:
        raise UnsafeModelError(
            f"{path} has model_type {architecture!r}, which is not an allowed architecture.",
            remedy=f"Allowed: {', '.join(ARCHITECTURES)}.",
        )
    return {key: value for key, value in config.items() if key in CONFIG_KEYS}


def _checked_digest(folder: Path) -> str:
    if not (folder / WEIGHTS).is_file():
        unsafe = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pkl"))
        if unsafe:
            raise UnsafeModelError(
                f"{folder} holds its weights as {', '.join(unsafe)}: loading these can run code.",
                remedy=f"Convert them to {WEIGHTS} where you trust them, or choose another base.",
            )
    for name in (WEIGHTS, CONFIG, TOKENISER):
        if not (folder / name).is_file():
            raise DataError(
                f"{folder} is no base model: {name} is missing.",
                remedy=f"A base holds {WEIGHTS}, {CONFIG} and {TOKENISER}.",
            )
    parts = {name: digest.of_file(folder / name) for name in (WEIGHTS, CONFIG, TOKENISER)}
    return digest.of_json(parts)


def _from_hub(name: str) -> Path:
    """Download a pinned revision (or take it from the hub's cache) and return its folder."""
    repository, _, revision = name.removeprefix("hub:").partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise MissingExtraError("huggingface_hub", "train") from error
    wanted = [WEIGHTS, CONFIG, TOKENISER]
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=wanted))
    except Exception as error:  # the hub client raises from several unrelated trees
        first_line = str(error).strip().partition("\n")[0].rstrip(".")
        raise OperatorError(
            f"The base {name!r} could not be had from the hub: {first_line}.",
            remedy="Check the name and the network, or give a folder that holds the model.",
        ) from error
