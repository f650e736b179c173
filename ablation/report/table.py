"""The report's table: one line per configuration, ours beside the published figures."""

from __future__ import annotations

import csv
import io
import statistics as plain
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ablation.config.experiment import variant_settings
from ablation.config.flags import typed
from ablation.config.rows import ROWS, row_config
from ablation.environment import PROJECT
from ablation.report import significance as statistics
from ablation.report.groups import Group
from ablation.report.messages import Messages
from ablation.results.read import PredictionsError

PUBLISHED_TABLE = PROJECT / "data" / "published_table.csv"
ACCURACIES = {"training": "train", "validation": "validation", "test": "test"}  # name in tables: name of the split


@dataclass(frozen=True)
class Spread:
    """Accuracies over seeds, as fractions: mean, standard deviation (None for one seed), smallest, largest."""

    mean: float
    deviation: float | None
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        deviation = plain.stdev(values) if len(values) > 1 else None
        return cls(plain.fmean(values), deviation, min(values), max(values))


@dataclass
class Line:
    """One configuration.

    Attributes:
        accuracies: per "training", "validation", "test", over seeds.
        intervals: 95 % intervals of the validation and test accuracy, as far as they can be had.
        unseen: per sense of "occurs in training", accuracy and number of the test messages that do not.
        minutes: mean training minutes per device and per way the features were had.
        published: the published accuracies (fractions), training minutes and device; empty for variants.
        inside: whether the published accuracy lies inside the interval.
        notes: what is missing, and why.
    """

    name: str
    description: str
    row: str
    seeds: list[str]
    accuracies: dict[str, Spread]
    runs: dict[str, list[float]]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    unseen: dict[str, tuple[float, int]] = field(default_factory=dict)
    minutes: dict[str, float] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    precision: str = ""
    published: dict[str, float | str] = field(default_factory=dict)
    inside: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def published_table() -> dict[str, dict[str, str]]:
    """The published figures by row number, as in ``data/published_table.csv``."""
    with PUBLISHED_TABLE.open(encoding="utf-8", newline="") as file:
        return {line["row"]: line for line in csv.DictReader(file)}


def make_table(
    groups: Iterable[Group], messages: Messages | None, descriptions: Mapping[str, str], *, demo: bool = False
) -> list[Line]:
    """One line per group.

    Args:
        descriptions: what a baseline is, by its name.
        demo: the runs are the demo's, beside which no published figures belong.
    """
    added = {str(row): {"flags": typed(variant_settings(row_config(row)))} for row in ROWS}
    published: Mapping[str, Mapping[str, str]] = {**added, **published_table()}
    if demo:
        published = {row: {"flags": f"--demo {figures['flags']}".strip()} for row, figures in published.items()}
    return [_line(group, messages, published.get(group.name, {}), descriptions) for group in groups]


def _line(
    group: Group, messages: Messages | None, published: Mapping[str, str], descriptions: Mapping[str, str]
) -> Line:
    runs = list(group.runs.values())
    accuracies = {name: [run.counts[split].accuracy for run in runs] for name, split in ACCURACIES.items()}
    line = Line(
        name=group.name,
        description=published.get("flags") or descriptions.get(group.name, group.name),
        row=group.first.row,
        seeds=[_seed_name(seeds) for seeds in group.runs],
        accuracies={name: Spread.of(values) for name, values in accuracies.items()},
        runs=accuracies,
        minutes=_minutes(group),
        devices=dict(group.values("device_name")),
        versions=dict(group.values("torch_version")),
        precision=group.first["precision"],
    )
    if group.is_published and not published["flags"]:
        line.description = "the defaults"
    for name in ("validation", "test"):
        try:
            _add_predictions(line, name, group, messages)
        except PredictionsError as error:
            line.notes.append(f"{name}: {error}")
            if len(runs) == 1:  # counts are enough for one run
                count = runs[0].counts[name]
                line.intervals[name] = statistics.wilson_interval(count.correct, count.total)
    if "test_acc" in published:
        line.published = {name: float(published[f"{name}_acc"]) / 100 for name in ACCURACIES}
        line.published |= {"minutes": float(published["training_minutes"]), "device": published["device"]}
        line.inside = {
            name: low <= float(line.published[name]) <= high for name, (low, high) in line.intervals.items()
        }
    return line


