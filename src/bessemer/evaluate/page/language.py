"""What the report says, in English and Chinese."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml

from bessemer.core.language import Messages


@cache
def messages() -> Messages:
    """Return every message in each language."""
    text = resources.files("bessemer.evaluate.page").joinpath("messages.yaml").read_text("utf-8")
    return Messages(yaml.safe_load(text))


def name(language: str, kind: str, key: str) -> str:
    """Return what a metric, perturbation or the like is called; its own name where it has none."""
    known = messages().get(f"{kind}.{key}")
    return known[language] if known else key.replace("_", " ")
