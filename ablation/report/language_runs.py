"""Finished runs of a language model: a training with all the ways in which it spoke, and the same over seeds."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.config.decoding import WAYS, Decoding, decodings
from ablation.config.flags import typed
from ablation.config.settings import fields_of
from ablation.report.cells import NOTHING
from ablation.report.groups import Group, group_runs
from ablation.report.significance import Estimate
from ablation.results.language_model_record import EPOCHS_CSV, INTERVALS
from ablation.results.log import RUN_JSON
from ablation.results.read import FinishedRun
from ablation.results.row_list import row_flags
from ablation.results.task import Task

Interval = tuple[float, float]
FILES = ("train_file", "validation_file", "test_file")


@dataclass(frozen=True)
class Training:
    """One trained model: any of its rows, and that of each way of decoding."""

    first: FinishedRun
    ways: Mapping[Decoding, FinishedRun]

    @property
    def seed(self) -> str:
        seed, order_seed = self.first.seeds
        return f"{seed}" if order_seed is None else f"{seed}/{order_seed}"

    @property
    def epoch(self) -> int:
        """The one whose parameters were kept, counted from 1; 0 where the row does not say."""
        return int(self.first["best_epoch"] or 0)

    @cached_property
    def losses(self) -> pd.DataFrame | None:
        """``epoch``, ``step``, ``train_loss`` of each batch; None if the run kept none."""
        return self.first.losses()

    @cached_property
    def epochs(self) -> pd.DataFrame | None:
        """Validation loss and BLEU after each epoch, nan where BLEU was not measured; None if the run kept none."""
        bleu = [f"validation_{way}_bleu" for way in ("forward", "backward", "harmonic")]
        return self.first.table(EPOCHS_CSV, ["epoch", "validation_loss", *bleu])

    @cached_property
    def _intervals(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        try:
            return json.loads((self.first.folder / RUN_JSON).read_text(encoding="utf-8")).get(INTERVALS, {})
        except (OSError, ValueError, AttributeError):
            return {}

    def interval(self, way: Decoding, column: str) -> Interval | None:
        """That over sentences, where the run kept one."""
        try:
            low, high = self._intervals[way.describe()][column]
            return float(low), float(high)
        except (KeyError, TypeError, ValueError):
            return None

    def samples(self, way: Decoding) -> list[str]:
        """The sentences that were generated in this way, number n at place n - 1; none if the run kept none."""
        files = (self.first.folder / f"{stem}.txt" for stem in (way.cut_file_stem, way.file_stem))
        try:
            text = next(filter(Path.is_file, files)).read_bytes().decode(errors="replace")
        except (OSError, StopIteration):
            return []
        return text.removesuffix("\n").split("\n")  # a sentence may hold what else ends a line


@dataclass(frozen=True)
class Estimated:
    """A figure of one configuration.

    Attributes:
        values: of each seed.
        interval: 95 %, over seeds where there are several, else over sentences where the figure is a mean over them.
    """

    values: tuple[float, ...]
    interval: Interval | None = None

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    def beyond(self, published: float) -> float | None:
        """How far a published value lies above (positive) or below the interval, 0 inside; None without an interval."""
        if self.interval is None:
            return None
        low, high = self.interval
        return max(published - high, 0.0) + min(published - low, 0.0)


@dataclass(frozen=True)
class Configuration:
    """Trainings that differ in their seeds alone.

    Attributes:
        label: what pictures call it: ``1 scratch-ppl``.
        description: the flags of a row.
        published: figures of its row: ``test_perplexity``, ``forward_bleu random 0.7``; empty where there are none.
    """

    task: Task
    group: Group
    trainings: tuple[Training, ...]
    label: str
    description: str
    published: Mapping[str, str] = field(default_factory=dict)

    @property
    def row(self) -> str:
        return self.group.first.row

    @property
    def name(self) -> str:
        return self.group.name

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.group.first.settings

    @cached_property
    def config(self) -> Any:
        """What its runs were asked for, with the files of their own sentences and whether they are the demo's."""
        known, first = fields_of(self.task.config_class), self.group.first
        values: dict[str, Any] = {name: value for name, value in self.settings.items() if name in known}
        values |= {name: first[name] for name in FILES if first[name]}
        values |= {"demo": True} if first["demo"] == "True" else {}
        return self.task.config_class(**values)

    @property
    def ways(self) -> list[Decoding]:
        """In which any of its models spoke."""
        return in_order({way for training in self.trainings for way in training.ways})

    def trained(self, column: str) -> Estimated | None:
        """A figure that a training has once; its interval is over seeds."""
        return _estimated([training.first[column] for training in self.trainings])

    def spoken(self, way: Decoding, column: str) -> Estimated | None:
        """A figure of the sentences of one way of decoding."""
        found = [training for training in self.trainings if way in training.ways]
        estimated = _estimated([training.ways[way][column] for training in found])
        if estimated is None or len(estimated.values) > 1:
            return estimated
        return dataclasses.replace(estimated, interval=found[0].interval(way, column))

    def sentences(self, way: Decoding) -> str:
        """How many were generated in this way: ``5000``, or several numbers."""
        counts = {training.ways[way]["n_samples"] for training in self.trainings if way in training.ways}
        return ", ".join(sorted(counts, key=lambda count: (len(count), count)))

    def published_figure(self, column: str, way: Decoding | None = None) -> float | None:
        """The published value of a figure; None where none is, or not of this way of decoding."""
        names = [column] if way is None else [f"{column} {name}" for name in self._published_names(way)]
        for name in names:
            try:
                return float(self.published[name])
            except (KeyError, ValueError):
                continue
        return None

    def _published_names(self, way: Decoding) -> list[str]:
        usual = self.task.config_class()
        if way not in decodings([way.name], [way.temperature], usual.top_k, usual.top_p):  # type: ignore[attr-defined]
            return []
        if self.sentences(way) != str(usual.n_samples):  # type: ignore[attr-defined]
            return []  # backward BLEU grows with the number of sentences
        return [f"{way.name} {way.temperature:g}", f"{way.name} {way.temperature}"]


