"""The report's table: one row per configuration, ours beside the published figures."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ablation.config.flags import typed
from ablation.report import significance
from ablation.report.groups import Group, condition
from ablation.results.row_list import row_flags
from ablation.results.task import Likeness, Metric, PredictionsError, Task


@dataclass(frozen=True)
class Figures:
    """A metric over the seeds of one configuration; shares as fractions.

    Attributes:
        values: one per seed.
        interval: 95 % interval of a share whose predictions runs keep, as far as it can be had.
        published: the published value.
        problem: why predictions are missing, and with them the interval over examples.
    """

    metric: Metric
    values: tuple[float, ...]
    interval: tuple[float, float] | None = None
    published: float | None = None
    problem: str = ""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def inside(self) -> bool | None:
        """Whether the published value lies inside the interval; None unless there are both."""
        if self.interval is None or self.published is None:
            return None
        return self.interval[0] <= self.published <= self.interval[1]


@dataclass(frozen=True)
class Share:
    """Mean accuracy, as a fraction, on ``total`` examples."""

    accuracy: float
    total: int


@dataclass(frozen=True)
class TableRow:
    """One configuration.

    Attributes:
        row: number of the published row or name of the baseline; empty for variants.
        seeds: ``123``, or ``123/124`` with an order seed of its own.
        figures: by the metric's name, in the task's order.
        unseen: per sense of "occurs in training", the examples of the last split that do not.
        minutes: mean training time per device and per way the features were had.
        devices, versions: of PyTorch: how many runs each.
        published: the row's line of the published table; empty where there is none.
        lost: seeds whose run had a loss that is not finite, and the step where it was found.
    """

    name: str
    description: str
    row: str
    seeds: tuple[str, ...]
    figures: Mapping[str, Figures]
    unseen: Mapping[str, Share]
    minutes: Mapping[str, float]
    devices: Mapping[str, int]
    versions: Mapping[str, int]
    precision: str
    published: Mapping[str, str]
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Why intervals are missing, a line per metric."""
        return [f"{figures.metric.label}: {figures.problem}" for figures in self.figures.values() if figures.problem]


def predicted_metrics(task: Task) -> list[Metric]:
    """The shares whose examples are not trained on: runs keep what they answered to each of them."""
    return [metric for metric in task.metrics if metric.split in task.splits[1:]]


def make_table(task: Task, groups: Iterable[Group], likeness: Likeness | None, *, demo: bool = False) -> list[TableRow]:
    """One row per group; of the ``demo`` without published figures, which do not belong beside it."""
    rows, published_table = [], task.published()
    for group in groups:
        row, own = group.first.row, group.own(likeness)
        published = published_table.get(row, {})
        beside = {} if demo else published
        flags = _baseline(task, group) if group.first.is_baseline else _flags(task, row, published, demo=demo)
        described = ", ".join(filter(None, [flags, typed(group.first.evaluation)])) if flags else group.name
        lost = {_seed_name(*seeds): run.lost_at for seeds, run in group.runs.items() if run.lost_at is not None}
        table_row = TableRow(
            name=group.name,
            description="; ".join(filter(None, [described, lost_text(lost)])),
            row=row,
            seeds=tuple(_seed_name(*seeds) for seeds in group.runs),
            figures={metric.name: _figures(task, metric, group, own, beside) for metric in task.metrics},
            unseen=_unseen(task, group, own),
            minutes=_minutes(group),
            devices=Counter(run["device_name"] for run in group.runs.values()),
            versions=Counter(run["torch_version"] for run in group.runs.values()),
            precision=group.first["precision"],
            published=beside,
            lost=lost,
        )
        rows.append(table_row)
    return rows


def _baseline(task: Task, group: Group) -> str:
    """What a baseline is, and what makes it a variant of itself; empty of one that the task does not know."""
    described = task.baselines.get(group.first["row"], "")
    _, _, differing = group.name.partition(" with ")
    return ", ".join(filter(None, [described, differing])) if described else ""


def _flags(task: Task, row: str, published: Mapping[str, str], *, demo: bool) -> str:
    """The flags of a row as published, or as they would be typed; empty for what is no row."""
    if not row.isdecimal():
        return ""
    flags = published["flags"] if "flags" in published else typed(row_flags(task.command_line, int(row)))
    return f"--demo {flags}".strip() if demo else flags or "the defaults"


