"""The report as HTML: a document of its own, and sections for another page."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bessemer.core.dataset import Dataset
from bessemer.core.report import Examples, Measurement, Report
from bessemer.core.verdict import Verdict
from bessemer.evaluate.page import changes, pictures, views
from bessemer.evaluate.page.language import LANGUAGES, name, say

#: The sections, in their order; those of `views.absent` are left out where they are empty.
SECTIONS = (
    *("verdict", "metrics", "calibration", "slices", "confusions", "labels", "robustness"),
    *("behaviour", "fairness", "costs", "judged", "absent", "reading"),
)
#: Characters of a text that are shown.
TEXT = 600


@dataclass(frozen=True)
class Subject:
    """What a report is of, and what became of it."""

    title: str
    #: Facts such as "project", "run", "release" and "date".
    about: dict[str, str] = field(default_factory=dict)
    #: What the gate said, where there is one.
    verdict: Verdict | None = None
    #: Models that the test split has judged, where that is known, and that it may judge.
    judged: int | None = None
    limit: int = 20
    dataset: Dataset | None = None


def page(report: Report, examples: Examples, subject: Subject, language: str = "en") -> str:
    """Return a report as one HTML document that loads nothing and runs nothing.

    Args:
        report: What was measured.
        examples: The texts that it shows.
        subject: What it is of.
        language: "en" or "zh".
    """
    style = resources.files("bessemer.evaluate.page").joinpath("report.css").read_text("utf-8")
    return _render(
        "page",
        language,
        report=report,
        subject=subject,
        sections=sections(report, examples, subject, language),
        style=Markup(style),
    )


def sections(
    report: Report, examples: Examples, subject: Subject, language: str = "en"
) -> list[tuple[str, str, Markup]]:
    """Return the sections of a report: an id, a heading of the second rank, and HTML beneath it.

    They want `report.css` and an element of class "report" around them, which is a container of
    as much width as there is. They have no style, script or link of their own.

    Args:
        report: What was measured.
        examples: The texts that it shows.
        subject: What it is of.
        language: "en" or "zh".
    """
    missing = views.absent(report)
    left_out = {*missing, *([] if missing else ["absent"])}
    if subject.judged is None:
        left_out.add("judged")
    values = {"report": report, "examples": examples, "subject": subject, "missing": missing}
    return [
        (
            f"report-{section}",
            say(language, f"section.{section}"),
            Markup(_render(section, language, **values)),
        )
        for section in SECTIONS
        if section not in left_out
    ]


def _render(template: str, language: str, **values: Any) -> str:
    values |= {
        "t": partial(say, language),
        "named": partial(name, language),
        "lang": LANGUAGES[language],
    }
    return _templates().get_template(f"{template}.html").render(values)


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("bessemer.evaluate.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "figure": _figure,
        "signed": _signed,
        "percent": "{:.1%}".format,
        "count": "{:,}".format,
        "amount": _amount,
        "short": _short,
    }
    templates.globals |= {"views": views, "pictures": pictures, "pieces": changes.pieces}
    return templates


def _figure(value: float) -> str:
    """Return a value with three digits behind the point, and a minus that is not a hyphen."""
    return f"{value:.3f}".replace("-", "−")


def _signed(value: float) -> str:
    """Return a difference with its sign; none where three digits show no difference."""
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def _amount(measured: Measurement, value: float) -> str:
    """Return a size or a time with about three digits."""
    digits = 2 if measured.value < 10 else 1 if measured.value < 100 else 0
    return f"{value:,.{digits}f}"


def _short(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= TEXT else text[:TEXT] + "…"
