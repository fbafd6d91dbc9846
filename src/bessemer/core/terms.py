"""Terms that may stand for each other, as "he" and "she": found in a text, and swapped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from importlib.resources import files
from itertools import groupby
from random import Random
from typing import NamedTuple

from bessemer.core.evaluation import Terms

Groups = tuple[tuple[str, ...], ...]

#: Characters of scripts that are written without blanks: a term in them is found anywhere.
_DENSE = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTER = rf"[^\W{_DENSE}]"
_ARTICLE = re.compile(rf"(?<!{_LETTER})([aA][nN]?)(\s+)$")
_VOWEL = re.compile(
    r"(?!eu|uni(?![mn])|us[aeiu]|ut|one\b|once\b)[aeiou]|hour|honest|heir", re.IGNORECASE
)

#: Words that no noun is: before them "her" is "him", before any other it is "his".
_NO_NOUN = (
    r"a|about|after|again|all|am|an|and|any|are|as|at|away|back|be|because|been|before"
    r"|being|both|but|by|can|could|did|do|does|down|during|either|else|every|for|from|had"
    r"|has|have|he|her|here|him|his|how|i|if|in|into|is|it|just|later|like|may|me|might|my"
    r"|no|nor|not|now|of|off|on|once|or|our|out|over|please|she|should|since|so|some|soon"
    r"|than|that|the|their|them|then|there|these|they|this|those|though|to|today|tomorrow"
    r"|too|tonight|under|until|up|us|was|we|were|what|when|where|which|while|who|why|will"
    r"|with|without|would|yesterday|yet|you|your"
)
_MAYBE_NOUN = re.compile(rf"\s+(?!(?:{_NO_NOUN})\b)[^\W\d_]", re.IGNORECASE)


class Place(NamedTuple):
    """Where a term stands in a text: its characters are `text[start:end]`."""

    start: int
    end: int
    #: Small, its words one blank apart.
    term: str


class Finder:
    """Finds terms in texts, whatever their case, the longest one first.

    Terms of letters are whole words; those of a script without blanks are found anywhere.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        listed = sorted({_plain(term) for term in terms} - {""}, key=lambda one: (-len(one), one))
        words = [one for one in listed if re.match(_LETTER, one)]
        others = [one for one in listed if not re.match(_LETTER, one)]
        # Small letters are compared, and bounds stand around many words together: a bound and a
        # choice of case for each of hundreds would take seconds to compile.
        self._pattern = re.compile(rf"(?<!{_LETTER})(?:{_any(words)})|(?:{_any(others)})")

    def places(self, text: str) -> Iterator[Place]:
        """Yield where terms stand, from left to right."""
        for match in self._pattern.finditer(_small(text)):
            yield Place(match.start(), match.end(), " ".join(match[0].split()))


@lru_cache(maxsize=1)
def shipped() -> Terms:
    """Return the lists that come with Bessemer, by name; see `swap` for what they mean."""
    file = files("bessemer.core").joinpath("words", "terms.json")
    read = json.loads(file.read_text(encoding="utf-8"))
    return {name: tuple(map(tuple, groups)) for name, groups in read.items()}


def lists(own: Terms) -> Terms:
    """Return all lists by name: the shipped ones and a project's own, which go before them."""
    return {**shipped(), **own}


def replaced(text: str, finder: Finder, other: Callable[[Place], str]) -> str:
    """Return a text with other terms in the place of those found.

    Each is written as the one that stood there: in capitals, with a capital, or small. An "a" or
    "an" before it follows its first sound.

    Args:
        text: Any.
        finder: Of the terms.
        other: Of a place, what is put there.
    """
    parts, last = [], 0
    for place in finder.places(text):
        found, chosen = text[place.start : place.end], other(place)
        if chosen.lower() == found.lower():
            continue
        new = _written(found, chosen)
        before = _ARTICLE.sub(partial(_article, new), text[last : place.start])
        parts += [before, new]
        last = place.end
    return "".join([*parts, text[last:]])


def swap(text: str, groups: Groups, random: Random) -> str:
    """Return a text with every term of a list replaced by another one of its group.

    The place of a term in its group is its variant, the same in all groups: in `("he", "she")`
    and `("his", "her")` the second is the female one. One step from variant to variant is drawn
    for the whole text, so that its terms still agree. A group of one term guards it: 其他 is
    another word than 他. A term that stands in several groups belongs to the last of them before
    a word that may be a noun and to the first elsewhere: "her" is "his" in "her card" and "him" in
    "call her today". That is a rule of thumb: "I saw her leave" is taken for "his leave".

    Args:
        text: Any; without a term it comes back as it is.
        groups: One of `lists`.
        random: Draws the step.
    """
    finder, holding = _index(groups)

    def group(place: Place) -> tuple[str, ...]:
        held = holding[place.term]
        return held[-1] if _MAYBE_NOUN.match(text, place.end) else held[0]

    sizes = [len(one) for one in map(group, finder.places(text)) if len(one) > 1]
    if not sizes:
        return text
    step = random.randrange(1, min(sizes))

    def other(place: Place) -> str:
        variants = group(place)
        variant = [_plain(term) for term in variants].index(place.term)
        return variants[(variant + step) % len(variants)]

    return replaced(text, finder, other)


@lru_cache(maxsize=16)
def _index(groups: Groups) -> tuple[Finder, dict[str, Groups]]:
    """Return what finds the terms, and of each term the groups that hold it."""
    holding: dict[str, Groups] = {}
    for group in groups:
        for term in dict.fromkeys(map(_plain, group)):
            holding[term] = (*holding.get(term, ()), group)
    return Finder(holding), holding


def _any(terms: Iterable[str]) -> str:
    """Return a pattern of any of some terms in their order, or of nothing where there is none."""
    runs = groupby(terms, key=lambda term: re.match(_LETTER, term[-1]) is not None)
    parts = []
    for letter, run in runs:
        spaced = "|".join(r"\s+".join(map(re.escape, term.split())) for term in run)
        parts.append(rf"(?:{spaced})(?!{_LETTER})" if letter else spaced)
    return "|".join(parts) or r"(?!)"


def _small(text: str) -> str:
    """Return a text in small letters, every character in its place."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(one.lower() if len(one.lower()) == 1 else one for one in text)


def _plain(term: str) -> str:
    return " ".join(_small(term).split())


def _written(found: str, other: str) -> str:
    """Return a term in the case of the one that it replaces."""
    if found.isupper() and len(found) > 1:
        return other.upper()
    if found[:1].isupper() and other.partition(" ")[0].islower():
        return other[:1].upper() + other[1:]
    if found.islower() and other[:1].isupper() and not other.isupper():
        return other.lower()
    return other


def _article(new: str, article: re.Match[str]) -> str:
    vowel = _VOWEL.match(new) is not None
    if not new[:1].isascii():
        return article[0]
    n = ("N" if new.isupper() and article[1][0].isupper() else "n") if vowel else ""
    return article[1][0] + n + article[2]
