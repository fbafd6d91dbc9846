"""English and Chinese: what the report says in each."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml

#: What a document says it is written in, by language.
LANGUAGES = {"en": "en", "zh": "zh-Hans"}


@cache
def messages() -> dict[str, dict[str, str]]:
    """Return every message in each language."""
    text = resources.files("bessemer.evaluate.page").joinpath("messages.yaml").read_text("utf-8")
    found: dict[str, dict[str, str]] = yaml.safe_load(text)
    return found


def say(language: str, key: str, /, **values: object) -> str:
    """Return a message, its placeholders filled in."""
    return messages()[key][language].format(**values)


def name(language: str, kind: str, key: str) -> str:
    """Return what a metric, perturbation or the like is called; its own name where it has none."""
    known = messages().get(f"{kind}.{key}")
    return known[language] if known else key.replace("_", " ")
