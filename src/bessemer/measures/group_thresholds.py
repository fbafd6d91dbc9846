"""Thresholds that differ by group, so that each group's good outcomes are found as often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def needed(logits: NDArray[np.floating], favoured: NDArray[np.bool_]) -> Floats:
    """Return what must be added to the favoured labels' logits for one of them to win, shape [n].

    Args:
        logits: Shape [n, labels].
        favoured: Which labels are good to get, shape [labels]; some are, and some are not.
    """
    wide = np.asarray(logits, dtype=np.float64)
    return np.asarray(wide[:, ~favoured].max(axis=1) - wide[:, favoured].max(axis=1))


def offsets(
    need: Floats, deserved: NDArray[np.bool_], groups: Sequence[str | None], least: int
) -> dict[str, float]:
    """Return what is added to the favoured logits of each group (Hardt, Price & Srebro 2016).

    With it, every group's share of favoured answers among the rows that deserve one is that of
    all rows without it: equal opportunity, at a true-positive rate that stays what it was.

    Args:
        need: See `needed`, shape [n].
        deserved: Whether a favoured label is right, shape [n].
        groups: Of each row, None where it has none.
        least: Rows with a favoured label that a group needs; fewer are left as they are.

    Returns:
        In logits, by group; 0.0 where nothing is changed.
    """
    found = dict.fromkeys(sorted({group for group in groups if group is not None}), 0.0)
    rate = float((need[deserved] < 0).mean()) if deserved.any() else 0.0
    for name in found:
        mine = need[deserved & np.array([group == name for group in groups])]
        if len(mine) >= least:
            found[name] = _between(np.sort(mine), rate)
    return found


def _between(need: Floats, rate: float) -> float:
    """Return an offset above as large a share of the needs as `rate`, halfway to the next one."""
    reached = round(rate * len(need))
    if reached == 0:
        return min(0.0, float(need[0]) - 1e-6)
    if reached == len(need):
        return max(0.0, float(need[-1]) + 1e-6)
    low, high = float(need[reached - 1]), float(need[reached])
    return 0.0 if low < 0 <= high else (low + high) / 2


def shifted(
    logits: Sequence[NDArray[np.float32]],
    groups: Sequence[str | None],
    by_group: Mapping[str, float],
    favoured: NDArray[np.bool_],
) -> list[NDArray[np.float32]]:
    """Return logits with each row's offset added to its favoured labels.

    Args:
        logits: One row a text, shape [labels].
        groups: Of each text; one that is not known, or None, changes nothing.
        by_group: From `offsets`.
        favoured: Shape [labels].
    """
    return [
        np.asarray(row + np.float32(by_group.get(group or "", 0.0)) * favoured, dtype=np.float32)
        for row, group in zip(logits, groups, strict=True)
    ]
