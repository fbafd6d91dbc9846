"""`init`, `check` and `schema`: the project file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bessemer.cli.options import (
    HomeOption,
    JsonOption,
    ProjectArgument,
    VerboseOption,
    platform,
    print_json,
    show,
)

app = typer.Typer(rich_markup_mode=None)


@app.command()
def init(
    table: Annotated[Path, typer.Argument(help="A csv, jsonl or parquet file.")],
    name: Annotated[str, typer.Option(help="Of the product; else the table's file name.")] = "",
    text: Annotated[str, typer.Option(help="Column with the text; else guessed.")] = "",
    label: Annotated[str, typer.Option(help="Column with the label; else guessed.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a project file, bessemer.yaml, beside a table."""
    path = platform(home).init(table, name=name, text=text, label=label)
    if as_json:
        print_json({"project": str(path)})
        return
    typer.echo(f"wrote {path}\n\n{path.read_text(encoding='utf-8')}")
    typer.echo(f"next: bessemer check {path.parent}")


@app.command()
def check(
    project: ProjectArgument = Path(),
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every setting, its origin and meaning.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Validate a project file and its data; nothing slow runs."""
    found = platform(home).check(project)

    def draw() -> None:
        from bessemer.cli import draw, terminal

        if explain:
            rows = [(s.key, s.value, s.origin, s.about) for s in found.settings]
            terminal.table(("setting", "value", "from", "meaning"), rows, "")
            typer.echo()
        draw.dataset(found.dataset)
        typer.echo("the project file and its data are in order")

    show(found, as_json, draw)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the project file, for completion in editors."""
    from bessemer.service.project_file import schema

    print_json(schema())
