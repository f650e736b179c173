"""The report's pictures, each as PNG and SVG.

For the page the SVG takes the reader's colours: whatever is drawn in ``INK`` becomes the text's colour there.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablation.report.axes import INK, OURS, PUBLISHED, STYLE, VALIDATION, capital, metric_scale, new_figure, say_below
from ablation.report.contents import Contents
from ablation.report.groups import Group
from ablation.report.learning_curves import PICTURE
from ablation.report.methods_pictures import METHOD_PICTURES
from ablation.report.point_labels import in_words
from ablation.report.scatter import TIME, Dot, scatter
from ablation.report.sizes import accuracy_against_sizes
from ablation.report.table import TableRow, predicted_metrics
from ablation.report.training_size_picture import accuracy_against_examples

Drawing = Callable[[Contents], tuple[Figure, str] | None]  # with the caption: what the figure shows


def short_name(name: str, width: int = 32) -> str:
    """A configuration's name in lines that fit beside an axis: ``row 2 random, num_epochs 1``."""
    if name[0].isdecimal():
        name = f"row {name}"
    name = name.replace(" with --weights random", " random").replace(" with ", " ")
    return textwrap.fill(name.replace(" --", ", "), width)


def _places(rows: Sequence[TableRow]) -> tuple[list[float], float]:
    """Where on the vertical axis each row of the table stands, and where the axis ends: in inches from its top, each
    with room for the lines of its name."""
    room = np.array([max(0.28, 0.17 * (short_name(row.name).count("\n") + 1)) for row in rows])
    room *= max(1.0, 3 * 0.28 / room.sum())
    ends = room.cumsum()
    return list(ends - room / 2), float(ends[-1])


def _rows_of_names(rows: Sequence[TableRow]) -> tuple[Figure, Axes, list[float]]:
    """A figure whose vertical axis has the names of rows, the first on top, and where each stands."""
    places, end = _places(rows)
    figure, grid = new_figure(1.1 + end)
    axes = grid[0, 0]
    axes.set_yticks(places, [short_name(row.name) for row in rows], fontsize=8.5)
    axes.set_ylim(end, 0)
    axes.grid(axis="x", alpha=0.25)
    return figure, axes, places


def accuracies(contents: Contents) -> tuple[Figure, str] | None:
    """The headline metric of each configuration with its interval, and the published value as a mark."""
    rows, metric = contents.rows, contents.task.headline
    if not rows:
        return None
    figure, axes, places = _rows_of_names(rows)
    all_figures = [row.figures[metric.name] for row in rows]
    for position, figures in zip(places, all_figures, strict=True):
        if figures.interval is not None:
            bounds = [metric.scale * bound for bound in figures.interval]
            axes.plot(bounds, [position] * 2, color=OURS, lw=2.5, alpha=0.55)
        axes.plot(metric.scale * figures.mean, position, "o", color=OURS, ms=5)
        if figures.published is not None:
            axes.plot(metric.scale * figures.published, position, "D", mfc="none", mec=PUBLISHED, mew=1.5, ms=6)
    has_intervals = any(figures.interval is not None for figures in all_figures)
    has_published = any(figures.published is not None for figures in all_figures)
    label = "ours, 95 % interval" if has_intervals else "ours"
    axes.plot([], [], "o-" if has_intervals else "o", color=OURS, lw=2.5, label=label)
    caption = f"{capital(metric.title)} of each configuration" + (", with its 95 % interval" if has_intervals else "")
    if has_published:
        axes.plot([], [], "D", mfc="none", mec=PUBLISHED, mew=1.5, label="published (one run)")
        caption += "; diamonds: as published"
    metric_scale(axes, "x", metric, metric.title)
    figure.legend(loc="outside upper left", ncols=2)
    return figure, f"{caption}."


def accuracy_against_time(contents: Contents) -> tuple[Figure, str] | None:
    """Mean of the headline metric over mean training time; a sign per condition, a label per point."""
    metric = contents.task.headline
    dots = [
        Dot(60 * minutes, metric.scale * row.figures[metric.name].mean, in_words(row), condition)
        for row in contents.rows
        for condition, minutes in row.minutes.items()
    ]
    if not dots:
        return None
    several = any(len(row.seeds) > 1 for row in contents.rows)
    signs = "; a sign for each device and way of running" if len({dot.sign for dot in dots}) > 1 else ""
    caption = f"{capital(metric.title)} against training time{', means over seeds' if several else ''}{signs}."
    return scatter(dots, metric, TIME, contents.disclaimer), caption


