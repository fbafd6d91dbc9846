"""How a failure is told: one sentence, its causes, what to do; the trace only with -v."""

from __future__ import annotations

import json
import os
import sys
import traceback

import typer

from bessemer.core import errors

#: What the command-line library raises for a wrong option; it has no public name of its own.
USAGE = typer.BadParameter.__bases__[0]
BUG, GATE_FAILED, INTERRUPTED = 1, 3, 130
#: The first class that fits decides.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.UserError, 2),
    (errors.OperatorError, 4),
    (errors.IntegrityError, 5),
    (USAGE, 2),
    (typer.Abort, INTERRUPTED),
    (KeyboardInterrupt, INTERRUPTED),
)


def told(error: BaseException, arguments: list[str]) -> int:
    """Tell of an error on stderr (and as JSON on stdout with --json); return the exit code."""
    # Typer makes an exit of it.
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        # Whoever read our output has gone; say nothing more, not even while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    code = next((code for kind, code in EXIT_CODES if isinstance(error, kind)), BUG)
    if "-v" in arguments or "--verbose" in arguments:
        traceback.print_exception(error)
    message = _message(error, code)
    if "--json" in arguments:
        print(json.dumps({"error": message, "error_type": type(error).__name__}))
    print(f"error: {message}", file=sys.stderr)
    for cause in _causes(error):
        print(f"  because: {cause}", file=sys.stderr)
    return code


def _message(error: BaseException, code: int) -> str:
    if isinstance(error, USAGE):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "bessemer"
        # Of a missing argument only this one says which.
        message = str(getattr(error, "format_message", lambda: error)()).rstrip(".")
        return f"{message}. See `{command} --help`."
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted. Run the same command again to go on; finished stages are kept."
    if code == BUG and not isinstance(error, errors.BessemerError):
        shown = f"{type(error).__name__}: {error}"
        return f"this is a bug in Bessemer, please report it with the output of -v. {shown}"
    return str(error)


def _causes(error: BaseException) -> list[str]:
    """Return the chain of causes whose words the message does not repeat already."""
    causes, seen = [], str(error)
    cause = error.__cause__
    while cause is not None:
        text = str(cause).strip().partition("\n")[0]
        if text and text not in seen:
            causes.append(f"{type(cause).__name__}: {text}"[:300])
            seen += text
        cause = cause.__cause__
    return causes
