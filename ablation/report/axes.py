"""What the report's pictures share: their look, their size, and the axes of shares."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.special import expit, logit

from ablation.results.task import Metric

INK = "#1b1d21"
OURS, PUBLISHED, VALIDATION = "#2a78c4", "#d9822b", "#3f9b6c"
WIDTH = 5.0  # inches: on a phone of 420 pixels a point is a little more than a pixel
STYLE: Any = {
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "report",  # the same results give the same bytes
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}

SHARES = (0.25, 99.75)  # percent: 100 % stands where 99.75 % does
HEIGHTS = (4.0, 5.5, 8.0, 12.0, 20.0)  # inches of the picture with labels: as many as these need
MOST_TICKS = 16
PERCENT_TICKS = (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 99.5)


def new_figure(height: float, columns: int = 1, rows: int = 1, **options: object) -> tuple[Figure, np.ndarray]:
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False, layout="constrained", **options)  # type: ignore[call-overload]
    return figure, axes


def say_below(figure: Figure, text: str) -> None:
    """Write a text below everything, once; before places are measured, for it takes room."""
    said = figure.get_supxlabel()
    if text and (filled := textwrap.fill(text, 70)) not in said:
        figure.supxlabel("\n".join(filter(None, [said, filled])), fontsize=8.5)


def metric_scale(axes: Axes, axis: str, metric: Metric, title: str) -> None:
    """Name the axis of a metric; shares as logits, so that 97 and 99 stand as far apart as 85 and 95, and 0 and 100
    are drawn at the edges."""
    if metric.split is None:
        axes.set(**{f"{axis}label": title})
        return
    axes.set(**{f"{axis}label": f"{title}, % (logit scale)"})
    functions = (lambda x: logit(np.clip(x, *SHARES) / 100), lambda y: 100 * expit(y))
    set_scale, ruler = (axes.set_xscale, axes.xaxis) if axis == "x" else (axes.set_yscale, axes.yaxis)
    low, high = (max(bound, SHARES[0]) for bound in (axes.get_xlim() if axis == "x" else axes.get_ylim()))
    set_scale("function", functions=functions)
    room = (logit(min(high, SHARES[1]) / 100) - logit(low / 100)) / MOST_TICKS
    ticks: list[float] = []
    for tick in PERCENT_TICKS:
        if low <= tick <= high and (not ticks or logit(tick / 100) - logit(ticks[-1] / 100) >= room):
            ticks.append(tick)
    ruler.set_ticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    ruler.set_minor_locator(NullLocator())


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
