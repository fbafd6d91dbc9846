"""The model card that lies in a bundle as README.md (Mitchell et al. 2019)."""

from __future__ import annotations

from bessemer.bundle.format import Contents
from bessemer.core.dataset import Dataset
from bessemer.core.project import Project
from bessemer.core.report import Measurement, Report
from bessemer.core.verdict import Verdict


def card(
    project: Project,
    contents: Contents,
    dataset: Dataset,
    report: Report,
    verdict: Verdict,
    *,
    intended: str,
    searched: str,
) -> str:
    """Return the card as Markdown.

    `intended` says in a sentence what the model is for, `searched` what a search of options found,
    "" if there was none.
    """
    percent = f"{report.confidence:.0%}"
    metrics = "\n".join(f"| {name} | {_interval(m)} |" for name, m in report.metrics.items())
    classes = _weakest(report)
    notes = [f"- {f.rule}: {f.count} rows {f.action}" for f in dataset.findings]
    notes += [f"- Search: {searched}"] if searched else []
    made = "\n".join(notes)
    outcomes = "\n".join(f"- {o.condition}: {o.state} ({o.because})" for o in verdict.outcomes)
    if (said := verdict.override) is not None:
        outcomes += f"\n\n**Overridden** by {said.by} on {said.at:%Y-%m-%d}: {_cell(said.reason)}"
    return f"""# {project.name}

{len(contents.labels)} labels, learnt with `{project.train.method}` from `{contents.base.name}`,
served by `{contents.engine}`. Task: `{contents.task}`.

## What it is for

{intended}

## What it is worth

Measured on {report.metrics[report.headline].count} held-out examples with the engine that serves;
brackets are {percent} intervals.

| metric | value |
|---|---|
{metrics}

Weakest labels:

| label | precision | recall |
|---|---|---|
{classes}

## What it was made from

- Base: {contents.base.name}, licence {contents.base.licence or "not stated"},
  digest `{contents.base.digest}`
- Data: `{dataset.source}`, licence {dataset.licence or "not stated"},
  digest `{dataset.digest}`; {", ".join(f"{n} {s}" for s, n in dataset.counts.items())} examples
{made}

## Why it was released

{outcomes}
"""


def _interval(metric: Measurement | None) -> str:
    if metric is None:
        return "not measured"
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _weakest(report: Report) -> str:
    weak = sorted(
        (c for c in report.classes if c.recall is not None),
        key=lambda c: c.recall.value if c.recall else 1.0,
    )
    return "\n".join(
        f"| {_cell(c.label)} | {_interval(c.precision)} | {_interval(c.recall)} |" for c in weak[:5]
    )
