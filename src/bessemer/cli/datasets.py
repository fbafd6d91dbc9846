"""`datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bessemer.cli.nouns import ProjectFilter
from bessemer.cli.options import HomeOption, JsonOption, VerboseOption, platform, show
from bessemer.core.datasets import Form

if TYPE_CHECKING:
    from bessemer.core.datasets import Difference, NamedDataset

app = typer.Typer(rich_markup_mode=None)
datasets = typer.Typer(help="List, show, compare and export data sets.")
app.add_typer(datasets, name="datasets")

#: Labels that `show` draws, and cells of the longest bar.
MOST, WIDTH = 20, 40
#: Characters of a text that `diff` shows.
TEXT = 60

DatasetArgument = Annotated[
    str,
    typer.Argument(
        help="As support-intents.3, a project's name for its newest, or the beginning of a digest."
    ),
]


@datasets.command("list")
def list_datasets(
    project: ProjectFilter = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List data sets, newest first."""
    found = platform(home).datasets.list(project)

    def draw() -> None:
        from bessemer.cli import terminal

        rows = []
        for one in found:
            counts = " · ".join(f"{one.dataset.counts[split]:,} {split}" for split in one.splits)
            flaws = len(one.dataset.findings)
            releases = ", ".join(sorted({use.release for use in one.uses if use.release}))
            made = one.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            rows.append((one.id, counts, len(one.dataset.labels), flaws, made, releases))
        columns = ("data set", "rows", "labels", "findings", "made", "releases")
        terminal.table(columns, rows, "no data sets yet: bessemer prepare")

    show(found, as_json, draw)


@datasets.command("show")
def show_dataset(
    dataset: DatasetArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show one data set: rows, labels, lengths, findings, and what it went into."""
    found = platform(home).datasets.show(dataset)
    show(found, as_json, lambda: _draw(found))


@datasets.command("diff")
def diff_datasets(
    first: Annotated[str, typer.Argument(help="What it was; named as in `datasets show`.")],
    second: Annotated[str, typer.Argument(help="What it is.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare two data sets row by row."""
    found = platform(home).datasets.diff(first, second)
    show(found, as_json, lambda: _draw_difference(found))


@datasets.command("export")
def export_dataset(
    dataset: DatasetArgument,
    path: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    form: Annotated[
        Form, typer.Option(help="csv escapes what a spreadsheet would take for a formula.")
    ] = "csv",
    split: Annotated[str | None, typer.Option(help="Rows of this split only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a data set's rows, its card and croissant.json into a new folder."""
    made = platform(home).datasets.export(dataset, path, form, split)
    names = ", ".join(made.files)
    line = f"{made.dataset}: {made.rows:,} rows in {made.path} ({names}, README.md, croissant.json)"
    show(made, as_json, lambda: typer.echo(line))


def _draw(named: NamedDataset) -> None:
    from rich.markup import escape

    from bessemer.cli import draw, terminal

    out = terminal.console()
    made = named.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    out.print(f"[bold]{named.id}[/] made {made}, {named.task}, digest {named.dataset.digest[:12]}")
    draw.dataset(named.dataset)
    if named.profile is not None:
        splits = named.splits
        totals = list(named.totals.items())
        most = max((count for _, count in totals), default=0)
        rows = [
            (label, *(named.profile.labels[s].get(label, 0) for s in splits), _bar(count, most))
            for label, count in totals[:MOST]
        ]
        out.print()
        terminal.table(("label", *splits, ""), rows, "no labels")
        if len(totals) > MOST:
            out.print(f"and {len(totals) - MOST} labels more", style="dim")
        edges, per_class = named.profile.edges, zip(*named.profile.lengths.values(), strict=True)
        sums = [sum(each) for each in per_class]
        ends = [f"–{end - 1}" for end in edges[1:]] + [" and more"]
        lengths = [
            (f"{edge}{end}", count, _bar(count, max(sums)))
            for edge, end, count in zip(edges, ends, sums, strict=True)
        ]
        out.print()
        terminal.table(("characters", "texts", ""), lengths, "no texts")
    if named.uses:
        out.print("\n[bold]went into[/]")
    for use in named.uses:
        release = f" → {use.release}" if use.release else ""
        trained = "" if use.trained else ", nothing was trained"
        out.print(escape(f"  run {use.run}: {use.state}{trained}{release}"))


def _bar(count: int, most: int) -> str:
    """Draw a share of the longest bar in eighths of a cell."""
    eighths = round(count / most * WIDTH * 8) if most else 0
    rest = "" if eighths % 8 == 0 else "▏▎▍▌▋▊▉"[eighths % 8 - 1]
    return "█" * (eighths // 8) + rest or ("▏" if count else "")


def _draw_difference(found: Difference) -> None:
    from rich.markup import escape

    from bessemer.cli import terminal

    out = terminal.console()
    out.print(
        f"[bold]{found.first} → {found.second}[/]: {found.rows[0]:,} → {found.rows[1]:,} rows,"
        f" compared by {found.by}"
    )
    for name, (before, after) in found.columns.items():
        out.print(escape(f"  column {name}: {before or 'none'} → {after or 'none'}"))
    for kind, count in found.counts.items():
        if not count:
            continue
        out.print(f"\n[bold]{count:,} {kind}[/]")
        shown = [change for change in found.changes if change.kind == kind]
        columns = ("row", "split", "label") + (("text",) if found.by == "id" else ())
        rows = [
            tuple(map(_pair, ((one.key, one.key), one.split, one.label, one.text)))[: len(columns)]
            for one in shown
        ]
        terminal.table(columns, rows, "")
        if count > len(shown):
            out.print(f"and {count - len(shown):,} more", style="dim")
    if not any(found.counts.values()):
        out.print("no row differs", style="dim")
    if found.labels:
        out.print()
        labels = list(found.labels.items())[:MOST]
        sums = [(name, before, after, f"{after - before:+}") for name, (before, after) in labels]
        terminal.table(("label", "before", "after", ""), sums, "")
        if len(found.labels) > MOST:
            out.print(f"and {len(found.labels) - MOST} labels more", style="dim")


def _pair(values: tuple[str | None, str | None]) -> str:
    before, after = (_cut(value) if value is not None else "" for value in values)
    return before if before == after else f"{before} → {after}".strip()


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return f"{line[:TEXT]}…" if len(line) > TEXT else line
