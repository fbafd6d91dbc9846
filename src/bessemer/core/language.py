"""The languages that pages are in, and what they say in each."""

from __future__ import annotations

#: What a page says it is written in, by language; the first one is for readers of all others.
LANGUAGES = {"en": "en", "zh": "zh-Hans"}


class Messages(dict[str, dict[str, str]]):
    """What pages say: each message in each language."""

    def say(self, language: str, key: str, /, **values: object) -> str:
        """Return a message, its placeholders filled in."""
        return self[key][language].format(**values)
