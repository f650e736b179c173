"""Accuracy against the number of training examples, where runs on several numbers are there: how few suffice?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablation.report.cells import NOTHING, interval_text, shown
from ablation.report.groups import Group
from ablation.report.methods_chapter import Table
from ablation.report.point_labels import in_words
from ablation.report.table import Figures, TableRow
from ablation.results.baseline_columns import FEW
from ablation.results.read import DATA_DIGEST, variant_key
from ablation.results.task import Likeness, Metric, Task
from ablation.words import plural

PICTURE = "training_size"  # by file name
SHARE = 0.95  # of what the best gets from the most examples
Line = tuple[Group, TableRow]


@dataclass(frozen=True)
class Point:
    """A configuration on so many training examples: its runs, and its line of the table."""

    examples: int
    group: Group
    row: TableRow

    def figures(self, metric: Metric) -> Figures:
        return self.row.figures[metric.name]


@dataclass(frozen=True)
class Curve:
    """A configuration, on the fewest examples first."""

    label: str
    points: Sequence[Point]

    @property
    def last(self) -> Point:
        return self.points[-1]

    @property
    def is_baseline(self) -> bool:
        return self.last.group.first.is_baseline


@dataclass(frozen=True)
class LearningCurves:
    """See the module; empty where no configuration was run on two numbers of examples.

    Attributes:
        answer: how few suffice, in a sentence.
        note: how table and answer are to be read.
    """

    title: str = ""
    curves: Sequence[Curve] = ()
    answer: str = ""
    table: Table = field(default_factory=lambda: Table("", (), ()))
    note: str = ""

    def __bool__(self) -> bool:
        return bool(self.curves)


def learning_curves(task: Task, lines: Sequence[Line], likeness: Likeness | None) -> LearningCurves:
    """The curves, and what they say.

    Args:
        lines: groups whose runs all count, each with its line of the table.
    """
    curves = _curves(task, lines, likeness)
    metric = task.headline
    if not curves or metric.split is None:
        return LearningCurves()
    best = best_of(task, curves)
    target = SHARE * best.last.figures(metric).mean
    title = f"How many training {task.examples}"
    return LearningCurves(title, curves, _answer(task, curves, best, target), _table(task, curves, target), _note(task))


def _curves(task: Task, lines: Sequence[Line], likeness: Likeness | None) -> list[Curve]:
    whole = _whole_sizes(task, [group for group, _ in lines], likeness)
    found: dict[str, list[Point]] = {}
    for group, row in lines:
        run = group.first
        rest = {name: value for name, value in run.settings.items() if name != FEW}
        kind = variant_key({"row": run["row"] if run.is_baseline else "", **rest, **run.evaluation})
        examples = group.first_examples or whole.get(run[DATA_DIGEST], 0)
        found.setdefault(kind, []).append(Point(examples, group, row))
    several = [sorted(points, key=lambda point: point.examples) for points in found.values() if len(points) > 1]
    return [Curve(_label(task, points[-1]), points) for points in several if points[0].examples]


def _whole_sizes(task: Task, groups: Iterable[Group], likeness: Likeness | None) -> dict[str, int]:
    """How many training examples there are, by their data's digest. Runs that drop a last batch that is not full have
    counted fewer, so the largest count is taken where the examples themselves are not at hand."""
    training, sizes = task.splits[0], dict[str, int]()
    for group in groups:
        run = group.first
        if group.first_examples is None and training in run.counts:
            sizes[run[DATA_DIGEST]] = max(sizes.get(run[DATA_DIGEST], 0), run.counts[training].total)
    if likeness is not None and training in likeness.clusters:
        sizes[likeness.digest] = len(likeness.clusters[training])
    return sizes


def _label(task: Task, point: Point) -> str:
    """``B3 character (2–5) TF-IDF``; ``row 1, random weights``: what it is, whatever it was trained on."""
    run = point.group.first
    if run.is_baseline:
        what = re.split(r" [+]|,", task.baselines.get(run["row"], ""))[0]
        _, _, differing = point.group.whole_name.partition(" with ")
        return ", ".join(filter(None, [f"{run['row']} {what}".strip(), differing]))
    number, _, what = in_words(replace(point.row, name=point.group.whole_name)).partition(" ")
    return f"row {number.strip('()')}" + ("" if what == "the defaults" else f", {what}")


# ---- how few suffice -------------------------------------------------------------------------------------------------


def best_of(task: Task, curves: Iterable[Curve]) -> Curve:
    """The one that is best on the split that chooses, on as many examples as any was trained on."""
    curves = list(curves)
    most = max(curve.last.examples for curve in curves)
    chooser = task.chooser
    return max(
        (curve for curve in curves if curve.last.examples == most),
        key=lambda curve: curve.last.figures(chooser).mean,
    )


@dataclass(frozen=True)
class Needed:
    """How many examples bring a curve to a figure, of the numbers that were tried.

    Attributes:
        mean: the fewest from which on the mean is there; None where it is not there with the most.
        whole: the same of the whole 95 % interval.
        below: the most with which the whole interval lies below; 0 where there is none.
    """

    mean: int | None
    whole: int | None
    below: int


def needed(curve: Curve, metric: Metric, target: float) -> Needed:
    """How many examples a curve needs for ``target``, a fraction."""
    intervals = {point.examples: point.figures(metric).interval or (0.0, 1.0) for point in curve.points}
    return Needed(
        _first_from(curve, lambda point: point.figures(metric).mean >= target),
        _first_from(curve, lambda point: intervals[point.examples][0] >= target),
        max((examples for examples, (_, high) in intervals.items() if high < target), default=0),
    )


def _first_from(curve: Curve, there: Callable[[Point], bool]) -> int | None:
    found = None
    for point in reversed(curve.points):
        if not there(point):
            break
        found = point.examples
    return found


def _answer(task: Task, curves: Sequence[Curve], best: Curve, target: float) -> str:
    """Of the best trained curve and of the best baseline."""
    metric = task.headline
    kinds = [[curve for curve in curves if curve.is_baseline is kind] for kind in (False, True)]
    said = [_needs(best_of(task, kind), metric, target) for kind in kinds if kind]
    return (
        f"To answer {shown(metric, target, 1)} % of the {metric.split} {task.examples} correctly, which is"
        f" {100 * SHARE:.0f} % of what {best.label} gets from {best.last.examples:,}, {'; '.join(said)}."
    )


def _needs(curve: Curve, metric: Metric, target: float) -> str:
    found, most = needed(curve, metric, target), curve.last.examples
    if found.mean is None:
        unsure = "" if found.below == most else ", or so few that these runs cannot tell"
        return f"{curve.label} needs more than the {most:,} that were tried{unsure}"
    least = f"more than {found.below:,}" if found.below else ""
    sure = f"for the whole interval {found.whole:,}" if found.whole else "no whole interval is there"
    return f"{curve.label} needs about {found.mean:,} ({', '.join(filter(None, [least, sure]))})"


# ---- the table -------------------------------------------------------------------------------------------------------


def _table(task: Task, curves: Sequence[Curve], target: float) -> Table:
    """A line for each number of examples, a column for each curve."""
    metric = task.headline
    sizes = sorted({point.examples for curve in curves for point in curve.points})
    cells: list[Mapping[int, str]] = [
        {point.examples: _cell(point.figures(metric)) for point in curve.points} for curve in curves
    ]
    lines = [(f"{size:,}", *(cell.get(size, NOTHING) for cell in cells)) for size in sizes]
    found = [needed(curve, metric, target) for curve in curves]
    counts = [tuple(NOTHING if n is None else f"{n:,}" for n in (one.mean, one.whole)) for one in found]
    lines.append((f"{shown(metric, target, 1)} % with", *(f"{mean} (whole {whole})" for mean, whole in counts)))
    title = f"{metric.title.capitalize()} by training {task.examples}"
    return Table(title, (f"Training {task.examples}", *(curve.label for curve in curves)), lines, _runs(curves))


def _cell(figures: Figures) -> str:
    mean = shown(figures.metric, figures.mean)
    return mean if figures.interval is None else f"{mean} ({interval_text(figures)})"


def _runs(curves: Sequence[Curve]) -> str:
    """How many seeds stand behind a figure."""
    counts = {
        curve.label: sorted({len(point.row.seeds) for point in curve.points})
        for curve in curves
        if any(any(point.row.seeds) for point in curve.points)
    }
    said = [
        f"{label}: {plural(some[0], 'seed')}" if len(some) == 1 else f"{label}: {some[0]} to {some[-1]} seeds"
        for label, some in counts.items()
    ]
    return "; ".join(said) + ("." if said else "")


def _note(task: Task) -> str:
    return (
        f"Each was trained on the first so many {task.examples} of the training split, in its order; validation and"
        f" {task.splits[-1]} {task.examples} are always the same, and so is the length to which all are padded. A run"
        f" on fewer {task.examples} makes fewer steps, too, for its epochs are as many. In brackets 95 % intervals, of"
        " each figure by itself. “About” is the fewest, of the numbers that were tried, from which on the mean is"
        " there; for the “whole” interval it is the fewest from which on all of it is; “more than” names the most with"
        f" which all of it lies below. The figure to reach is taken as it is, and so are the {task.examples}: others in"
        " their place would give other curves."
    )
