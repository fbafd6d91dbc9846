"""Changes of a text as carelessness, keyboards and attackers make them, English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

import yaml

from bessemer.core.terms import Finder, Place, replaced
from bessemer.evaluate.negation import negation
from bessemer.tasks.token_classification import IDEOGRAPHS

#: Of so many letters one is mistyped, and of so many one is another script's.
TYPO_EVERY, LOOKALIKE_EVERY = 12, 8
#: Of so many places between words or ideographs one is spaced wrongly.
SPACE_EVERY = 4

_IDEOGRAPH = re.compile(f"[{IDEOGRAPHS}]")
_WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\s{IDEOGRAPHS}]+")
#: A letter that is not the first of its word.
_INNER = re.compile(r"(?<=[A-Za-z])[A-Za-z]")
#: A blank between words, or nothing between two ideographs.
_GAP = re.compile(rf"(?<=\S) (?=\S)|(?<=[{IDEOGRAPHS}])(?=[{IDEOGRAPHS}])")
_END = re.compile(r"\s*[.!?。！？…]+\s*$")
#: Not one that divides a number.
_COMMA = re.compile(r"(?<!\d),|,(?!\d)|[，、;；]")


@dataclass(frozen=True)
class Perturbation:
    """A change of texts. Of the same text and generator it makes the same; where there is nothing
    to change, as in a text without letters, it returns the text.
    """

    change: Callable[[str, Random], str]
    #: Whether the answer should stay.
    keeps: bool = True
    #: Whether every character stays in its place, so that spans stay where they are.
    aligned: bool = False

    def __call__(self, text: str, random: Random) -> str:
        """Return the changed text."""
        return self.change(text, random) if any(map(str.isalpha, text)) else text


@cache
def words(name: str) -> dict[str, Any]:
    """Return a table of words or characters that comes with Bessemer."""
    file = files("bessemer.evaluate").joinpath("words", f"{name}.yaml")
    read: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return read


@cache
def _alike() -> dict[str, str]:
    """Return for each Chinese character those that sound or look like it."""
    found: dict[str, str] = {}
    for first, second in words("characters")["chinese"]:
        found[first] = found.get(first, "") + second
        found[second] = found.get(second, "") + first
    return found


@cache
def _synonyms() -> tuple[Finder, dict[str, list[str]]]:
    groups = [group for part in words("synonyms").values() for group in part]
    held = {term.lower(): group for group in groups for term in group}
    return Finder(held), held


def _typos(text: str, random: Random) -> str:
    inner = [match.start() for match in _INNER.finditer(text)]
    known = [place for place, one in enumerate(text) if one in _alike()]
    letters = sum(one.isascii() and one.isalpha() for one in text) + len(_IDEOGRAPH.findall(text))
    places = inner + known
    count = min(len(places), max(1, round(letters / TYPO_EVERY)))
    characters = list(text)
    # From the end: so a letter that is swapped with the next one finds it as it came to be.
    for place in sorted(random.sample(places, count), reverse=True):
        following = text[place + 1 : place + 2]
        one = text[place]
        if one in _alike():
            characters[place] = random.choice(_alike()[one])
            continue
        ways = ["neighbour", "drop", "double"]
        if following.isascii() and following.isalpha() and following != one:
            ways.append("swap")
        way = random.choice(ways)
        if way == "swap":
            characters[place], characters[place + 1] = characters[place + 1], one
        elif way == "neighbour":
            characters[place] = _beside(one, random)
        else:
            characters[place] = "" if way == "drop" else one * 2
    return "".join(characters)


def _beside(letter: str, random: Random) -> str:
    beside = random.choice(words("characters")["keyboard"][letter.lower()])
    return str(beside.upper() if letter.isupper() else beside)


def _case(text: str, random: Random) -> str:
    forms = ["".join(map(form, text)) for form in (_one(str.upper), _one(str.lower))]
    first = random.randrange(2)
    return forms[first] if forms[first] != text else forms[1 - first]


def _one(form: Callable[[str], str]) -> Callable[[str], str]:
    """Return a change of case that leaves letters alone which it would make two of, as ß."""
    return lambda letter: form(letter) if len(form(letter)) == 1 else letter


def _punctuation(text: str, random: Random) -> str:
    without = _COMMA.sub("", text)
    if _END.search(without):
        return _END.sub("", without)
    dense = _IDEOGRAPH.match(text.rstrip()[-1:])
    return without.rstrip() + random.choice("。！…" if dense else (".", "!", "..."))


def _spacing(text: str, random: Random) -> str:
    gaps = [match.span() for match in _GAP.finditer(text)]
    count = min(len(gaps), max(1, len(gaps) // SPACE_EVERY))
    for start, end in sorted(random.sample(gaps, count), reverse=True):
        blanks = " " if start == end else random.choice(("", "  "))
        text = text[:start] + blanks + text[end:]
    around = not gaps or random.random() < 0.5
    return f" {text}  " if around else text


def _homoglyphs(text: str, random: Random) -> str:
    alike = words("characters")["lookalikes"]
    places = [place for place, one in enumerate(text) if one in alike]
    letters = sum(one.isascii() and one.isalpha() for one in text)
    characters = list(text)
    count = min(len(places), max(1, round(letters / LOOKALIKE_EVERY)))
    for place in random.sample(places, count):
        characters[place] = alike[text[place]]
    return "".join(characters)


def _full_width(text: str, random: Random) -> str:
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


def _with_synonyms(text: str, random: Random) -> str:
    finder, held = _synonyms()

    def other(place: Place) -> str:
        group = held[place.term]
        return random.choice([one for one in group if one.lower() != place.term] or group)

    return replaced(text, finder, other)


def _truncation(text: str, random: Random) -> str:
    found = list(_WORD.finditer(text))
    kept = len(found) - max(1, round(len(found) / 3))
    return text[: found[kept - 1].end()] if kept > 0 else text


#: All perturbations by name.
PERTURBATIONS = {
    # Chinese characters are taken for others that sound or look alike.
    "typos": Perturbation(_typos),
    "case": Perturbation(_case, aligned=True),
    "punctuation": Perturbation(_punctuation),
    "spacing": Perturbation(_spacing),
    # Cyrillic or Greek letters for Latin ones like them.
    "homoglyphs": Perturbation(_homoglyphs, aligned=True),
    # ASCII characters in the wide forms of Chinese keyboards.
    "full-width": Perturbation(_full_width, aligned=True),
    "negation": Perturbation(negation, keeps=False),
    "synonyms": Perturbation(_with_synonyms),
    # The last third of the words is cut off.
    "truncation": Perturbation(_truncation),
}
