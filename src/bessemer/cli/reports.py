"""`reports` and `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bessemer.cli.options import (
    HomeOption,
    JsonOption,
    VerboseOption,
    platform,
    print_json,
    show,
)
from bessemer.core import folder

app = typer.Typer(rich_markup_mode=None)
reports = typer.Typer(help="Show reports, and write them as pages.")
app.add_typer(reports, name="reports")

ModelArgument = Annotated[
    str, typer.Argument(help="A run, a release as support-intents@3, or a project for its newest.")
]


@app.command()
def compare(
    first: ModelArgument,
    second: ModelArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Hold two models against each other on the test rows that both were measured on."""
    found = platform(home).compare(first, second)

    def draw() -> None:
        from bessemer.cli.draw_report import comparison

        comparison(found)

    show(found, as_json, draw)


@reports.command("show")
def show_report(
    run: ModelArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show a report: metrics, slices, calibration, robustness, fairness, costs, verdict."""
    found = platform(home).reports.show(run)

    def draw() -> None:
        from bessemer.cli.draw_report import document

        document(found)

    show(found, as_json, draw)


@reports.command("page")
def write_page(
    run: ModelArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File.  [default: <run>.html]")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="en or zh.")] = "en",
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a report as one HTML file that needs no network and prints on A4."""
    page = platform(home).reports.page(run, language)
    path = out or Path(f"{run}.html")
    folder.atomic_file(path.absolute(), page.encode())
    if as_json:
        print_json({"run": run, "path": str(path), "bytes": len(page.encode())})
    else:
        typer.echo(str(path))
