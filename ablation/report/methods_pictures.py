"""The pictures of the chapter on ways to fine-tune: what they get against what they train, take and forget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from ablation.report.axes import capital
from ablation.report.contents import Contents
from ablation.report.methods_chapter import CHAPTER_PICTURES, Way
from ablation.report.scatter import SIZE, TIME, TIMES_AS_MUCH, Across, Dot, scatter


def accuracy_against_size(contents: Contents) -> tuple[Figure, str] | None:
    return _against(contents, lambda way: way.trained, SIZE, "trainable parameters")


def accuracy_against_forgetting(contents: Contents) -> tuple[Figure, str] | None:
    what = "what was forgotten: how many times the base's perplexity of held-out text has grown"
    return _against(contents, lambda way: way.forgetting, TIMES_AS_MUCH, what)


def accuracy_against_method_time(contents: Contents) -> tuple[Figure, str] | None:
    """As the picture of all rows, of the ways to fine-tune alone."""
    metric, ways = contents.task.headline, contents.chapter.ways
    dots = [
        Dot(60 * minutes, metric.scale * way.row.figures[metric.name].mean, way.label, condition)
        for way in ways
        for condition, minutes in way.row.minutes.items()
    ]
    if not dots:
        return None
    caption = f"Ways to fine-tune: {metric.title} against training time{_means(ways)}."
    return scatter(dots, metric, TIME, contents.disclaimer), caption


def _against(
    contents: Contents, value: Callable[[Way], float | None], across: Across, what: str
) -> tuple[Figure, str] | None:
    metric, dots, shown = contents.task.headline, [], []
    for way in contents.chapter.ways:
        if (x := value(way)) is None or x <= 0:
            continue
        figures = way.row.figures[metric.name]
        interval = None if figures.interval is None else [metric.scale * bound for bound in figures.interval]
        at = None if interval is None else (interval[0], interval[1])
        dots.append(Dot(x, metric.scale * figures.mean, way.label, "ours, 95 % interval" if at else "ours", at))
        shown.append(way)
    if not dots:
        return None
    intervals = ", with 95 % intervals" if any(dot.interval for dot in dots) else ""
    caption = f"{capital(metric.title)} against {what}{_means(shown)}{intervals}."
    return scatter(dots, metric, across, contents.disclaimer), caption


def _means(ways: Sequence[Way]) -> str:
    return ", means over seeds" if any(len(way.row.seeds) > 1 for way in ways) else ""


# By file name, in the order of the chapter.
_DRAWN = (accuracy_against_size, accuracy_against_method_time, accuracy_against_forgetting)
METHOD_PICTURES: dict[str, Callable[[Contents], tuple[Figure, str] | None]] = dict(
    zip(CHAPTER_PICTURES, _DRAWN, strict=True)
)
