"""Rows unlike the others: in length, in script or language, in how rare their label is."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bessemer.prepare.ledger import Ledger, Named
from bessemer.prepare.minhash import Places
from bessemer.prepare.rows import cells, placed
from bessemer.prepare.whole import Whole
from bessemer.prepare.words import frequencies, words

#: A length is unlike the others when its logarithm lies so many interquartile ranges outside the
#: middle half (Tukey's far out), and is so many times longer or shorter than it at least.
FAR, TIMES = 3.0, 3.0
#: A text's language is guessed when it has so many characters and less than this share of its
#: words is known from another text.
LETTERS, KNOWN = 20, 0.5
#: Texts by which the data set's own languages are found, and the least share of one.
SAMPLED, OWN = 300, 0.05
#: A label is rare below this share of the mean number of rows a label.
RARE = 0.1
#: What a detail lists.
TOLD = 5

#: Scripts by the letters that they alone have; texts of none of them are left out of it.
_SCRIPTS = {
    "Latin": "A-Za-z\u00c0-\u024f",
    "Han": "\u3400-\u4dbf\u4e00-\u9fff",
    "kana": "\u3040-\u30ff",
    "Hangul": "\uac00-\ud7af",
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff",
    "Arabic": "\u0600-\u06ff",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari": "\u0900-\u097f",
    "Thai": "\u0e00-\u0e7f",
}


def report(whole: Whole, ledger: Ledger) -> None:
    """Report texts of unlike length, script and language, and rows of rare labels."""
    _lengths(whole.texts, whole.named, ledger)
    _scripts(whole.texts, whole.named, ledger)
    _languages(whole.texts, whole.named, ledger)
    _rare(whole, ledger)


def _lengths(texts: pa.ChunkedArray, named: Named, ledger: Ledger) -> None:
    lengths = pc.utf8_length(texts).to_numpy()
    low, high = np.percentile(lengths, [25, 75])
    spread = FAR * np.log((high + 1) / (low + 1))
    shortest = min((low + 1) * np.exp(-spread) - 1, low / TIMES)
    longest = max((high + 1) * np.exp(spread) - 1, high * TIMES)
    odd = np.flatnonzero((lengths < shortest) | (lengths > longest))
    detail = f"half of all texts have {low:.0f} to {high:.0f} characters"
    ledger.found("length unlike the others", "kept", named.at(odd), detail=detail)


def _scripts(texts: pa.ChunkedArray, named: Named, ledger: Ledger) -> None:
    kinds = list(_SCRIPTS)
    found = np.empty(len(texts), dtype=np.int8)
    for start, batch in placed(pa.table({"text": texts})):
        counts = [
            pc.count_substring_regex(batch["text"], f"[{letters}]").to_numpy()
            for letters in _SCRIPTS.values()
        ]
        best = np.argmax(counts, axis=0)
        best[np.max(counts, axis=0) == 0] = -1
        found[start : start + batch.num_rows] = best
    total = np.bincount(found[found >= 0], minlength=len(kinds))
    own = total >= OWN * max(total.sum(), 1)
    odd = np.flatnonzero((found >= 0) & ~own[found])
    said = Counter(kinds[n] for n in found[odd])
    detail = f"{_listed(said)}; the others: {', '.join(np.array(kinds)[own])}"
    ledger.found("script unlike the others", "kept", named.at(odd), detail=detail)


def _languages(texts: pa.ChunkedArray, named: Named, ledger: Ledger) -> None:
    """Report texts in a language that few others are in.

    The language is guessed only of texts whose words hardly another has: it takes a while.
    """
    counts, _ = frequencies(texts)
    strange = [
        n
        for n, (text,) in enumerate(cells(pa.table({"text": texts}), "text"))
        if _odd(text, counts)
    ]
    if not strange:
        return
    import py3langid

    def spoken(places: Places) -> list[str]:
        some = texts.take(pa.array(places)).to_pylist()
        return [py3langid.classify(_plain(text))[0] for text in some]

    sample = np.sort(np.random.default_rng(0).permutation(len(texts))[:SAMPLED])
    usual = Counter(spoken(sample))
    own = {name for name, count in usual.items() if count >= OWN * len(sample)}
    places = np.array(strange, dtype=np.int64)
    said = spoken(places)
    odd = np.array([name not in own for name in said])
    detail = f"{_listed(Counter(name for name in said if name not in own))}; the others:"
    detail = f"{detail} {', '.join(sorted(own))}"
    ledger.found("language unlike the others", "kept", named.at(places[odd]), detail=detail)


def _odd(text: str, counts: Counter[str]) -> bool:
    """Return whether hardly another text has the words of this one."""
    found = words(text)
    known = sum(counts[word] > 1 for word in found)
    return len(text) >= LETTERS and known < KNOWN * len(found)


def _plain(text: str) -> str:
    """Return a text without what says nothing of its language."""
    return re.sub(r"\S*[@/\d]\S*", " ", text[:1000])


def _rare(whole: Whole, ledger: Ledger) -> None:
    counts = whole.sets.counts(whole.label_sets)
    least = RARE * sum(counts.values()) / max(len(counts), 1)
    rare = {label: count for label, count in counts.items() if count < least}
    odd = np.array([bool(found & rare.keys()) for found in whole.sets.sets])[whole.label_sets]
    detail = f"{len(rare)} of {len(counts)} labels have under {least:.0f} rows: {_listed(rare)}"
    ledger.found("rare label", "kept", whole.named.at(np.flatnonzero(odd)), detail=detail)


def _listed(counts: dict[str, int]) -> str:
    order = sorted(counts, key=lambda name: (counts[name], name))
    more = ", …" if len(order) > TOLD else ""
    return ", ".join(f"{name} {counts[name]}" for name in order[:TOLD]) + more
