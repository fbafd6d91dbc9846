"""What every command draws with: a console, tables, progress bars (Rich)."""

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

from bessemer.core.progress import Step, Watcher


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
