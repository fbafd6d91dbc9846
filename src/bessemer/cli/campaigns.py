"""`campaigns`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bessemer.cli.options import HomeOption, JsonOption, VerboseOption, platform, print_json, show
from bessemer.core.labelling import Campaign, Progress

app = typer.Typer(rich_markup_mode=None)
campaigns = typer.Typer(help="Follow, close, open, guide labelling; export and import labels.")
app.add_typer(campaigns, name="campaigns")

CampaignArgument = Annotated[
    str, typer.Argument(help="As support-intents@2, or a project's name for its newest.")
]
FormOption = Annotated[
    str | None,
    typer.Option("--form", help="csv, jsonl, label-studio, conll.  [default: by the file's name]"),
]
#: Cells of the bar of progress.
BAR = 30


@campaigns.command("list")
def list_campaigns(
    project: Annotated[str | None, typer.Option("--project", help="Of this project only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List campaigns, newest first."""
    found = platform(home).campaigns.list(project)

    def draw() -> None:
        from bessemer.cli import terminal

        rows = [
            (c.id, c.state, c.task, len(c.labels), c.overlap, f"{c.created_at:%Y-%m-%d}", c.by)
            for c in found
        ]
        columns = ("campaign", "state", "task", "labels", "overlap", "begun", "by")
        terminal.table(columns, rows, "no campaigns yet: bessemer label")

    show(found, as_json, draw)


@campaigns.command("show")
def show_campaign(
    campaign: CampaignArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show where a campaign stands, how far annotators agree, how each works."""
    found = platform(home).campaigns.show(campaign)
    show(found, as_json, lambda: _draw(found))


def _draw(found: Progress) -> None:
    from rich.markup import escape

    from bessemer.cli import terminal

    out, campaign = terminal.console(), found.campaign
    share = found.done / found.items if found.items else 0.0
    filled = round(BAR * share)
    out.print(f"[bold]{campaign.id}[/] {campaign.state}")
    out.print(
        f"[green]{'━' * filled}[/][dim]{'·' * (BAR - filled)}[/] {found.done:,} of"
        f" {found.items:,} items ({share:.0%}), {campaign.overlap} labels each"
    )
    labels = _of(f"{found.answers:,}", campaign.budget_labels)
    minutes = _of(f"{found.minutes:.1f}", campaign.budget_minutes)
    out.print(
        f"{labels} labels in {minutes} minutes · {found.skipped:,} skipped"
        f" · {found.disputed:,} disputed · {found.gold:,} with a known answer"
    )
    if found.guideline:
        out.print(f"guideline {found.guideline.version}: {escape(found.guideline.text[:200])}")
    alpha = _number(found.alpha, "says nothing yet")
    out.print(f"\n[bold]Agreement[/] Krippendorff's alpha {alpha}")
    rows = [(p.first, p.second, f"{p.both:,}", _number(p.kappa)) for p in found.pairs]
    if rows:
        terminal.table(("annotator", "and", "both labelled", "Cohen's kappa"), rows, "")
    out.print("\n[bold]Annotators[/]")
    people = [
        (
            one.name,
            f"{one.labelled:,}",
            f"{one.skipped:,}",
            _number(one.seconds, form=".1f"),
            f"{one.gold_right} of {one.gold}" if one.gold else "",
            _number(one.accuracy),
        )
        for one in found.annotators
    ]
    columns = ("annotator", "labelled", "skipped", "seconds", "known answers", "probably right")
    terminal.table(columns, people, "nobody has labelled anything yet")
    if found.labels:
        out.print("\n[bold]Labels[/]")
        terminal.table(("label", "items"), [(k, f"{v:,}") for k, v in found.labels.items()], "")


def _of(spent: str, budget: float | None) -> str:
    return spent if budget is None else f"{spent} of {budget:,g}"


def _number(value: float | None, nothing: str = "", form: str = ".3f") -> str:
    return nothing if value is None else format(value, form)


@campaigns.command("close")
def close(
    campaign: CampaignArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let nobody be asked any more."""
    _show(platform(home).campaigns.close(campaign), as_json)


@campaigns.command("open")
def open_(
    campaign: CampaignArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a closed campaign go on."""
    _show(platform(home).campaigns.open(campaign), as_json)


def _show(changed: Campaign, as_json: bool) -> None:
    show(changed, as_json, lambda: typer.echo(f"{changed.id} is {changed.state}"))


@campaigns.command("guide")
def guide(
    campaign: CampaignArgument,
    text: Annotated[
        typer.FileText,
        typer.Argument(encoding="utf-8", help="A file with the text, - for standard input."),
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Tell annotators something else from now on; answers name the version."""
    made = platform(home).campaigns.guide(campaign, text.read())
    show(made, as_json, lambda: typer.echo(f"guideline {made.version} is shown from now on"))


@campaigns.command("export")
def export(
    campaign: CampaignArgument,
    file: Annotated[Path, typer.Argument(help="To be written.")],
    form: FormOption = None,
    joined: Annotated[
        bool, typer.Option("--joined", help="One row an item: what its labels make probable.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write items and votes to a file."""
    made = platform(home).campaigns.export(campaign, file, form, joined)
    if as_json:
        print_json({"file": str(made)})
    else:
        typer.echo(f"written to {made}")


@campaigns.command("import")
def import_(
    campaign: CampaignArgument,
    file: Annotated[Path, typer.Argument(help="With items and votes.")],
    form: FormOption = None,
    annotator: Annotated[
        str, typer.Option(help="Whose the votes are for which the file names nobody.")
    ] = "import",
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read items and votes from a file."""
    found = platform(home).campaigns.import_(campaign, file, form, annotator)
    line = f"new: items {found.items:,}, votes {found.votes:,}"
    show(found, as_json, lambda: typer.echo(line))
