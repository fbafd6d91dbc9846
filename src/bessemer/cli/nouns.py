"""`runs`, `releases`, `deployments`, `aliases`, `keys`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from bessemer.cli.options import (
    HomeOption,
    JsonOption,
    VerboseOption,
    platform,
    show,
    show_deployed,
)
from bessemer.core.records import Key
from bessemer.core.report import Report

app = typer.Typer(rich_markup_mode=None)
runs = typer.Typer(help="List, show and compare runs.")
releases = typer.Typer(help="List, show and verify releases.")
deployments = typer.Typer(help="List deployments; promote, roll back, unload, load.")
aliases = typer.Typer(help="List, set and remove other names of routes.")
keys = typer.Typer(help="Create, list and revoke API keys.")
app.add_typer(runs, name="runs")
app.add_typer(releases, name="releases")
app.add_typer(deployments, name="deployments")
app.add_typer(aliases, name="aliases")
app.add_typer(keys, name="keys")

ProjectFilter = Annotated[str | None, typer.Option("--project", help="Of this project only.")]
ReleaseArgument = Annotated[
    str, typer.Argument(help="As support-intents@3, or a project's name for its newest.")
]

RouteArgument = Annotated[str, typer.Argument(help="The route's name.")]


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    from bessemer.cli import terminal

    terminal.table(columns, rows, empty)


def _time(at: datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


@runs.command("list")
def list_runs(
    project: ProjectFilter = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List runs, newest first."""
    found = platform(home).runs.list(project)
    rows = []
    for run in found:
        best = _headline(run.report) if run.report else ""
        rows.append(
            (run.id, run.project, run.state, _time(run.started_at), best, run.release or "")
        )
    columns = ("run", "project", "state", "started", "result", "release")
    show(found, as_json, lambda: _table(columns, rows, "no runs yet: bessemer run"))


@runs.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="Its id.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show one run: stages, report, verdict."""
    found = platform(home).runs.show(run)

    def draw() -> None:
        from bessemer.cli import draw

        draw.run(found)

    show(found, as_json, draw)


@runs.command("compare")
def compare_runs(
    first: Annotated[str, typer.Argument(help="Its id.")],
    second: Annotated[str, typer.Argument(help="Another's.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show two runs side by side: settings that differ, metrics, seconds, and who is better."""
    found = platform(home).runs.compare(first, second)

    def draw() -> None:
        from bessemer.cli.draw_report import side_by_side

        side_by_side(found)

    show(found, as_json, draw)


@releases.command("list")
def list_releases(
    project: ProjectFilter = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List releases, newest first."""
    found = platform(home).releases.list(project)
    rows = [(r.id, r.state, _time(r.created_at), _headline(r.report), r.run) for r in found]
    columns = ("release", "state", "made", "result", "run")
    show(found, as_json, lambda: _table(columns, rows, "no releases yet: bessemer run"))


def _headline(report: Report) -> str:
    best = report.metrics[report.headline]
    return f"{best.name} {best.value:.4f} [{best.low:.4f}, {best.high:.4f}]"


@releases.command("show")
def show_release(
    release: ReleaseArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show one release: report, verdict, where its bundle lies."""
    opened = platform(home)
    found = opened.releases.show(release)

    def draw() -> None:
        from bessemer.cli import draw_report

        draw_report.report(found.report)
        draw_report.verdict(found.verdict)
        typer.echo(f"\n{found.id}, made {_time(found.created_at)} by run {found.run}")
        typer.echo(f"bundle {opened.releases.bundle(found)}")

    show(found, as_json, draw)


@releases.command("verify")
def verify_release(
    release: ReleaseArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check every file of a release and its signature."""
    found = platform(home).releases.verify(release)
    line = f"{found.release}: {found.files} files are what the key {found.signed_by} signed"
    show(found, as_json, lambda: typer.echo(line))


@deployments.command("list")
def list_deployments(
    route: Annotated[str | None, typer.Option(help="Of this route only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List deployments, newest first."""
    found = platform(home).deployments.list(route)
    rows = []
    for d in found:
        canary = f"{d.canary} {100 * d.share:g} %" if d.share is not None else ""
        state = ("unloaded" if d.unloaded else "live") if d.live else ""
        rows.append((d.id, d.route, d.release, canary, state, _time(d.at), d.by))
    columns = ("number", "route", "release", "canary", "", "at", "by")
    show(found, as_json, lambda: _table(columns, rows, "no deployments yet: bessemer run"))


@deployments.command("promote")
def promote(
    route: RouteArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a route's canary live for all callers."""
    show_deployed(platform(home).deployments.promote(route), as_json)


@deployments.command("rollback")
def rollback(
    route: RouteArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """End a route's canary; without one, let it serve what it served before."""
    show_deployed(platform(home).deployments.rollback(route), as_json)


@deployments.command("unload")
def unload(
    route: RouteArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let serving processes give a route's memory back; it answers nothing until loaded."""
    show_deployed(platform(home).deployments.unload(route), as_json)


@deployments.command("load")
def load(
    route: RouteArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let an unloaded route serve again."""
    show_deployed(platform(home).deployments.load(route), as_json)


@aliases.command("list")
def list_aliases(
    home: HomeOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """List aliases by name."""
    found = platform(home).aliases.list()
    rows = [(a.name, a.route, _time(a.at), a.by) for a in found]
    columns = ("alias", "route", "at", "by")
    show(found, as_json, lambda: _table(columns, rows, "no aliases: bessemer aliases set"))


@aliases.command("set")
def set_alias(
    name: Annotated[str, typer.Argument(help="The other name.")],
    route: Annotated[str, typer.Argument(help="The route that it stands for from now on.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a name stand for a route; servers follow within a second."""
    made = platform(home).aliases.set(name, route)
    show(made, as_json, lambda: typer.echo(f"{made.name} stands for route {made.route}"))


@aliases.command("remove")
def remove_alias(
    name: Annotated[str, typer.Argument(help="The other name.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a name stand for nothing."""
    gone = platform(home).aliases.remove(name)
    show(gone, as_json, lambda: typer.echo(f"{gone.name} stands for nothing"))


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="For people: who or what will use it.")],
    role: Annotated[
        Literal["owner", "caller", "annotator"],
        typer.Option(help="caller may predict, annotator label in the console, owner everything."),
    ] = "caller",
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a key; its secret is shown here and never again."""
    made = platform(home).keys.create(name, role)
    show(made, as_json, lambda: typer.echo(f"{made.secret}\nkept nowhere: note it now"))


@keys.command("list")
def list_keys(
    home: HomeOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """List keys; no secret is among them."""
    found = platform(home).keys.list()
    rows = [(k.id, k.name, k.role, _time(k.created_at), _time(k.revoked_at)) for k in found]
    columns = ("key", "name", "role", "made", "revoked")
    show(found, as_json, lambda: _table(columns, rows, "no keys yet: bessemer serve makes one"))


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="Its id, as `bessemer keys list` shows it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a key never be valid again; servers follow within a second."""
    revoked: Key = platform(home).keys.revoke(key)
    show(revoked, as_json, lambda: typer.echo(f"{revoked.id} ({revoked.name}) is revoked"))
