"""`inspect`: labels that are probably wrong."""

from __future__ import annotations

from pathlib import Path

import typer

from bessemer.cli.options import (
    HomeOption,
    JsonOption,
    ProjectArgument,
    VerboseOption,
    platform,
    show,
)

app = typer.Typer(rich_markup_mode=None)
#: Rows that are drawn, and characters of a text.
DRAWN, SHOWN = 20, 60


@app.command()
def inspect(
    project: ProjectArgument = Path(),
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Tell which labels of the data set are probably wrong; nothing is changed."""
    from bessemer.cli import draw

    with draw.Bar() as bar:
        found = platform(home).inspect(project, bar)

    def drawn() -> None:
        rows = [
            (one.row, one.split, one.given, one.suggested, f"{one.chance:.2f}", _short(one.text))
            for one in found.suspects
            if one.error
        ]
        header = ("row", "split", "label", "probably", "chance", "text")
        draw.table(header, rows[:DRAWN], "no label is taken for an error")
        told = found.finding
        typer.echo(f"{told.rule}: {told.count} {told.action}, {told.detail}")

    show(found, as_json, drawn)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