def loss_curves(contents: Contents) -> tuple[Figure, str] | None:
    """Training and validation loss of each configuration: every seed thin, their mean thick."""
    drawn = [(group, tables) for group in contents.groups if (tables := _losses(group))]
    if not drawn:
        return None
    columns = min(2, len(drawn))
    rows = -(-len(drawn) // columns)
    figure, grid = new_figure(0.8 + 1.5 * rows, columns, rows, sharex=False)
    for axes, (group, tables) in zip(grid.flat, drawn, strict=False):
        for column, colour in (("train_loss", OURS), ("validation_loss", VALIDATION)):
            if len(tables) > 1:
                for table in tables:
                    axes.plot(table["step"], table[column], color=colour, lw=0.5, alpha=0.35)
            whole = [table[column] for table in tables if len(table) == len(tables[0])]
            axes.plot(tables[0]["step"], np.mean(whole, axis=0), color=colour, lw=1.6)
        axes.set_title(short_name(group.name, 30), fontsize=9)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=9)
    for axes in grid.flat[len(drawn) :]:
        axes.set_axis_off()
    grid[0, 0].plot([], [], color=OURS, label="training loss")
    grid[0, 0].plot([], [], color=VALIDATION, label="validation loss")
    figure.legend(loc="outside upper left", ncols=2)
    figure.supxlabel("batches", fontsize=10)
    figure.supylabel("cross-entropy loss", fontsize=10)
    several = any(len(tables) > 1 for _, tables in drawn)
    how = ": of several seeds each is thin, their mean thick" if several else ", one seed each"
    return figure, f"Loss during training{how}."


def _losses(group: Group) -> list[pd.DataFrame]:
    """Of each run that kept its losses."""
    return [table for run in group.runs.values() if (table := run.losses()) is not None]


def spread_over_seeds(contents: Contents) -> tuple[Figure, str] | None:
    """The figures of every single run on the splits that choose and that questions are about."""
    rows, metrics = [row for row in contents.rows if len(row.seeds) > 1], predicted_metrics(contents.task)[-2:]
    if not rows or not metrics:
        return None
    figure, axes, places = _rows_of_names(rows)
    for metric, colour, shift in zip(metrics, (VALIDATION, OURS), (-0.05, 0.05), strict=False):
        for position, row in zip(places, rows, strict=True):
            values = metric.scale * np.array(row.figures[metric.name].values)
            axes.plot(values, np.full(len(values), position + shift), "o", color=colour, ms=4, alpha=0.45, mew=0)
            axes.plot(values.mean(), position + shift, "|", color=colour, ms=11, mew=2)
        axes.plot([], [], "o", color=colour, ms=4, label=metric.label)
    metric_scale(axes, "x", metrics[-1], "accuracy")
    figure.legend(loc="outside upper left", ncols=2)
    return figure, "Spread over seeds: a dot for each run, a stroke for their mean; rows of two seeds or more."


def _on_all(draw: Drawing) -> Drawing:
    """Without the rows on fewer training examples than there are, which have a picture of their own."""
    return lambda contents: draw(contents.on_all_examples())


# By file name, in the order of the page; those of the chapter and of training examples stand in their own parts.
PICTURES: dict[str, Drawing] = {
    "accuracies": _on_all(accuracies),
    "accuracy_time": _on_all(accuracy_against_time),
    "losses": _on_all(loss_curves),
    "seeds": _on_all(spread_over_seeds),
    "sizes": _on_all(accuracy_against_sizes),
    PICTURE: accuracy_against_examples,
    **METHOD_PICTURES,
}


def draw_pictures(
    contents: Any, folder: Path, pictures: Mapping[str, Callable[[Any], tuple[Figure, str] | None]] | None = None
) -> list[tuple[str, str, str]]:
    """Write every picture that has something to show as ``<name>.png`` and ``<name>.svg``.

    Args:
        contents: what each is drawn of, with a ``disclaimer`` that is written below it.
        pictures: by file name; those of :data:`PICTURES` if not given.

    Returns:
        (name, caption, SVG for the page) of each.
    """
    drawn = []
    with plt.rc_context(STYLE):
        for name, draw in (PICTURES if pictures is None else pictures).items():
            found = draw(contents)
            if found is None:
                for stale in (folder / f"{name}.png", folder / f"{name}.svg"):
                    stale.unlink(missing_ok=True)
                continue
            figure, caption = found
            say_below(figure, contents.disclaimer)
            figure.savefig(folder / f"{name}.png", dpi=150, facecolor="white", metadata={"Software": None})
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
            plt.close(figure)
            (folder / f"{name}.svg").write_text(buffer.getvalue(), encoding="utf-8")
            drawn.append((name, caption, for_page(buffer.getvalue(), name)))
    return drawn


def for_page(svg: str, name: str) -> str:
    """An SVG to stand inside HTML: no prologue, ids that meet no other picture's, ink in the text's colour."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", svg)
    return svg.replace(INK, "currentColor")
