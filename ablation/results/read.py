"""Finished runs as the report reads them: a task's CSV line by line, and each run's folder.

A line that is cut short, garbled or of another program is named and left out; it never stops the report.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablation.config.experiment import ConfigError, config_hash, variant_settings
from ablation.config.own_data import records_own_data
from ablation.config.settings import CommonSettings, fields_of
from ablation.listener import Count
from ablation.results.baseline_columns import baseline_seeds, baseline_settings
from ablation.results.log import RUN_JSON, RUNS_FOLDER
from ablation.results.questions import BASELINE_ROW
from ablation.results.run_folder import LOSSES_CSV, USES
from ablation.results.table import BYTE_ORDER_MARK
from ablation.results.task import Predictions, PredictionsError, Task

Seeds = tuple[int | None, int | None]
NO_SEED: Seeds = (None, None)
WEIGHTS_DIGEST, DATA_DIGEST, BASE = "weights_digest", "data_digest", "base"
HASH = re.compile("[0-9a-f]{64}")


def variant_key(settings: Mapping[str, Any]) -> str:
    """What a configuration is, seeds aside, as a string that can be compared."""
    return json.dumps(settings, sort_keys=True)


def row_settings(task: Task, row: int, **overrides: Any) -> dict[str, Any]:
    """What differs from the defaults in a row of the task, with fields of one's own choice on top."""
    return variant_settings(task.config_class(**{**task.rows[row], **overrides}))


