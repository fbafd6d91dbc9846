"""Every error Bessemer raises on purpose, grouped by who can act on it.

    BessemerError
    ├── UserError               the person who typed it can mend it
    │   ├── ProjectError        the project file is wrong
    │   ├── DataError           the table is wrong
    │   ├── UnknownNameError    no part, route or record has that name
    │   ├── RequestError        a request is malformed
    │   │   └── TooLargeError   ... or over a limit
    │   ├── AuthenticationError no valid key came with the request
    │   ├── ForbiddenError      the key's role may not do this
    │   └── ConflictError       the thing is not in a state that allows this
    ├── OperatorError           the person who runs the machine can mend it
    │   ├── MissingExtraError   an optional dependency is not installed
    │   ├── StorageError        the disk is full or refuses
    │   ├── PortTakenError      the address is in use
    │   ├── NotReadyError       not loaded yet, or draining
    │   ├── OverloadedError     more is asked for than can be computed in time
    │   └── DeadlineError       the answer was not there when it was still wanted
    ├── IntegrityError          bytes are not what was signed: nobody should go on
    │   ├── CorruptError        a digest does not match
    │   ├── SignatureError      the signature is missing, false or not trusted
    │   └── UnsafeModelError    the model could run code when loaded
    └── ContractError           a part breaks its contract: a programmer can mend it

A message says what was wrong, with the value; `remedy` says what to do. Exit codes and
HTTP statuses are the doors' business and do not appear here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

#: Characters of a name that a message repeats.
MOST_NAME = 100


class BessemerError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What was wrong, with the offending value.
        remedy: What to do about it, as a sentence.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class UserError(BessemerError):
    """The person who typed it can mend it."""


class ProjectError(UserError):
    """The project file is wrong."""


class DataError(UserError):
    """The table is wrong."""


class UnknownNameError(UserError):
    """No part, route or record has that name."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        names = sorted(known)
        if len(name) > MOST_NAME:
            name = f"{name[:MOST_NAME]}…"
        close = nearest(name, names)
        listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "") if names else "none"
        super().__init__(
            f"{where}{'there' if where else 'There'} is no {kind} {name!r}.",
            remedy=(f"Did you mean {close!r}? " if close else "") + f"Known: {listed}.",
        )


class RequestError(UserError):
    """A request is malformed."""


class TooLargeError(RequestError):
    """A request is over a limit."""


class AuthenticationError(UserError):
    """No valid key came with the request."""


class ForbiddenError(UserError):
    """The key's role may not do this."""


class ConflictError(UserError):
    """The thing is not in a state that allows this."""


class OperatorError(BessemerError):
    """The person who runs the machine can mend it."""


class MissingExtraError(OperatorError):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"The Python package {module!r} is not installed.",
            remedy=f"Install it with: pip install 'bessemer[{extra}]'",
        )


class StorageError(OperatorError):
    """The disk is full or refuses."""


class PortTakenError(OperatorError):
    """The address is in use."""


class NotReadyError(OperatorError):
    """Not loaded yet, or draining."""


class OverloadedError(OperatorError):
    """More is asked for than can be computed in time.

    Args:
        message: What is full.
        seconds: After which it may be asked again.
    """

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message, remedy=f"Ask again in {seconds:.3f} seconds.")
        self.seconds = seconds


class DeadlineError(OperatorError):
    """The answer was not there when it was still wanted."""


class IntegrityError(BessemerError):
    """Bytes are not what was signed."""


class CorruptError(IntegrityError):
    """A digest does not match."""


class SignatureError(IntegrityError):
    """The signature is missing, false or not trusted."""


class UnsafeModelError(IntegrityError):
    """The model could run code when loaded."""


class ContractError(BessemerError):
    """A part breaks its contract."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing package into a `MissingExtraError` that names the install extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "bessemer":
            raise
        raise MissingExtraError(error.name or "?", extra) from error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None when none is close."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return close[0] if close else None
