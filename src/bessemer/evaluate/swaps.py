"""Whether answers change when terms of a group, as "he" and "she", are swapped in the texts.

Counterfactual token fairness (Garg et al. 2019): another gender or origin is no reason for
another answer.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from bessemer.core.errors import UnknownNameError
from bessemer.core.report import Example, Perturbed
from bessemer.core.terms import Groups, swap
from bessemer.evaluate.examined import Ask, Examined
from bessemer.evaluate.robustness import measured


def check(asked: Collection[str], known: Collection[str], where: str) -> None:
    """Refuse a list of terms that there is none of.

    Args:
        asked: Names of the project file.
        known: Names of the lists that there are; see `core.terms.lists`.
        where: Place in the project file, to begin a message with.

    Raises:
        UnknownNameError: There is no such list.
    """
    for name in asked:
        if name not in known:
            raise UnknownNameError("list of terms", name, known, where=where)


def counterfactual(
    examined: Examined, name: str, groups: Groups, ask: Ask, seed: int
) -> tuple[Perturbed, list[Example]] | None:
    """Return how the model does on the texts with a term of a list, which is swapped in them.

    Where answers point into the text, these are only held against the ones before, by their
    labels: the swap has moved their places.

    Args:
        examined: The split.
        name: Of the list.
        groups: Its terms; `core.terms.swap` says how they are swapped.
        ask: Asks the model, once about all changed texts.
        seed: Of the swaps; what becomes of a text depends on no other text.

    Returns:
        The measurements and texts whose answer changes, or None when no text holds a term.
    """
    texts = [
        swap(text, groups, Random(f"{seed} {name} {row}"))
        for row, text in enumerate(examined.encoded.texts)
    ]
    result, shown = measured(examined, texts, name, ask)
    return (result, shown) if result.texts else None
