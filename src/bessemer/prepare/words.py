"""Words of texts, and in how many texts each stands."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa

from bessemer.prepare.rows import cells
from bessemer.tasks.token_classification import IDEOGRAPHS

#: Texts from which the frequency of words is learnt.
SAMPLED = 50_000

_WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}]+")


def words(text: str) -> list[str]:
    """Return a text's words in lower case; an ideograph is a word."""
    return _WORD.findall(text.lower())


def frequencies(texts: pa.ChunkedArray) -> tuple[Counter[str], int]:
    """Return in how many texts of a sample, evenly taken, each word stands, and its size."""
    step = max(1, len(texts) // SAMPLED)
    sample = texts.take(pa.array(np.arange(0, len(texts), step)))
    some = (set(words(text)) for (text,) in cells(pa.table({"text": sample}), "text"))
    return Counter(word for found in some for word in found), len(sample)
