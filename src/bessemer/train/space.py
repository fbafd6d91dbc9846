"""What a search tries of a method's options: checked ranges and choices, and the usual ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bessemer.core.block import Block
from bessemer.core.errors import ProjectError, nearest
from bessemer.core.project import Search, Train

if TYPE_CHECKING:
    import optuna

Value = bool | int | float | str | None
#: What is tried of each option: the two ends of a range, or values to choose from.
Space = dict[str, list[Value]]
#: From so many times its lower end on, a range is searched by orders of magnitude.
WIDE = 10
#: The usual space, for whichever of these options a method has, around that method's default.
USUAL: dict[str, Callable[[Any], list[Value]]] = {
    "learning_rate": lambda rate: [rate / 4, rate * 4],
    "batch_size": lambda size: [size // 2, size, size * 2],
    "label_smoothing": lambda _: [0.0, 0.2],
    "dropout": lambda _: [0.0, 0.3],
    "averaging": lambda _: [0.0, 0.98, 0.99, 0.995],
    "rank": lambda rank: [rank // 2, rank, rank * 2, rank * 4],
}


def filled(train: Train, options: type[Block], where: Callable[..., str]) -> Search:
    """Return a train block's search with its space checked and filled in.

    Args:
        train: Has a search, and only the options that its author wrote.
        options: Those of its method.
        where: Returns the beginning of a message about the space, or about an option in it.

    Raises:
        ProjectError: There is nothing to search, or the space holds what cannot be tried.
    """
    search = train.search
    assert search is not None
    fields = options.model_fields
    if search.space is None:
        usual = {
            name: values(fields[name].default)
            for name, values in USUAL.items()
            if name in fields and name not in train.options
        }
        if not usual:
            raise ProjectError(
                f"{where()}train.search has nothing to try: {train.method} has none of the options"
                f" that are usually searched ({', '.join(USUAL)}), or all of them are set.",
                remedy="Name options and their values in train.search.space, or take another"
                " method.",
            )
        return search.model_copy(update={"space": usual})
    if not search.space:
        raise ProjectError(
            f"{where()}train.search.space is empty.",
            remedy="Name an option and its values, or leave space out for the usual ones.",
        )
    space: Space = {}
    for name, values in search.space.items():
        if name not in fields:
            close = nearest(name, fields)
            raise ProjectError(
                f"{where(name)}the key 'train.search.space.{name}' is not known.",
                remedy=(f"Did you mean {close!r}? " if close else "")
                + f"Options of {train.method}: {', '.join(fields)}.",
            )
        if name in train.options:
            raise ProjectError(
                f"{where(name)}{name} is both set and searched.",
                remedy="Remove it from the train block or from train.search.space.",
            )
        space[name] = _checked(name, values, options, where(name))
    return search.model_copy(update={"space": space})


def _checked(name: str, values: list[Any], options: type[Block], at: str) -> list[Value]:
    """Return the values as the option takes them."""
    key = f"{at}train.search.space.{name}"
    if len(values) < 2:
        raise ProjectError(
            f"{key} is {values!r}: that leaves nothing to choose.",
            remedy=f"Give two ends of a range or more values, or write {name} in the train block.",
        )
    found: list[Value] = []
    for value in values:
        try:
            one = getattr(options.model_validate({name: value}), name)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise ProjectError(
                f"{key} holds {value!r}: {problem[0].lower()}{problem[1:]}.",
                remedy=f"Every value must be one that train.{name} takes.",
            ) from error
        if not isinstance(one, (bool, int, float, str, type(None))) or one in (math.inf, -math.inf):
            raise ProjectError(
                f"{key} holds {value!r}, which is no single value.",
                remedy="Only finite numbers, strings, true and false can be searched.",
            )
        found.append(one)
    if is_range(found) and not found[0] < found[1]:  # type: ignore[operator]
        raise ProjectError(
            f"{key} is {values!r}: the lower end of a range must be below the upper one.",
            remedy="Write [low, high], or three values or more to choose from.",
        )
    return found


def is_range(values: Sequence[Value]) -> bool:
    """Return whether values are the two ends of a range and no choice."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return len(values) == 2 and len(numbers) == 2


def distribution(values: Sequence[Any]) -> optuna.distributions.BaseDistribution:
    """Return what Optuna draws from for an option's values."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if not is_range(values):
        return CategoricalDistribution(tuple(values))
    low, high = values
    wide = low > 0 and high / low >= WIDE
    kind = IntDistribution if isinstance(low, int) else FloatDistribution
    return kind(low, high, log=wide)
