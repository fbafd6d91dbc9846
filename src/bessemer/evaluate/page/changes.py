"""What a change did to a text, character by character."""

from __future__ import annotations

import unicodedata
from difflib import SequenceMatcher
from itertools import takewhile

#: Characters that are shown around what has changed, and of that.
AROUND, MOST = 120, 600
#: Equal Latin characters between two changes that are not worth telling apart.
SPECK = 2
#: Categories of characters that nothing is seen of.
_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")

#: Parts of a text, each with whether it has changed.
Pieces = list[tuple[str, bool]]


def pieces(before: str, after: str) -> tuple[Pieces, Pieces]:
    """Return both texts in pieces, the middle of long ones only."""
    lead = _alike(before, after)
    rest, other = before[lead:], after[lead:]
    tail = _alike(rest[::-1], other[::-1])
    first, second = _cut(rest[: len(rest) - tail]), _cut(other[: len(other) - tail])
    begin = _begin(before[:lead])
    end = _end(rest[len(rest) - tail :])
    gone: Pieces = [(begin, False)]
    new: Pieces = [(begin, False)]
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    for kind, low, high, start, stop in matcher.get_opcodes():
        same = first[low:high]
        changed = kind != "equal" or (len(same) <= SPECK and same.isascii())
        _add(gone, same, changed)
        _add(new, second[start:stop], changed)
    return _seen([*gone, (end, False)]), _seen([*new, (end, False)])


def _alike(one: str, other: str) -> int:
    """Return how many characters two texts begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _cut(text: str) -> str:
    return text if len(text) <= MOST else text[:MOST] + "…"


def _begin(text: str) -> str:
    return text if len(text) <= AROUND else "…" + text[-AROUND:]


def _end(text: str) -> str:
    return text if len(text) <= AROUND else text[:AROUND] + "…"


def _add(told: Pieces, text: str, changed: bool) -> None:
    """Add a piece, to the last one where that is of the same kind."""
    if told[-1][1] == changed:
        told[-1] = (told[-1][0] + text, changed)
    else:
        told.append((text, changed))


def _seen(told: Pieces) -> Pieces:
    """Return pieces without empty ones, with signs for what is unseen in the changed ones."""
    return [
        ("".join(map(_sign, text)) if changed else text, changed) for text, changed in told if text
    ]


def _sign(character: str) -> str:
    if character == " ":
        return "␣"
    if unicodedata.category(character) in _UNSEEN:
        return f"⟨U+{ord(character):04X}⟩"
    return character
