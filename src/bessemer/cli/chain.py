"""`run` and its stages alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bessemer.cli.errors import GATE_FAILED
from bessemer.cli.options import (
    HomeOption,
    JsonOption,
    ProjectArgument,
    VerboseOption,
    platform,
    print_json,
)
from bessemer.core.records import Run, Until

app = typer.Typer(rich_markup_mode=None)

OverrideOption = Annotated[
    str | None,
    typer.Option("--override", help="Release in spite of the gate, for this reason (owners)."),
]


@app.command()
def run(
    project: ProjectArgument = Path(),
    no_deploy: Annotated[
        bool, typer.Option("--no-deploy", help="End with the signed release.")
    ] = False,
    override: OverrideOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Go from the table to a deployed release; what is there already is reused.

    Ends with 3 when the gate lets nothing pass.
    """
    return _run(project, "release" if no_deploy else "deploy", home, as_json, override)


@app.command()
def prepare(
    project: ProjectArgument = Path(),
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Run as far as the checked and split rows."""
    return _run(project, "prepare", home, as_json)


@app.command()
def train(
    project: ProjectArgument = Path(),
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Run as far as the weights; an interrupted training goes on where it was."""
    return _run(project, "train", home, as_json)


@app.command()
def evaluate(
    project: ProjectArgument = Path(),
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Run as far as the report on the test split."""
    return _run(project, "evaluate", home, as_json)


@app.command()
def release(
    project: ProjectArgument = Path(),
    override: OverrideOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Run as far as the signed release, and deploy nothing."""
    return _run(project, "release", home, as_json, override)


def _run(
    project: Path, until: Until, home: Path | None, as_json: bool, override: str | None = None
) -> int:
    from bessemer.cli import draw, terminal

    with terminal.Bar() as bar:
        done = platform(home).run(project, until=until, override=override, watcher=bar)
    if as_json:
        print_json(summary(done))
    else:
        draw.run(done)
    return GATE_FAILED if done.state == "gate failed" else 0


def summary(done: Run) -> dict[str, Any]:
    """Return what `--json` prints of a run."""
    metrics = done.report.metrics if done.report else {}
    return {
        "run": done.id,
        "state": done.state,
        "release": done.release,
        "verdict": done.verdict.model_dump(mode="json") if done.verdict else None,
        "metrics": {
            name: {"value": m.value, "low": m.low, "high": m.high, "count": m.count}
            for name, m in metrics.items()
        },
        "seconds": done.seconds,
        "reused": list(done.reused),
    }
