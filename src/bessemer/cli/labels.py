"""`inspect` and `label`: labels that are probably wrong, and those that are wanted next."""

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
    show,
)
from bessemer.core.labelling import Forecast

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
    from bessemer.cli import terminal

    with terminal.Bar() as bar:
        found = platform(home).inspect(project, bar)

    def drawn() -> None:
        rows = [
            (one.row, one.split, one.given, one.suggested, f"{one.chance:.2f}", _short(one.text))
            for one in found.suspects
            if one.error
        ]
        header = ("row", "split", "label", "probably", "chance", "text")
        terminal.table(header, rows[:DRAWN], "no label is taken for an error")
        told = found.finding
        typer.echo(f"{told.rule}: {told.count} {told.action}, {told.detail}")

    show(found, as_json, drawn)


@app.command()
def label(
    project: ProjectArgument = Path(),
    items: Annotated[
        int | None, typer.Option("--items", help="How many.  [default: label.items]")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            help="diverse-margin, badge, margin, entropy, least-confidence, k-centre, typical,"
            " random; or suspects, rows whose label is probably wrong.  [default: label.strategy]",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Choose what to label next, put it up, and tell whether more labels still pay."""
    from bessemer.cli import terminal

    with terminal.Bar() as bar:
        found = platform(home).label(project, items=items, strategy=strategy, watcher=bar)

    def drawn() -> None:
        tests = f", {found.gold} of them tests" if found.gold else ""
        typer.echo(f"{found.campaign}: {found.items} items by {found.strategy}{tests}")
        if found.strategy != "suspects":
            typer.echo(f"{found.labels} labels so far, {found.pool} texts left in the pool")
            typer.echo(_told(found.forecast))
        typer.echo(
            "label them at /console: bessemer serve, and for each annotator"
            " bessemer keys create NAME --role annotator"
        )

    show(found, as_json, drawn)


def _told(forecast: Forecast | None) -> str:
    if forecast is None:
        return "too few labels to tell what more of them will add"
    accuracy, gain = forecast.accuracy, forecast.gain
    verdict = "stop: more labels hardly pay" if forecast.stop else "go on"
    return (
        f"{forecast.measured} accuracy {accuracy.value:.3f}"
        f" [{accuracy.low:.3f}, {accuracy.high:.3f}]; the next"
        f" {forecast.more} labels add {gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}]:"
        f" {verdict}"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