def _seed_name(seeds: tuple[int | None, int | None]) -> str:
    seed, order_seed = seeds
    if seed is None:
        return ""
    return str(seed) if order_seed is None else f"{seed}/{order_seed}"


def _add_predictions(line: Line, name: str, group: Group, messages: Messages | None) -> None:
    """Intervals, and accuracies on the messages that are new; needs every run's predictions."""
    correct = np.array([run.predictions(name).correct for run in group.runs.values()])
    if len(correct) == 1:
        low, high = statistics.wilson_interval(int(correct.sum()), correct.shape[1])
    else:
        clusters = np.arange(correct.shape[1]) if messages is None else messages.clusters[name]
        low, high = statistics.accuracy_interval(correct, clusters)
    line.intervals[name] = float(low), float(high)
    if name == "test" and messages is not None:
        for sense, known in messages.in_training.items():
            line.unseen[sense] = float(correct[:, ~known].mean()), int((~known).sum())


def _minutes(group: Group) -> dict[str, float]:
    """Mean training minutes of the runs under each condition that decides over time."""
    by_condition: dict[str, list[float]] = {}
    for run in group.runs.values():
        condition = run["device_name"]
        if run["threads"] and "NVIDIA" not in condition:
            condition += f", {run['threads']} thread{'' if run['threads'] == '1' else 's'}"
        if run["features"] == "reused":
            condition += ", features reused"
        if run["execution"] in ("naive", "recorded"):
            condition += f", {run['execution']}"
        by_condition.setdefault(condition, []).append(run.training_minutes)
    return {condition: plain.fmean(values) for condition, values in by_condition.items()}


# ---- as a file ------------------------------------------------------------------------------------------------------


def table_csv(lines: Iterable[Line]) -> str:
    """The whole table, a number per cell; accuracies in percent."""
    records = [_record(line) for line in lines]
    columns = list(dict.fromkeys(column for record in records for column in record)) or ["configuration"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _record(line: Line) -> dict[str, Any]:
    record: dict[str, Any] = {
        "configuration": line.name,
        "row": line.row,
        "description": line.description,
        "runs": len(line.seeds),
        "seeds": " ".join(line.seeds),
    }
    for name, spread in line.accuracies.items():
        low, high = line.intervals.get(name, (None, None))
        cells = {
            "mean": spread.mean,
            "sd": spread.deviation,
            "min": spread.low,
            "max": spread.high,
            "low95": low,
            "high95": high,
            "published": line.published.get(name),
        }
        record |= {f"{name}_{key}": None if v is None else round(100 * float(v), 3) for key, v in cells.items()}
        record[f"{name}_published_inside"] = line.inside.get(name)
    for sense in ("verbatim", "letters"):
        accuracy, count = line.unseen.get(sense, (None, None))
        record[f"test_unseen_{sense}"] = None if accuracy is None else round(100 * accuracy, 3)
        record[f"test_unseen_{sense}_messages"] = count
    record |= {
        "training_minutes": "; ".join(f"{minutes:.3f} ({where})" for where, minutes in line.minutes.items()),
        "published_minutes": line.published.get("minutes"),
        "published_device": line.published.get("device"),
        "devices": _counted(line.devices),
        "precision": line.precision,
        "torch_versions": _counted(line.versions),
        "notes": "; ".join(line.notes),
    }
    return record


def _counted(values: Mapping[str, int]) -> str:
    """``A``, or ``A ×3, B ×2`` where several are mixed."""
    named = {value or "unknown": count for value, count in values.items()}
    return next(iter(named)) if len(named) == 1 else ", ".join(f"{value} ×{count}" for value, count in named.items())
