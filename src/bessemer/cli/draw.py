"""What people look at: tables, reports with their intervals, progress bars (Rich)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bessemer.core.dataset import Dataset
from bessemer.core.progress import Step, Watcher
from bessemer.core.records import Run
from bessemer.core.report import Measurement, Report
from bessemer.core.verdict import Verdict

SCALE = 32
WEAKEST = 5
MARKS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "not measured": "[yellow]?[/]"}


def console(*, stderr: bool = False) -> Console:
    """Return a console; where nobody looks, lines are not cut to a terminal's width."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else 110)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Print a table, or a sentence where there is nothing."""
    if not rows:
        console().print(empty, style="dim")
        return
    result = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        result.add_column(column, overflow="fold")
    for row in rows:
        result.add_row(*(escape(str(cell)) for cell in row))
    console().print(result)


def dataset(record: Dataset) -> None:
    """Print what the rows are and what was found in them."""
    out = console()
    counts = " · ".join(f"{count:,} {split}" for split, count in record.counts.items())
    out.print(f"[bold]{escape(record.source)}[/]: {counts} · {len(record.labels)} labels")
    for finding in record.findings:
        rows = ", ".join(map(str, finding.rows)) + (
            ", …" if finding.count > len(finding.rows) else ""
        )
        out.print(
            f"  {finding.rule}: {finding.count} {finding.action}"
            f" (rows {rows})" + (f" {escape(finding.detail)}" if finding.detail else "")
        )


def run(record: Run) -> None:
    """Print how a run went, what its model is worth, and the gate's verdict."""
    out = console()
    out.print(f"[bold]run {record.id}[/] of {record.project}: {record.state}")
    if record.error:
        out.print(escape(record.error), style="red")
    stages = [
        f"{s} {'reused' if s in record.reused else f'{t:.1f} s'}" for s, t in record.seconds.items()
    ]
    if stages:
        out.print("  " + " → ".join(stages))
    if record.report:
        report(record.report)
        if record.report.mitigated is not None and record.report.mitigated.caution:
            out.print(f"[bold yellow]Caution.[/] {escape(record.report.mitigated.caution)}")
        out.print(f"everything that was measured: bessemer reports show {record.id}", style="dim")
    if record.verdict:
        verdict(record.verdict)
    if record.release:
        out.print(f"release [bold]{record.release}[/]")


def report(record: Report) -> None:
    """Print the metrics with a picture of each interval, the weakest labels, the confusions."""
    out = console()
    out.print(
        f"\n[bold]Report[/] on the {record.split} split, {record.engine},"
        f" {record.confidence:.0%} intervals"
    )
    metrics = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("metric", "value", "interval", f"0{' ' * (SCALE - 2)}1", "examples"):
        metrics.add_column(name, no_wrap=True)
    # The one that models are compared by comes first.
    for metric in sorted(record.metrics.values(), key=lambda m: m.name != record.headline):
        metrics.add_row(*_cells(metric.name, metric), str(metric.count))
    out.print(metrics)
    weak = sorted((c for c in record.classes if c.recall), key=lambda c: c.recall.value)  # type: ignore[union-attr]
    classes = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("weakest labels", "recall", "interval", f"0{' ' * (SCALE - 2)}1", "examples"):
        classes.add_column(name, no_wrap=name != "weakest labels", overflow="fold")
    for entry in weak[:WEAKEST]:
        assert entry.recall is not None
        classes.add_row(*_cells(entry.label, entry.recall), str(entry.support))
    out.print(classes)
    if record.confusions:
        out.print("[bold]most often taken for another[/]")
    for pair in record.confusions[:WEAKEST]:
        share = f"{pair.share.value:.0%} [{pair.share.low:.0%}, {pair.share.high:.0%}]"
        out.print(escape(f"  {pair.actual} → {pair.predicted}: {share} of {pair.share.count}"))


def verdict(record: Verdict) -> None:
    """Print the gate's answer, condition by condition."""
    out = console()
    word = "[bold green]passed[/]" if record.passed else "[bold red]failed[/]"
    out.print(f"\n[bold]Gate[/] {word}")
    if (said := record.override) is not None:
        out.print(f"  [bold yellow]overridden[/] by {escape(said.by)}: {escape(said.reason)}")
    for outcome in record.outcomes:
        mark = MARKS[outcome.state]
        out.print(
            f"  {mark} {escape(outcome.condition)}: {outcome.state} — {escape(outcome.because)}"
        )


def _cells(name: str, metric: Measurement) -> tuple[str, str, str, str]:
    interval = f"[{metric.low:.3f}, {metric.high:.3f}]"
    return escape(name), f"{metric.value:.4f}", escape(interval), _picture(metric)


def _picture(metric: Measurement) -> str:
    """Draw an interval between 0 and 1: `───├━●━┤───`."""
    low, value, high = (
        min(SCALE - 1, max(0, round(x * (SCALE - 1))))
        for x in (metric.low, metric.value, metric.high)
    )
    cells = ["·"] * SCALE
    for position in range(low, high + 1):
        cells[position] = "━"
    cells[value] = "●"
    return "".join(cells)


class Bar(Watcher):
    """A progress bar with rate and time left on a terminal; plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._live = self._console.is_terminal
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back its cursor, also when a stage failed."""
        self._end()

    def began(self, stage: str) -> None:
        """Say which stage works."""
        if not self._live:
            self._console.print(f"{stage} …")
            return
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            transient=True,
        )
        self._progress.start()

    def step(self, step: Step) -> None:
        """Move the bar."""
        if self._progress is None:
            return
        if self._task is None or step.what != self._what:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(
                step.what, total=step.total, unit=step.unit, note="", rate=""
            )
            self._what = step.what
        speed = self._progress.tasks[-1].speed
        rate = f"{speed:.0f} {step.unit}/s" if speed else ""
        self._progress.update(
            self._task, completed=step.done, total=step.total, note=escape(step.note), rate=rate
        )

    def ended(self, stage: str, seconds: float, *, reused: bool, note: str) -> None:
        """Leave one line for the stage."""
        self._end()
        time = "reused" if reused else f"{seconds:.1f} s"
        tail = f"  [dim]{escape(note)}[/]" if note else ""
        self._console.print(f"[green]✓[/] {stage:<9} {time:>8}{tail}", soft_wrap=True)

    def _end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._task = None, None
