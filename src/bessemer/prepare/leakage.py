"""Rows that are like others, to the letter or nearly, within a split and across splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bessemer.core.dataset import SPLITS
from bessemer.core.progress import Progress
from bessemer.core.project import Prepare
from bessemer.prepare import near_duplicates
from bessemer.prepare.digests import Digests
from bessemer.prepare.duplicates import digests
from bessemer.prepare.ledger import Ledger
from bessemer.prepare.minhash import Places
from bessemer.prepare.rows import Mask, Workshop
from bessemer.prepare.whole import Whole


@dataclass(frozen=True)
class Leaks:
    """Places of rows of a later split, and of the row of an earlier split that each is like."""

    later: Places
    earlier: Places


def compare(
    whole: Whole, rules: Prepare, ledger: Ledger, shop: Workshop, progress: Progress
) -> Whole:
    """Report rows that are like others, and leave out those that the rules want left out.

    Across splits it is the earlier split's row that goes, so that what is measured stays. Texts
    of which many are alike hide some of their pairs from each other, so that what is left is
    looked through again until nothing more has to go.
    """
    texts = digests(pa.table({"text": whole.texts}), "text")
    kept = _told(whole, _exact(whole, texts, rules), "", rules, ledger)
    whole, texts = whole.where(kept, shop), texts[kept]
    if rules.near_duplicates == "ignore":
        return whole
    drop_leaks = rules.leakage == "drop"
    first = True
    while True:
        near = near_duplicates.find(
            whole.texts, whole.splits, whole.label_sets, progress, by_earlier=drop_leaks
        )
        # What is alike to the letter was told of before.
        new = texts[near.rows] != texts[near.others]
        across = new & near.across
        kept = _told(whole, Leaks(near.rows[across], near.others[across]), "nearly ", rules, ledger)
        # What goes for another reason is no copy that stays.
        within = new & ~near.across & kept[near.rows] & kept[near.others]
        if first and within.any():
            drop = rules.near_duplicates == "drop"
            rows, others = (whole.named.at(places[within]) for places in (near.rows, near.others))
            ledger.found("near duplicate", "dropped" if drop else "kept", rows, others=others)
            if drop:
                kept[near.rows[within]] = False
        whole, texts = whole.where(kept, shop), texts[kept]
        # Each further round leaves out a row at least, so that there is a last one.
        if not drop_leaks or kept.all():
            return whole
        first = False


def _exact(whole: Whole, texts: Digests, rules: Prepare) -> Leaks:
    """Return rows of different splits with one text.

    Each later row with its first one; or if earlier ones are to go, each of these with its last.
    """
    order = np.lexsort((whole.splits, texts))
    _, starts, counts = np.unique(texts[order], return_index=True, return_counts=True)
    ends = starts + (counts - 1 if rules.leakage == "drop" else 0)
    like = np.empty(len(texts), dtype=np.int64)
    like[order] = np.repeat(order[ends], counts)
    odd = np.flatnonzero(whole.splits[like] != whole.splits)
    return Leaks(like[odd], odd) if rules.leakage == "drop" else Leaks(odd, like[odd])


def _told(whole: Whole, leaks: Leaks, how: str, rules: Prepare, ledger: Ledger) -> Mask:
    """Write leaks down and return which rows stay."""
    kept = np.ones(len(whole.texts), dtype=bool)
    named = whole.named
    if rules.leakage == "drop":
        earlier, at = np.unique(leaks.earlier, return_index=True)
        like = named.at(leaks.later[at])
        ledger.found(f"text {how}of a later split", "dropped", named.at(earlier), others=like)
        kept[earlier] = False
        return kept
    for number, name in enumerate(SPLITS):
        at = whole.splits[leaks.later] == number
        rule = f"text of {name} {how or 'also '}in an earlier split"
        like = named.at(leaks.earlier[at])
        ledger.found(rule, "kept", named.at(leaks.later[at]), others=like)
    return kept
