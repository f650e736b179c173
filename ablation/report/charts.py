"""Small line charts of a row's own part. The page draws them as SVG itself: two for each of some twenty rows would take
a plotting library seconds and half a megabyte, and here the page's own styles colour them, in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

LEFT, RIGHT, TOP, BOTTOM = 48, 302, 10, 188  # the frame of the lines, in an SVG of 320 × 230

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line ready to be drawn: its style, a class of the page's style sheet, and its SVG points."""

    style: str
    points: str


@dataclass(frozen=True)
class Chart:
    """A chart ready to be drawn.

    Attributes:
        title: what it shows, for whoever cannot see it.
        ticks: (place, text) along each axis.
        keys: (style, what it is) of each kind of line that needs a word.
    """

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    keys: list[tuple[str, str]]


def line_chart(
    title: str,
    labels: tuple[str, str],
    lines: Sequence[tuple[str, Points]],
    keys: Sequence[tuple[str, str]] = (),
    limits: tuple[float, float] | None = None,
) -> Chart:
    """A chart of ``lines``, (style, points in data coordinates); points that are not finite are left out.

    Args:
        limits: (right, top) end of the axes, which begin at 0; those of the points if not given.
    """
    finite = [(style, [p for p in points if all(map(math.isfinite, p))]) for style, points in lines]
    far = limits or tuple(max([p[axis] for _, points in finite for p in points], default=0) or 1.0 for axis in (0, 1))
    x_scale, y_scale = (RIGHT - LEFT) / far[0], (BOTTOM - TOP) / far[1]
    drawn = [
        Line(style, " ".join(f"{LEFT + x * x_scale:.1f},{BOTTOM - y * y_scale:.1f}" for x, y in points))
        for style, points in finite
        if points
    ]
    return Chart(
        title,
        *labels,
        drawn,
        [(LEFT + tick * x_scale, f"{tick:g}") for tick in _ticks(far[0])],
        [(BOTTOM - tick * y_scale, f"{tick:g}") for tick in _ticks(far[1])],
        list(keys),
    )


def _ticks(end: float) -> list[float]:
    return [float(tick) for tick in MaxNLocator(5).tick_values(0, end) if 0 <= tick <= end * (1 + 1e-9)]
