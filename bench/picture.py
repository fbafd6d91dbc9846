"""Curves as SVG files: no library, so that a picture needs nothing to be drawn."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 940, 480, 76, 250, 20, 50
COLOURS = (
    "#c0392b",
    "#2471a3",
    "#1e8449",
    "#b9770e",
    "#6c3483",
    "#148f77",
    "#7b7d7d",
    "#d35400",
    "#1b2631",
)


@dataclass(frozen=True)
class _Axis:
    title: str
    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 to 1; what is off the axis lies at its end."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def marks(self) -> list[float]:
        """Return values to write at the axis: 1, 2, 5, 10 … or equal steps of that kind."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / 4
            power = 10.0 ** math.floor(math.log10(rough))
            step = max(digit * power for digit in (1, 2, 5) if digit * power <= rough)
            values = [self.low + number * step for number in range(11)]
        return [value for value in values if self.low <= value <= self.high * (1 + 1e-9)]


@dataclass(frozen=True)
class _Line:
    points: list[tuple[float, float]]
    colour: str
    dashed: bool = False


def curves(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw accuracy over training seconds (logarithmic), a line a result.

    Args:
        results: By name, each with a "curve" of [seconds, examples seen, accuracy].
        path: Where the picture goes.
    """
    points = {name: [(s, a) for s, _, a in r["curve"]] for name, r in results.items()}
    seconds = [max(s, 1.0) for line in points.values() for s, _ in line]
    low, high = 10.0 ** math.floor(math.log10(min(seconds))), 1.1 * max(seconds)
    names = sorted(points, key=lambda name: -points[name][-1][1])
    colours = _colours(names)
    _draw(
        _Axis("training seconds", low, high, logarithmic=True),
        _Axis("accuracy", 0.0, 1.0),
        [_Line(points[name], colours[name]) for name in names],
        [(f"{name} {points[name][-1][1]:.3f}", colours[name]) for name in names],
        path,
    )


def labels(results: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draw accuracy over labels, a line a strategy; see `bench.active`."""
    names = sorted(results, key=lambda name: results[name][-1][0])
    colours = _colours(names)
    points = [point for line in results.values() for point in line]
    _draw(
        _Axis("labels", 0.0, 1.02 * max(count for count, _ in points)),
        _Axis("accuracy on the test split", min(a for _, a in points), 0.95),
        [_Line(results[name], colours[name]) for name in names],
        [(name, colours[name]) for name in names],
        path,
    )


def latencies(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw latency (logarithmic) over requests a second, two lines a server.

    Args:
        results: By name, the windows of its curve, each with what was "asked" a second, and
            the latencies "p50" and "p99" in milliseconds.
        path: Where the picture goes.
    """
    names = sorted(results, key=lambda name: -results[name][-1]["asked"])
    colours = _colours(names)
    lines = []
    for name in names:
        for percentile, dashed in (("p99", False), ("p50", True)):
            points = [(window["asked"], window[percentile]) for window in results[name]]
            lines.append(_Line(points, colours[name], dashed))
    values = [value for line in lines for _, value in line.points]
    most = max(rate for line in lines for rate, _ in line.points)
    _draw(
        _Axis("requests a second, Poisson arrivals", 0.0, 1.05 * most),
        _Axis("latency, ms", 0.8 * min(values), 1.25 * max(values), logarithmic=True),
        lines,
        [*((name, colours[name]) for name in names), ("solid: p99, dashed: p50", "#ffffff")],
        path,
    )


def _colours(names: Sequence[str]) -> dict[str, str]:
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}


def _draw(
    across: _Axis,
    up: _Axis,
    lines: Sequence[_Line],
    legend: Sequence[tuple[str, str]],
    path: Path,
) -> None:
    """Write a picture; the legend's colours stand beside its words."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + across.share(value) * (right - LEFT)

    def y(value: float) -> float:
        return bottom - up.share(value) * (bottom - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for mark in up.marks():
        parts.append(f'<path d="M{LEFT} {y(mark):.1f}H{right}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, y(mark) + 4, f"{mark:g}", "end"))
    for mark in across.marks():
        parts.append(f'<path d="M{x(mark):.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(_text(x(mark), bottom + 18, f"{mark:g}", "middle"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 12, across.title, "middle"))
    middle = (TOP + bottom) / 2
    turned = f'<g transform="rotate(-90 18 {middle})">'
    parts.append(f"{turned}{_text(18, middle, up.title, 'middle')}</g>")
    for line in lines:
        way = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line.points)
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        stroke = f'fill="none" stroke="{line.colour}" stroke-width="2"{dashes}'
        parts.append(f'<polyline points="{way}" {stroke}/>')
        for a, b in line.points:
            parts.append(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{line.colour}"/>')
    for number, (words, colour) in enumerate(legend):
        height = TOP + 20 + 22 * number
        parts.append(
            f'<path d="M{right + 16} {height - 4}h18" stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(_text(right + 40, height, words, "start"))
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'
