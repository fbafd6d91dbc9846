"""Curves as an SVG file: no library, so that a picture needs nothing to be drawn."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 480, 60, 210, 20, 50
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


def curves(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw accuracy over training seconds (logarithmic), a line a result.

    Args:
        results: By name, each with a "curve" of [seconds, examples seen, accuracy].
        path: Where the picture goes.
    """
    points = {name: [(s, a) for s, _, a in r["curve"]] for name, r in results.items()}
    seconds = [max(s, 1.0) for line in points.values() for s, _ in line]
    low, high = math.floor(math.log10(min(seconds))), math.log10(max(seconds)) + 0.05

    def x(value: float) -> float:
        share = (math.log10(max(value, 1.0)) - low) / (high - low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tenth in range(0, 11, 2):
        height = y(tenth / 10)
        parts.append(f'<path d="M{LEFT} {height}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{height + 4}" text-anchor="end">{tenth / 10}</text>')
    for power in range(low, math.floor(high) + 1):
        place = x(10**power)
        parts.append(f'<path d="M{place} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{place}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{10**power}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">training seconds</text>'
    )
    names = sorted(points, key=lambda name: -points[name][-1][1])
    for number, name in enumerate(names):
        line, colour = points[name], COLOURS[number % len(COLOURS)]
        way = " ".join(f"{x(s):.1f},{y(a):.1f}" for s, a in line)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for s, a in line:
            parts.append(f'<circle cx="{x(s):.1f}" cy="{y(a):.1f}" r="3" fill="{colour}"/>')
        height = TOP + 20 + 22 * number
        edge = WIDTH - RIGHT + 16
        parts.append(f'<path d="M{edge} {height - 4}h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(
            f'<text x="{edge + 24}" y="{height}">{html.escape(name)} {line[-1][1]:.3f}</text>'
        )
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")