def _estimated(cells: Sequence[str]) -> Estimated | None:
    """Of the values of each seed; None where a run has none."""
    try:
        values = tuple(float(cell) for cell in cells)
    except ValueError:
        return None
    return Estimated(values, over_seeds(values)) if values and all(map(math.isfinite, values)) else None


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Student's 95 % interval of a mean over seeds; None of a single one."""
    if len(values) < 2:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    low, high = Estimate(statistics.fmean(values), error, len(values) - 1).interval()
    return float(low), float(high)


def in_order(ways: Iterable[Decoding]) -> list[Decoding]:
    """Ways of decoding as the flags name them, cold before hot."""
    return sorted(ways, key=lambda way: (WAYS.index(way.name), way.top_k or 0, way.top_p or 0, way.temperature))


# ---- putting rows together -------------------------------------------------------------------------------------------


def configurations_of(task: Task, rows: Iterable[FinishedRun], *, demo: bool) -> tuple[list[Configuration], list[str]]:
    """Rows as configurations: published rows first, then variants; and notes on runs that do not count.

    Args:
        demo: nothing published belongs beside the demo's figures.
    """
    trainings: dict[str, Training] = {}
    for row in rows:
        way = way_of(row)
        known = trainings.setdefault(row["run_id"], Training(dataclasses.replace(row, evaluation={}), {}))
        if way is not None:
            trainings[row["run_id"]] = dataclasses.replace(known, ways={**known.ways, way: row})
    groups, notes = group_runs(training.first for training in trainings.values())
    published = {} if demo else task.published()
    return [_configuration(task, group, trainings, published) for group in groups], notes


def _configuration(
    task: Task, group: Group, trainings: Mapping[str, Training], published: Mapping[str, Mapping[str, str]]
) -> Configuration:
    row = group.first.row
    own = tuple(trainings[run["run_id"]] for run in group.runs.values())
    if not row:
        return Configuration(task, group, own, group.name.replace(" with --", ", ").replace(" --", ", "), NOTHING)
    label = f"{row} {task.row_names.get(int(row), '')}".strip()
    flags = typed(row_flags(task.command_line, int(row))) or "the defaults"
    return Configuration(task, group, own, label, flags, published.get(row, {}))


def way_of(row: FinishedRun) -> Decoding | None:
    """The way of decoding that a row is about; None of a run that generated nothing, or where the row says nonsense."""
    try:
        top_k, top_p = row["top_k"], row["top_p"]
        way = Decoding(
            row["decoding"], float(row["temperature"]), int(top_k) if top_k else None, float(top_p) if top_p else None
        )
    except ValueError:
        return None
    return way if way.name in WAYS else None
