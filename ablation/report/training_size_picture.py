"""The picture of accuracy against the number of training examples."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ablation.report.axes import capital, metric_scale, new_figure
from ablation.report.contents import Contents
from ablation.report.learning_curves import Curve
from ablation.report.scatter import Across
from ablation.results.task import Metric

SIGNS = "osD^vP*X"
APART = 1.025  # times as far to the right: curves side by side, or their intervals would hide each other
EXAMPLES = Across(
    "training {} (logarithmic scale)",
    tuple((step * 10.0**power, f"{step * 10**power:,}") for power in range(7) for step in (1, 2, 5)),
)


def accuracy_against_examples(contents: Contents) -> tuple[Figure, str] | None:
    """The headline metric with its intervals, a line for each configuration that was run on several numbers."""
    task, curves = contents.task, contents.curves.curves
    if not curves:
        return None
    metric = task.headline
    figure, grid = new_figure(3.6 + 0.2 * len(curves))
    axes = grid[0, 0]
    for number, curve in enumerate(curves):
        _draw(axes, curve, metric, number, APART ** (number - (len(curves) - 1) / 2))
    axes.set_xscale("log")
    axes.margins(x=0.06)
    ticks = EXAMPLES.named(*axes.get_xlim())
    axes.set_xticks([place for place, _ in ticks], [name for _, name in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(EXAMPLES.title.format(task.examples))
    metric_scale(axes, "y", metric, metric.title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper left", ncols=1)
    several = any(len(point.row.seeds) > 1 for curve in curves for point in curve.points)
    means = ", means over seeds" if several else ""
    return figure, f"{capital(metric.title)} against training {task.examples}{means}, with 95 % intervals."


def _draw(axes: Axes, curve: Curve, metric: Metric, number: int, shift: float) -> None:
    colour, sign = f"C{number % 10}", SIGNS[number % len(SIGNS)]
    across = [shift * point.examples for point in curve.points]
    figures = [point.figures(metric) for point in curve.points]
    values = [metric.scale * one.mean for one in figures]
    dashes = "--" if curve.is_baseline else "-"
    axes.plot(across, values, sign + dashes, color=colour, ms=4.5, lw=1.2, label=curve.label)
    for x, one in zip(across, figures, strict=True):
        if one.interval is not None:
            axes.plot([x, x], [metric.scale * bound for bound in one.interval], color=colour, lw=1.5, alpha=0.45)