@dataclass(frozen=True)
class FinishedRun:
    """One line of the results.

    Attributes:
        settings: what differs from the defaults, seeds aside, with the digests of weights and data other than the
            published ones; of a baseline whether it is the demo's, such data, and what makes it a variant of itself.
        seeds: (seed, order seed or None); ``NO_SEED`` for a baseline that draws nothing.
        values: by the name of the metric.
        counts: right answers of each split that a metric is a share of.
        fields: the line, by column name.
        folder: of the run's own files; it may be missing.
        evaluation: what tells this evaluation of the run from its others, by column name.
    """

    task: Task
    settings: Mapping[str, Any]
    seeds: Seeds
    values: Mapping[str, float]
    counts: Mapping[str, Count]
    training_minutes: float
    fields: Mapping[str, str]
    folder: Path
    evaluation: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields.get(column) or ""

    def __repr__(self) -> str:
        """A line for whoever looks at it, as in a notebook; the fields alone are seventy."""
        headline = self.task.headline
        split, value = headline.split, self.values[headline.name] * headline.scale
        share = f" % ({self.counts[split].correct} of {self.counts[split].total})" if split else ""
        return f"<run {self['run_id']}: {headline.title} {value:.2f}{share}>"

    @property
    def is_baseline(self) -> bool:
        return BASELINE_ROW.fullmatch(self["row"]) is not None

    @cached_property
    def key(self) -> str:
        """Equal for runs that are evaluated alike and differ only in their seeds; a baseline's own name, if it is on
        the published data."""
        if self.is_baseline:
            return variant_key({"row": self["row"], **self.settings}) if self.settings else self["row"]
        return variant_key({**self.settings, **self.evaluation})

    @cached_property
    def row(self) -> str:
        """Number of the published row or name of the baseline; empty for a variant."""
        if self.is_baseline:
            return "" if self.settings else self["row"]
        return next((str(row) for row in self.task.rows if row_settings(self.task, row) == self.settings), "")

    @cached_property
    def _predictions(self) -> dict[str, Predictions]:
        return {}

    def predictions(self, split: str) -> Predictions:
        """The run's answers to the examples of ``split``, in the split's order.

        Raises:
            PredictionsError: there are none, or they contradict the run's line.
        """
        if split not in self._predictions:
            found = self.task.read_predictions(self.folder, split)
            count = Count(int(found.correct.sum()), len(found.correct))
            if count != (said := self.counts.get(split, count)):
                raise PredictionsError(
                    f"{self.folder}: {count.correct} of {count.total} {split} {self.task.examples} right, the results"
                    f" say {said.correct} of {said.total}"
                )
            self._predictions[split] = found
        return self._predictions[split]

    def losses(self) -> pd.DataFrame | None:
        """The columns that the task's losses have; None if the run kept none."""
        return self.table(LOSSES_CSV, self.task.loss_columns)

    def table(self, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
        """Columns of numbers of a CSV in the run's folder; None if it is not there, lacks one of them, or is empty."""
        try:
            found = pd.read_csv(self.folder / name, dtype=float, usecols=list(columns))
        except (OSError, ValueError):  # the latter also where a column is missing
            return None
        return found if len(found) else None

    def uses(self) -> dict[str, dict[str, Count]]:
        """Right answers per split of each way to use the model, by its name, in the order of the run's own record;
        empty where there is one way, or the record is missing or garbled."""
        try:
            found = json.loads((self.folder / RUN_JSON).read_text(encoding="utf-8")).get(USES, {})
            return {use: {split: _read_count(fields, split) for split in self.counts} for use, fields in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    @cached_property
    def lost_at(self) -> int | None:
        """The first evaluated step with a loss that is not finite: a run that failed without saying so, as older
        versions let it. None if there is none, or no losses were kept."""
        losses = self.losses()
        if losses is None:
            return None
        lost = np.flatnonzero(~np.isfinite(losses.to_numpy()).all(axis=1))
        return None if len(lost) == 0 else int(np.nan_to_num(losses["step"].iloc[lost[0]]))


def as_row(run: FinishedRun, data_digest: str) -> FinishedRun:
    """A run of the demo as a run of the row that it shows in miniature, for a report on demo runs alone.

    Args:
        data_digest: of the miniature's messages; they come with the code, so a run on others is one of another version,
            and a variant that is named by its own.
    """
    settings = {name: value for name, value in run.settings.items() if name != "demo"}
    if run[DATA_DIGEST] != data_digest:
        settings[DATA_DIGEST] = run[DATA_DIGEST]
    return dataclasses.replace(run, settings=settings)


# ---- reading the CSV ------------------------------------------------------------------------------------------------


def read_results(results_dir: Path, task: Task) -> tuple[list[FinishedRun], list[str]]:
    """All runs of the task's CSV, in its order, and one line for each line that is none.

    Raises:
        OSError: the file is there but cannot be read.
    """
    path = results_dir / task.csv_name
    if not path.exists():
        return [], []
    lines = [line.decode(errors="replace") for line in path.read_bytes().removeprefix(BYTE_ORDER_MARK).splitlines()]
    columns = next(csv.reader(lines[:1]), [])
    if "run_id" not in columns:
        return [], [f"{path}, line 1: no header of results, so nothing in the file can be read"]
    runs, problems = [], []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        try:
            runs.append(_read_line(line, columns, results_dir, task))
        except (ValueError, csv.Error) as error:
            problems.append(f"{path}, line {number}: {error}; left out")
    return runs, problems


def _read_line(line: str, columns: list[str], results_dir: Path, task: Task) -> FinishedRun:
    cells = next(csv.reader([line], strict=True))
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} values for {len(columns)} columns")
    fields = dict(zip(columns, cells, strict=True))
    for column in ("config_hash", DATA_DIGEST):
        if not HASH.fullmatch(fields.get(column, "")):
            raise ValueError(f"{column} {fields.get(column, '')!r} is no SHA-256")
    counts = {metric.split: _read_count(fields, metric.split) for metric in task.metrics if metric.split}
    minutes = _read_number(fields, "training_minutes")
    if minutes < 0:
        raise ValueError(f"training_minutes {fields['training_minutes']!r} is no time")
    run_id = fields["run_id"]
    if Path(run_id).name != run_id:
        raise ValueError(f"run_id {run_id!r} is no name of a folder")
    settings: dict[str, Any]
    if BASELINE_ROW.fullmatch(fields.get("row", "")):
        demo, own = fields.get("demo") == "True", records_own_data(fields)
        data = _foreign_data(fields, task) if own or not demo else {}
        settings = {**({"demo": True} if demo else {}), **baseline_settings(fields), **data}
        seeds = baseline_seeds(fields)
    else:
        config = _read_config(fields, task)
        order_seed = None if config.order_seed == config.seed else config.order_seed
        settings, seeds = variant_settings(config, _foreign(config, fields, task)), (config.seed, order_seed)
    evaluation = {column: fields[column] for column in task.evaluation_columns if fields.get(column)}
    values = {
        metric.name: counts[metric.split].accuracy if metric.split else _read_number(fields, metric.name)
        for metric in task.metrics
        if fields.get(metric.name) or not metric.optional
    }
    folder = results_dir / RUNS_FOLDER / run_id
    return FinishedRun(task, settings, seeds, values, counts, minutes, fields, folder, evaluation)


def _read_number(fields: Mapping[str, str], column: str) -> float:
    try:
        value = float(fields[column])
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{column} {fields.get(column, '')!r} is no number")
    return value


def _read_count(fields: Mapping[str, str], split: str) -> Count:
    try:
        count = Count(int(fields[f"{split}_correct"]), int(fields[f"{split}_total"]))
    except (KeyError, ValueError):
        raise ValueError(f"{split}_correct and {split}_total are no counts") from None
    if not 0 <= count.correct <= count.total or count.total == 0:
        raise ValueError(f"{split}: {count.correct} of {count.total} right is impossible")
    return count


def _read_config(fields: Mapping[str, str], task: Task) -> CommonSettings:
    """The configuration that a line's columns mean.

    Raises:
        ValueError: they mean none.
    """
    values: dict[str, Any] = {}
    for name, field in fields_of(task.config_class).items():
        text = fields.get(name, "")
        if not field.metadata["identity"] or text == "":
            continue
        if isinstance(field.default, bool):
            if text not in ("True", "False"):
                raise ValueError(f"{name} {text!r} is neither True nor False")
            values[name] = text == "True"
        else:
            try:
                values[name] = field.metadata["parse"](text)
            except ValueError as error:
                raise ValueError(f"{name} {text!r}: {error}") from None
    try:
        return task.config_class(**values)
    except ConfigError as error:
        raise ValueError("; ".join(error.problems)) from None


# ---- weights and data other than the published ones ------------------------------------------------------------------


def _foreign(config: CommonSettings, fields: Mapping[str, str], task: Task) -> dict[str, str]:
    """The digests that make a line's run another one than its settings alone say: those in its hash, and what an older
    version, whose hashes say nothing of data, trained on.

    Raises:
        ValueError: the hash is that of other settings.
    """
    digests = {column: fields[column] for column in (WEIGHTS_DIGEST, DATA_DIGEST) if fields.get(column)}
    for count in range(len(digests) + 1):
        for columns in itertools.combinations(digests, count):
            foreign = {column: digests[column] for column in columns}
            if config_hash(config, foreign) == fields["config_hash"]:
                return foreign if config.demo else {**foreign, **_foreign_data(fields, task)}
    raise ValueError("its config_hash is not that of its settings: edited, or written by another version")


def _foreign_data(fields: Mapping[str, str], task: Task) -> dict[str, str]:
    return {DATA_DIGEST: fields[DATA_DIGEST]} if fields[DATA_DIGEST] != task.published_data_digest else {}
