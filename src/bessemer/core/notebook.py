"""Records as a notebook shows them: tables with pictures of intervals, without a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Protocol

from bessemer.core.axis import Axis

#: Pixels of a picture.
WIDTH, HEIGHT = 220, 16


class Picture(str):
    """HTML that was made here, and is shown as it is."""


class Measured(Protocol):
    """What has a value and an interval."""

    @property
    def value(self) -> float:
        """Return the value."""

    @property
    def low(self) -> float:
        """Return the lower end of its interval."""

    @property
    def high(self) -> float:
        """Return the upper end."""


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML.

    Args:
        caption: Above it.
        header: A heading for each column.
        rows: Cells; all but a `Picture` are escaped.
    """
    head = "".join(f"<th>{escape(one)}</th>" for one in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _cell(cell: str) -> str:
    shown = cell if isinstance(cell, Picture) else escape(cell)
    return f'<td style="text-align:left">{shown}</td>'


def told(measured: Measured, sign: str = "") -> str:
    """Return a value with its interval; `sign` is "+" where plus signs are wanted."""
    value, low, high = (f"{one:{sign}.3f}" for one in (measured.value, measured.low, measured.high))
    return f"{value} [{low}, {high}]"


def interval(measured: Measured, least: float = 0.0, most: float = 1.0) -> Picture:
    """Return a picture of an interval between the ends of an axis, as SVG."""
    axis = Axis((least, most))

    def place(value: float) -> float:
        return 4 + (WIDTH - 8) * axis.share(value)

    low, value, high = (place(one) for one in (measured.low, measured.value, measured.high))
    middle = HEIGHT / 2
    zero = place(0.0)
    return Picture(
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img"><title>{told(measured)}</title>'
        f'<line x1="4" x2="{WIDTH - 4}" y1="{middle}" y2="{middle}" stroke="currentColor"'
        ' stroke-opacity="0.2"/>'
        f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="2" y2="{HEIGHT - 2}" stroke="currentColor"'
        ' stroke-opacity="0.4"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="currentColor"'
        ' stroke-width="3"/>'
        f'<circle cx="{value:.1f}" cy="{middle}" r="4" fill="currentColor"/></svg>'
    )
