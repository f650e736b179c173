"""Accuracy against size, where several ranks, bottlenecks or lengths of one method were tried: does size matter?

Sizes are compared at one learning rate, or each at the one chosen for it among several (:mod:`ablation.report.chosen`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablation.report.axes import INK, capital, metric_scale, new_figure
from ablation.report.chosen import RATE, Choice, rate_of, without
from ablation.report.contents import Contents
from ablation.report.groups import Group
from ablation.report.paired import Comparison, compare
from ablation.report.scatter import SIZE
from ablation.report.table import TableRow, predicted_metrics
from ablation.results.read import variant_key
from ablation.results.task import Likeness, Task

SIZES = ("lora_rank", "bottleneck", "prefix_length", "prompt_length")
SIGNS = "osD^vP*X"
DASHES = ("--", "-")  # of the split that chooses, and of the one that questions are about


@dataclass(frozen=True)
class Size:
    """One size of a method: its trainable parameters, its runs, and its line of the table."""

    parameters: float
    group: Group
    row: TableRow


@dataclass(frozen=True)
class SizeLine:
    """A method in several sizes, all else equal, the smallest first.

    Attributes:
        rate: at which all were trained; None where each has a rate chosen for it.
    """

    name: str
    rate: float | None
    sizes: Sequence[Size]

    def called(self, size: Size) -> str:
        """``bottleneck 64, prefix length 30``: what differs among the sizes."""
        mine = size.group.first
        differing = [name for name in SIZES if len({one.group.first[name] for one in self.sizes}) > 1]
        return ", ".join(f"{name.replace('_', ' ')} {mine[name]}" for name in differing)


@dataclass(frozen=True)
class Difference:
    """Two sizes of a method, and what the larger gets more than the smaller on the split that questions are about."""

    smaller: Size
    larger: Size
    comparison: Comparison


def size_lines(task: Task, lines: Iterable[tuple[Group, TableRow]], choices: Iterable[Choice] = ()) -> list[SizeLine]:
    """Methods that were tried in two sizes or more.

    Args:
        lines: groups whose figures are shown, each with its line of the table.
        choices: of learning rates, by which of several is shown.
    """
    chosen = {choice.chosen.group.key for choice in choices if choice.chosen is not None}
    families: dict[str, list[Size]] = {}
    for group, row in lines:
        run = group.first
        if not run.is_baseline and not group.lost:
            trained = statistics.median(float(one["trainable_parameters"] or 0) for one in group.runs.values())
            key = variant_key({**without(run.settings, [*SIZES, RATE]), **run.evaluation})
            families.setdefault(key, []).append(Size(trained, group, row))
    return [
        SizeLine(_name(sizes), rate, sorted(sizes, key=lambda size: size.parameters))
        for family in families.values()
        for rate, sizes in _alike_in_rate(task, family, chosen)
        if len({size.parameters for size in sizes}) > 1 and all(size.parameters for size in sizes)
    ]


def _alike_in_rate(task: Task, sizes: list[Size], chosen: set[str]) -> list[tuple[float | None, list[Size]]]:
    by_rate: dict[float, list[Size]] = {}
    for size in sizes:
        by_rate.setdefault(rate_of(task, size.group.first), []).append(size)
    if len(by_rate) > 1 and all(size.group.key in chosen for size in sizes):
        return [(None, sizes)]
    return list(by_rate.items())


def _name(sizes: Sequence[Size]) -> str:
    """``serial adapter (row 24)``: the method, and the row that one of its sizes is or is nearest to."""
    settings = sizes[0].group.first.settings
    method = str(settings.get("method") or settings.get("trainable_layers", "")).replace("_", " ")
    rows = [size.group.name.partition(" ")[0] for size in sizes]
    numbered = next((size.group.first.row for size in sizes if size.group.first.row), rows[0])
    return f"{method} (row {numbered})"


def largest_difference(task: Task, line: SizeLine, likeness: Likeness | None) -> Difference:
    """Of the sizes that are farthest apart in mean validation accuracy, so that the test figures, which are compared,
    choose nothing; the smallest and the largest where all have the same."""
    by_figure = sorted(line.sizes, key=lambda size: size.row.figures[task.chooser.name].mean)
    worst, best = by_figure[0], by_figure[-1]
    if worst.row.figures[task.chooser.name].mean == best.row.figures[task.chooser.name].mean:
        worst, best = line.sizes[0], line.sizes[-1]
    smaller, larger = sorted((worst, best), key=lambda size: size.parameters)
    return Difference(smaller, larger, compare(task, larger.group, smaller.group, likeness))


def difference_text(task: Task, line: SizeLine, likeness: Likeness | None) -> str:
    """The largest difference between sizes of a method, in a sentence."""
    found = largest_difference(task, line, likeness)
    larger, smaller = line.called(found.larger), line.called(found.smaller)
    names = f"{capital(line.name)}: {larger} and {smaller}, which are farthest apart in validation accuracy"
    compared = found.comparison
    if compared.difference is None:
        return f"{names}: {compared.method}."
    points = f"{100 * compared.difference:+.2f} points of {task.headline.title}"
    if compared.interval is None:
        return f"{names}, differ by {points} ({compared.method})."
    low, high = (f"{100 * bound:+.2f}" for bound in compared.interval)
    return f"{names}, differ by {points}, the first minus the second (95 % interval {low} to {high})."


# ---- the picture ----------------------------------------------------------------------------------------------------


def accuracy_against_sizes(contents: Contents) -> tuple[Figure, str] | None:
    """Figures of the splits that choose and that questions are about, against trainable parameters: a line a method."""
    task, metrics = contents.task, predicted_metrics(contents.task)[-2:]
    lines = size_lines(task, zip(contents.groups, contents.rows, strict=True), contents.choices)
    if not lines or not metrics:
        return None
    figure, grid = new_figure(3.6 + 0.2 * len(lines))
    axes = grid[0, 0]
    for number, line in enumerate(lines):
        for metric, dashes in zip(metrics, DASHES[-len(metrics) :], strict=True):
            _draw(axes, line, metric.name, metric.scale, f"C{number}", SIGNS[number % len(SIGNS)], dashes)
        rate = "each at its chosen rate" if line.rate is None else f"rate {line.rate:g}"
        axes.plot([], [], SIGNS[number % len(SIGNS)] + "-", color=f"C{number}", ms=5, label=f"{line.name}, {rate}")
    for metric, dashes in zip(metrics, DASHES[-len(metrics) :], strict=True):
        axes.plot([], [], dashes, color=INK, label=metric.title)
    axes.margins(x=0.08)
    _size_scale(axes)
    metric_scale(axes, "y", metrics[-1], "accuracy")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper left", ncols=1)
    titles = " and ".join(metric.title for metric in metrics)
    told = " ".join(difference_text(task, line, contents.likeness) for line in lines)
    return figure, f"{capital(titles)} against size, with 95 % intervals. {told}"


def _size_scale(axes: Axes) -> None:
    """A logarithmic axis with places that have names."""
    axes.set_xscale("log")
    axes.set_xlabel(SIZE.title)
    low, high = axes.get_xlim()
    ticks = [(place, name) for place, name in SIZE.ticks if low <= place <= high]
    if len(ticks) > 1:  # else the ruler's own, which are closer
        axes.set_xticks([place for place, _ in ticks], [name for _, name in ticks])


def _draw(axes: Axes, line: SizeLine, name: str, scale: int, colour: str, sign: str, dashes: str) -> None:
    figures = [size.row.figures[name] for size in line.sizes]
    # Two splits of one size stand beside one another, or their intervals would hide each other.
    shift = 0.97 if dashes == DASHES[0] else 1.03
    across = [shift * size.parameters for size in line.sizes]
    axes.plot(across, [scale * one.mean for one in figures], sign + dashes, color=colour, ms=5, lw=1.2)
    for x, one in zip(across, figures, strict=True):
        if one.interval is not None:
            axes.plot([x, x], scale * np.array(one.interval), dashes, color=colour, lw=1.5, alpha=0.5)
