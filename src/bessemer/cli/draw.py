"""Data sets and runs, for people at a terminal (Rich)."""

from __future__ import annotations

from rich.markup import escape

from bessemer.cli import draw_report, terminal
from bessemer.core.dataset import Dataset
from bessemer.core.records import Run


def dataset(record: Dataset) -> None:
    """Print what the rows are and what was found in them."""
    out = terminal.console()
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
    out = terminal.console()
    out.print(f"[bold]run {record.id}[/] of {record.project}: {record.state}")
    if record.error:
        out.print(escape(record.error), style="red")
    stages = [
        f"{s} {'reused' if s in record.reused else f'{t:.1f} s'}" for s, t in record.seconds.items()
    ]
    if stages:
        out.print("  " + " → ".join(stages))
    if record.report:
        draw_report.report(record.report)
        draw_report.caution(record.report)
        out.print(f"everything that was measured: bessemer reports show {record.id}", style="dim")
    if record.verdict:
        draw_report.verdict(record.verdict)
    if record.release:
        out.print(f"release [bold]{record.release}[/]")
