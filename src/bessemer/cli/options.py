"""Options that many commands take, and what they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from bessemer.core.records import Deployment
from bessemer.service.deployments import told
from bessemer.service.platform import Platform

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Home folder.  [default: $BESSEMER_HOME, else .bessemer]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
# Read by `cli.errors.told` from the arguments, since a failure can come before any command.
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Show traces of errors.")]
ProjectArgument = Annotated[Path, typer.Argument(help="The project file, or its folder.")]


def platform(home: Path | None) -> Platform:
    """Open the home folder."""
    return Platform.open(home)


def show(value: BaseModel | Sequence[BaseModel], as_json: bool, draw: Callable[[], None]) -> None:
    """Print records as one JSON document, or have them drawn."""
    if not as_json:
        draw()
    elif isinstance(value, BaseModel):
        print_json(value.model_dump(mode="json"))
    else:
        print_json([one.model_dump(mode="json") for one in value])


def show_deployed(deployment: Deployment, as_json: bool) -> None:
    """Print what a route does since a deployment."""
    show(deployment, as_json, lambda: typer.echo(told(deployment)))


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
