"""Which processor trains."""

from __future__ import annotations

from bessemer.core.errors import OperatorError


def device(asked: str) -> str:
    """Return the device to train on: the one asked for, or for "auto" the fastest there is.

    Raises:
        OperatorError: The one asked for is not there.
    """
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return next(name for name, found in there.items() if found)
    if not there[asked]:
        raise OperatorError(
            f"train.device is {asked!r}, but this machine (or this build of torch) has none.",
            remedy="Set train.device to auto or cpu, or install a build of torch for that device.",
        )
    return asked
