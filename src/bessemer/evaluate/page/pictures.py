"""Pictures as inline SVG: intervals on an axis, reliability, risk against coverage.

Colours are classes and `currentColor`, so that a style sheet may choose them; nothing needs one.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bessemer.core.axis import Axis, axis
from bessemer.core.report import Bin, Measurement, Point, Selective

#: Where the plot lies in a chart, and the chart's size.
LEFT, TOP, RIGHT, BOTTOM, WIDTH, HEIGHT = 60, 10, 324, 230, 336, 266


def scale(of: Axis) -> Markup:
    """Return the ticks of an axis in figures."""
    figures = [
        Markup('<text x="{}" y="12" font-size="11" text-anchor="middle">{:g}</text>').format(
            of.at(tick), tick
        )
        for tick in of.ticks
    ]
    head = Markup(
        '<svg class="scale" role="img" width="220" height="16" fill="currentColor">'
        "<title>{:g} – {:g}</title>{}</svg>"
    )
    return head.format(of.low, of.high, Markup("").join(figures))


def mark(
    of: Axis,
    measured: Measurement,
    *,
    overall: float | None = None,
    other: float | None = None,
    weak: bool = False,
) -> Markup:
    """Return a value as a point and its interval as a bar.

    Args:
        of: Where it lies on.
        measured: The value.
        overall: A value that it is held against, as a line over the whole height.
        other: What it was before, as a hollow square.
        weak: Whether the point is a diamond.
    """
    parts = [_upright("grid", of.at(tick), 'stroke-opacity="0.15"') for tick in of.ticks]
    if overall is not None:
        parts.append(_upright("overall", of.at(overall), 'stroke-dasharray="4 3"'))
    low, high = of.at(measured.low), of.at(measured.high)
    bar = Markup('<line class="bar" x1="{}" x2="{}" y1="50%" y2="50%" stroke-width="2"/>')
    parts.append(bar.format(low, high))
    parts += [_at(end, Markup('<path d="M0-4V4" stroke-width="2"/>')) for end in (low, high)]
    if other is not None:
        square = Markup('<path class="other" d="M-4-4H4V4H-4Z" stroke-width="1.5"/>')
        parts.append(_at(of.at(other), square))
    shape = "M0-6 6 0 0 6-6 0Z" if weak else "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z"
    point = Markup('<path class="point" d="{}" fill="currentColor"/>').format(shape)
    parts.append(_at(of.at(measured.value), point))
    head = Markup(
        '<svg class="mark{}" role="img" width="220" height="20" fill="none" stroke="currentColor">'
        "<title>{:.3f} [{:.3f}, {:.3f}]</title>{}</svg>"
    )
    values = measured.value, measured.low, measured.high
    return head.format(" weak" if weak else "", *values, Markup("").join(parts))


def _upright(name: str, place: str, more: str) -> Markup:
    line = Markup('<line class="{}" x1="{}" x2="{}" y1="0" y2="100%" {}/>')
    return line.format(name, place, place, Markup(more))


def _at(place: str, shape: Markup) -> Markup:
    """Return a shape in pixels round a place that is told in percent: an SVG of its own."""
    return Markup('<svg x="{}" y="50%" overflow="visible">{}</svg>').format(place, shape)


def reliability(bins: Sequence[Bin], title: str, across: str, up: str) -> Markup:
    """Return how many answers are right against how sure they are; the diagonal is ideal."""
    x = y = axis((0, 1))
    parts = [_line("ideal", (_x(x, 0), _y(y, 0)), (_x(x, 1), _y(y, 1)))]
    for one in bins:
        place = _x(x, one.confidence)
        ends = [_y(y, one.right.low), _y(y, one.right.high)]
        parts.append(_line("bar", (place, ends[0]), (place, ends[1])))
        parts += [_line("bar", (place - 4, end), (place + 4, end)) for end in ends]
        point = Markup('<circle class="point" cx="{:.1f}" cy="{:.1f}" r="4" fill="currentColor"/>')
        parts.append(point.format(place, _y(y, one.right.value)))
    return _chart((x, y), parts, title, across, up)


def risk(
    curve: Sequence[Point], selective: Sequence[Selective], title: str, across: str, up: str
) -> Markup:
    """Return the share of wrong answers against the share of texts that are answered.

    Diamonds are the thresholds that were chosen for a precision.
    """
    chosen = [
        (one.precision, one.coverage.value, 1 - one.reached.value)
        for one in selective
        if one.coverage is not None and one.reached is not None
    ]
    x = axis((0, 1))
    y = axis([0, *(point.risk for point in curve), *(one[2] for one in chosen)])
    told = sorted(curve, key=lambda point: point.coverage)
    places = " ".join(f"{_x(x, one.coverage):.1f},{_y(y, one.risk):.1f}" for one in told)
    line = Markup('<polyline class="curve" points="{}" stroke-width="2"/>')
    parts = [line.format(places)]
    for precision, coverage, wrong in chosen:
        at = _x(x, coverage), _y(y, wrong)
        diamond = '<path class="point" d="M{:.1f} {:.1f}m0-6 6 6-6 6-6-6Z" fill="currentColor"/>'
        parts.append(Markup(diamond).format(*at))
        parts.append(_words(at[0] - 5, at[1] - 8, "end", f"{precision * 100:.3g}%"))
    return _chart((x, y), parts, title, across, up)


def _x(of: Axis, value: float) -> float:
    return LEFT + (RIGHT - LEFT) * of.share(value)


def _y(of: Axis, value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * of.share(value)


def _line(name: str, start: tuple[float, float], end: tuple[float, float]) -> Markup:
    line = '<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"{}/>'
    kind = {"grid": ' stroke-opacity="0.15"', "ideal": ' stroke-dasharray="4 3"'}.get(name, "")
    return Markup(line).format(name, *start, *end, Markup(kind))


def _chart(
    axes: tuple[Axis, Axis], parts: Sequence[Markup], title: str, across: str, up: str
) -> Markup:
    """Return a plot with its grid, its figures and what its axes are called."""
    x, y = axes
    grid = []
    for tick in x.ticks:
        grid.append(_line("grid", (_x(x, tick), TOP), (_x(x, tick), BOTTOM)))
        grid.append(_words(_x(x, tick), BOTTOM + 15, "middle", f"{tick:g}"))
    for tick in y.ticks:
        grid.append(_line("grid", (LEFT, _y(y, tick)), (RIGHT, _y(y, tick))))
        grid.append(_words(LEFT - 6, _y(y, tick) + 4, "end", f"{tick:g}"))
    upwards = Markup('<g transform="translate(10 {}) rotate(-90)">{}</g>')
    names = [
        _words((LEFT + RIGHT) / 2, HEIGHT - 4, "middle", across),
        upwards.format((TOP + BOTTOM) / 2, _words(0, 0, "middle", up)),
    ]
    head = Markup(
        '<svg class="chart" role="img" viewBox="0 0 {0} {1}" width="{0}" height="{1}"'
        ' font-size="11" fill="none" stroke="currentColor"><title>{2}</title>{3}</svg>'
    )
    return head.format(WIDTH, HEIGHT, title, Markup("").join([*grid, *parts, *names]))


def _words(x: float, y: float, anchor: str, text: str) -> Markup:
    words = (
        '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="currentColor" stroke="none">{}</text>'
    )
    return Markup(words).format(x, y, anchor, text)