def lost_text(lost: Mapping[str, int]) -> str:
    """What flags a row with runs whose loss is not finite; empty where there are none."""
    runs = ", ".join(f"seed {seed} at step {step}" for seed, step in lost.items())
    return f"LOSS NOT FINITE ({runs})" if runs else ""


def _seed_name(seed: int | None, order_seed: int | None) -> str:
    if seed is None:
        return ""
    return str(seed) if order_seed is None else f"{seed}/{order_seed}"


def _figures(
    task: Task, metric: Metric, group: Group, likeness: Likeness | None, published: Mapping[str, str]
) -> Figures:
    values = tuple(run.values[metric.name] for run in group.runs.values())
    target = float(published[metric.name]) / metric.scale if metric.name in published else None
    if metric.split is None or metric not in predicted_metrics(task):
        return Figures(metric, values, published=target)
    problem, interval, count = "", None, group.first.counts[metric.split]
    try:
        correct = _correct(group, metric.split)
        if len(group.runs) > 1:
            clusters = np.arange(correct.shape[1]) if likeness is None else likeness.clusters[metric.split]
            interval = significance.accuracy_interval(correct, clusters)
    except PredictionsError as error:
        problem = str(error)
    if len(group.runs) == 1:  # its count is enough
        interval = significance.wilson_interval(count.correct, count.total)
    return Figures(metric, values, interval, target, problem)


def _correct(group: Group, split: str) -> np.ndarray:
    """(S, N) 1 where a run is right."""
    return np.array([run.predictions(split).correct for run in group.runs.values()])


def _unseen(task: Task, group: Group, likeness: Likeness | None) -> dict[str, Share]:
    if likeness is None:
        return {}
    try:
        correct = _correct(group, task.splits[-1])
    except PredictionsError:  # the figures of the split say so
        return {}
    return {
        sense: Share(float(correct[:, ~known].mean()), int((~known).sum()))
        for sense, known in likeness.in_training.items()
        if not known.all()  # of own data it may be that nothing is new
    }


def _minutes(group: Group) -> dict[str, float]:
    minutes: dict[str, list[float]] = {}
    for run in group.runs.values():
        minutes.setdefault(condition(run), []).append(run.training_minutes)
    return {where: statistics.fmean(values) for where, values in minutes.items()}


# ---- as a file ------------------------------------------------------------------------------------------------------


def table_csv(task: Task, rows: Sequence[TableRow]) -> str:
    """The whole table, a number per cell; shares in percent."""
    senses = list(dict.fromkeys(sense for row in rows for sense in row.unseen))
    records = [_record(task, row, senses) for row in rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]) if records else ["configuration"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _record(task: Task, row: TableRow, senses: Sequence[str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "configuration": row.name,
        "row": row.row,
        "description": row.description,
        "runs": len(row.seeds),
        "seeds": " ".join(row.seeds),
    }
    for figures in row.figures.values():
        label, (low, high) = figures.metric.label, figures.interval or (None, None)
        numbers = {
            "mean": figures.mean,
            "sd": figures.deviation,
            "min": min(figures.values),
            "max": max(figures.values),
            "low95": low,
            "high95": high,
            "published": figures.published,
        }
        for name, value in numbers.items():
            record[f"{label}_{name}"] = None if value is None else round(figures.metric.scale * value, 3)
        record[f"{label}_published_inside"] = figures.inside
    for sense in senses:
        share, column = row.unseen.get(sense), f"{task.splits[-1]}_unseen_{sense}"
        record[column] = None if share is None else round(100 * share.accuracy, 3)
        record[f"{column}_{task.examples}"] = None if share is None else share.total
    return record | {
        "training_minutes": "; ".join(f"{minutes:.3f} ({where})" for where, minutes in row.minutes.items()),
        "published_minutes": float(minutes) if (minutes := row.published.get("training_minutes")) else None,
        "published_device": row.published.get("device"),
        "devices": counted(row.devices),
        "precision": row.precision,
        "torch_versions": counted(row.versions),
        "notes": "; ".join(filter(None, [lost_text(row.lost), *row.problems])),
    }


def counted(values: Mapping[str, int]) -> str:
    """``A``, or ``A ×3, B ×2`` where several are mixed."""
    named = {value or "unknown": count for value, count in values.items()}
    return next(iter(named)) if len(named) == 1 else ", ".join(f"{value} ×{count}" for value, count in named.items())
