"""Pictures of the headline metric against something that a row costs: a point for each row, with its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.special import expit, logit

from ablation.report.axes import HEIGHTS, SHARES, metric_scale, new_figure, say_below
from ablation.report.point_labels import label_points
from ablation.results.task import Metric

Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Across:
    """The horizontal axis, logarithmic: its name, the places that have a name, those that have one where these are too
    few, and the least that is shown."""

    title: str
    ticks: Ticks
    finer: Ticks = ()
    least: float = 0.0

    def named(self, low: float, high: float) -> Ticks:
        """The places between two that get their name, none too near another."""
        inside = [tick for tick in self.ticks if low <= tick[0] <= high]
        if len(inside) < FEWEST_TICKS:
            inside = sorted({*inside, *(tick for tick in self.finer if low <= tick[0] <= high)})
        room, kept = math.log(high / low) / MOST_TICKS, list[tuple[float, str]]()
        for place, name in inside:
            if not kept or math.log(place / kept[-1][0]) >= room:
                kept.append((place, name))
        return kept


def _size_name(value: float) -> str:
    """``500``, ``20k``, ``3M``."""
    power = min(int(math.log10(value) + 1e-9) // 3, 3)
    return f"{value / 1000**power:g}{('', 'k', 'M', 'G')[power]}"


FEWEST_TICKS, MOST_TICKS = 3, 8
TIME = Across(
    "training time (logarithmic scale)",
    (
        (0.1, "≤ 0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (36000, "10 h"),
    ),
    (
        (0.2, "0.2 s"), (0.5, "0.5 s"), (2, "2 s"), (3, "3 s"), (5, "5 s"), (20, "20 s"), (30, "30 s"), (120, "2 min"),
        (180, "3 min"), (300, "5 min"), (1200, "20 min"), (1800, "30 min"), (7200, "2 h"), (10800, "3 h"),
        (18000, "5 h"),
    ),
    0.1,
)  # fmt: skip
SIZE = Across(
    "trainable parameters (logarithmic scale)",
    tuple((10.0**power, _size_name(10.0**power)) for power in range(11)),
    tuple((step * 10.0**power, _size_name(step * 10.0**power)) for power in range(11) for step in (2, 3, 5)),
    1.0,
)
TIMES_AS_MUCH = Across(
    "perplexity of held-out text, times that of the base\n(logarithmic scale)",
    tuple((tick, f"{tick:g}") for tick in (1, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 1000, 10000)),
    tuple((tick, f"{tick:g}") for tick in (0.5, 0.8, 0.9, 0.95, 1.01, 1.02, 1.05, 1.3)),
)


@dataclass(frozen=True)
class Dot:
    """A point: where it stands (the metric as it is shown), its name, what its sign stands for, and its interval."""

    x: float
    y: float
    label: str
    sign: str
    interval: tuple[float, float] | None = None


def scatter(dots: Sequence[Dot], metric: Metric, across: Across, below: str = "") -> Figure:
    """As high as the names need, so that no two overprint; ``below`` is said under the picture."""
    for height in HEIGHTS[1:] if any(dot.interval for dot in dots) else HEIGHTS:
        figure, grid = new_figure(height)
        axes = grid[0, 0]
        places = _draw(axes, dots, metric, across)
        figure.legend(loc="outside upper left", ncols=1)
        say_below(figure, below)
        bars = [
            ((x, dot.interval[0]), (x, dot.interval[1]))
            for (x, _), dot in zip(places, dots, strict=True)
            if dot.interval is not None
        ]
        last = height == HEIGHTS[-1]
        if label_points(figure, axes, places, [dot.label for dot in dots], lines_matter=not last, bars=bars) or last:
            break
        plt.close(figure)
    return figure


def _draw(axes: Axes, dots: Sequence[Dot], metric: Metric, across: Across) -> list[tuple[float, float]]:
    """Everything but the names; returns where each point stands."""
    places = [(max(dot.x, across.least), dot.y) for dot in dots]
    for number, sign in enumerate(sorted({dot.sign for dot in dots})):
        own = [place for place, dot in zip(places, dots, strict=True) if dot.sign == sign]
        axes.plot(*zip(*own, strict=True), "osD^vP*X"[number % 8], color=f"C{number}", ms=5, ls="", label=sign)
    for (x, _), dot in zip(places, dots, strict=True):
        if dot.interval is not None:
            axes.plot([x, x], dot.interval, color="C0", lw=1.2, alpha=0.45, zorder=1)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    values = [value for dot in dots for value in (dot.y, *(dot.interval or ()))]
    if metric.split is not None:
        low, high = (logit(np.clip(bound, *SHARES) / 100) for bound in (min(values), max(values)))
        room = max(0.12 * (high - low), 0.2)
        axes.set_ylim(100 * expit(low - room), 100 * expit(high + room))
    low, high = axes.get_xlim()
    ticks = across.named(low, high)
    axes.set_xticks([place for place, _ in ticks], [name for _, name in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(across.title)
    metric_scale(axes, "y", metric, metric.title)
    axes.grid(alpha=0.25)
    return places
