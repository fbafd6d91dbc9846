"""The report as HTML: a document of its own, and sections for another page."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bessemer.core.dataset import Dataset
from bessemer.core.language import LANGUAGES
from bessemer.core.report import Measurement, ReportDocument
from bessemer.evaluate.page import changes, pictures, views
from bessemer.evaluate.page.language import messages, name

#: The sections, in their order; those of `views.absent` are left out where they are empty.
SECTIONS = (
    *("verdict", "metrics", "calibration", "slices", "confusions", "labels", "robustness"),
    *("behaviour", "fairness", "costs", "judged", "absent", "reading"),
)
#: Characters of a text that are shown.
TEXT = 600


def page(document: ReportDocument, dataset: Dataset, language: str) -> str:
    """Return a report as one HTML document that loads nothing and runs nothing.

    Args:
        document: The report, with its texts and what became of it.
        dataset: What the model was trained and measured on.
        language: "en" or "zh".
    """
    style = resources.files("bessemer.evaluate.page").joinpath("report.css").read_text("utf-8")
    return _render(
        "page",
        document,
        language,
        dataset=dataset,
        sections=sections(document, language),
        style=Markup(style),
    )


def sections(document: ReportDocument, language: str) -> list[tuple[str, str, Markup]]:
    """Return the sections of a report: an id, a heading of the second rank, and HTML beneath it.

    They want `report.css` and an element of class "report" around them, which is a container of
    as much width as there is. They have no style, script or link of their own.

    Args:
        document: The report, with its texts and what became of it.
        language: "en" or "zh".
    """
    missing = views.absent(document.report)
    left_out = {*missing, *([] if missing else ["absent"])}
    if document.judged is None:
        left_out.add("judged")
    return [
        (
            f"report-{section}",
            messages().say(language, f"section.{section}"),
            Markup(_render(section, document, language, missing=missing)),
        )
        for section in SECTIONS
        if section not in left_out
    ]


def _render(template: str, document: ReportDocument, language: str, **values: Any) -> str:
    values |= {
        "document": document,
        "report": document.report,
        "examples": document.examples,
        "t": partial(messages().say, language),
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
        "utc": _utc,
        "parted": _parted,
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


def _utc(at: datetime) -> str:
    """Return a moment in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _parted(name: str) -> Markup:
    """Return a name that may be broken behind what joins its words."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.:/])(?=.)", name))
