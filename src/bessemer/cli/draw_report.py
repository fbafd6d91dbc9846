"""Reports, verdicts and comparisons, for people at a terminal (Rich)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from bessemer.cli.terminal import console, table
from bessemer.core.records import Run, RunComparison
from bessemer.core.report import Comparison, Fairness, Measurement, Report, ReportDocument
from bessemer.core.verdict import Verdict

#: Slices that are listed; the page has all.
SLICES = 10
#: Characters of a picture of an interval, and labels and confusions that are listed.
SCALE, WEAKEST = 32, 5
MARKS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "not measured": "[yellow]?[/]"}


def document(found: ReportDocument) -> None:
    """Print a report with all its parts."""
    out = console()
    out.print(f"[bold]{found.run}[/] of {found.project}" + _released(found))
    report(found.report)
    for heading, columns, rows in _parts(found.report):
        if rows:
            out.print(f"\n[bold]{heading}[/]")
            table(columns, rows, "")
    caution(found.report)
    if found.verdict is not None:
        verdict(found.verdict)
    if found.judged is not None:
        told = f"\nThis test split has judged {found.judged} of at most {found.limit} models."
        worn = " It is worn out by choosing: take new test rows." * (found.judged > found.limit)
        out.print(told + worn, style="yellow" if worn else "dim")


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
    if record.leaked is not None and record.leaked.value:
        count = round(record.leaked.value * record.leaked.count)
        told = f"{count:,} of {record.leaked.count:,} test rows stand, or nearly so, in an earlier"
        out.print(f"{told} split: bessemer datasets show names them", style="yellow")
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


def caution(record: Report) -> None:
    """Print what should be asked before the model's mitigation is used, if there is anything."""
    if record.mitigated is not None and record.mitigated.caution:
        console().print(f"\n[bold yellow]Caution.[/] {escape(record.mitigated.caution)}")


def _released(found: ReportDocument) -> str:
    return f", released as [bold]{found.release}[/]" if found.release else ""


def _parts(found: Report) -> Iterator[tuple[str, Sequence[str], list[Sequence[str]]]]:
    """Yield heading, columns and rows of each table."""
    yield (
        "Slices, worst first",
        ("slice", found.headline, "difference", "p", "rows", ""),
        [
            (
                *(s.name, _told(s.metric), _signed(s.difference), f"{s.p:.3f}"),
                *(str(s.metric.count), "weak" * s.weak),
            )
            for s in found.slices[:SLICES]
        ],
    )
    if (more := len(found.slices) - SLICES) > 0:
        console().print(f"… and {more} more, on the page and as JSON", style="dim")
    if (calibration := found.calibration) is not None:
        yield (
            f"Calibration, temperature {calibration.temperature:.3f}",
            ("", "calibration error"),
            [("before", _told(calibration.before)), ("after", _told(calibration.after))],
        )
        yield (
            "Label sets",
            ("promised", "holds the right label", "labels each", "empty", ""),
            [
                (
                    *(f"{s.wanted:.0%}", _told(s.coverage), f"{s.size:.2f}", f"{s.empty:.1%}"),
                    "below the promise" * (s.coverage.high < s.wanted),
                )
                for s in calibration.sets
            ],
        )
    for heading, changes in (
        ("Robustness", found.robustness),
        ("Terms swapped", found.counterfactual),
    ):
        yield (
            heading,
            ("", found.headline, "change", "other answers", "texts"),
            [
                (
                    *(p.name, _told(p.metric) if p.keeps else "–", _signed(p.difference)),
                    *(_told(p.changed), str(p.texts)),
                )
                for p in changes
            ],
        )
    yield (
        "Behavioural tests",
        ("test", "must", "passed", "cases"),
        [
            (
                *(b.name, b.must),
                f"{b.passed.value:.1%}" if b.passed.count else "not measured",
                str(b.passed.count),
            )
            for b in found.behaviour
        ],
    )
    yield (
        "Gaps between groups",
        ("across", "", "gap", "between"),
        [row for one in found.fairness for row in _gaps(one)],
    )
    if (changed := found.mitigated) is not None:
        yield (
            f"Mitigation: {changed.mitigation}",
            (found.headline, ""),
            [
                ("before", _told(changed.before)),
                ("after", _told(changed.after)),
                ("price", _signed(changed.price)),
            ],
        )
    yield ("Costs", ("", ""), [(c.name, _cost(c)) for c in found.costs.values()])


def _gaps(found: Fairness) -> Iterator[Sequence[str]]:
    across = ", ".join(found.across)
    for gap in found.gaps:
        told = gap.because or "not measured"
        if gap.measurement is not None:
            told = " and ".join(gap.between) + (f" ({gap.label})" if gap.label else "")
        yield across, gap.name, _told(gap.measurement), told


def comparison(found: Comparison) -> None:
    """Print who is better, by how much, and how sure that is."""
    out = console()
    rows = [
        (found.first, _told(found.ours)),
        (found.second, _told(found.theirs)),
        ("difference", _signed(found.difference)),
    ]
    table(("", found.headline), rows, "")
    gain, low, high = found.difference.value, found.difference.low, found.difference.high
    if low > 0 or high < 0:
        better = found.first if gain > 0 else found.second
        told = f"{better} is better beyond chance"
    else:
        told = "neither is better beyond chance"
    uneven = f"{found.only_first} rows only the first answers rightly, {found.only_second} only"
    uneven += f" the second; McNemar's p {found.p:.3g}"
    left = f"; {found.left_out} test rows of the first were left out" * bool(found.left_out)
    out.print(f"\n{told} on {found.difference.count} test rows ({uneven}{left})")


def side_by_side(found: RunComparison) -> None:
    """Print two runs as two columns, and how their models compare."""
    first, second = found.first, found.second
    rows: list[tuple[str, str, str]] = [
        ("state", first.state, second.state),
        ("release", first.release or "", second.release or ""),
    ]
    names = dict.fromkeys(name for run in (first, second) for name in _metrics(run))
    rows += [(n, _told(_metrics(first).get(n)), _told(_metrics(second).get(n))) for n in names]
    stages = dict.fromkeys([*first.seconds, *second.seconds])
    rows += [(f"{s}, seconds", _seconds(first, s), _seconds(second, s)) for s in stages]
    rows += [(c.key, str(c.first), str(c.second)) for c in found.changed]
    table(("", first.id, second.id), rows, "")
    console().print()
    if found.comparison is not None:
        comparison(found.comparison)
    else:
        console().print(escape(found.because), style="yellow")


def _metrics(run: Run) -> dict[str, Measurement]:
    return run.report.metrics if run.report else {}


def _seconds(run: Run, stage: str) -> str:
    if stage not in run.seconds:
        return ""
    return "reused" if stage in run.reused else f"{run.seconds[stage]:.1f}"


def _told(metric: Measurement | None) -> str:
    if metric is None:
        return "not measured"
    return f"{metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"


def _signed(metric: Measurement | None) -> str:
    if metric is None:
        return ""
    return f"{metric.value:+.4f} [{metric.low:+.4f}, {metric.high:+.4f}]"


def _cost(metric: Measurement) -> str:
    if metric.interval == "exact":
        return f"{metric.value:.1f}"
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}]"
