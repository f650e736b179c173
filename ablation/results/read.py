"""Finished runs as the report reads them: ``results.csv`` line by line, and each run's folder.

A line that is cut short, garbled or of another program is named and left out; it never stops the report.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablation.config.experiment import FIELDS, ConfigError, ExperimentConfig, config_hash, variant_settings
from ablation.config.rows import ROWS, row_config, row_number
from ablation.listener import Count
from ablation.results.log import RUNS_FOLDER
from ablation.results.run_folder import LOSSES_CSV, PREDICTIONS_CSV

COUNTED_SPLITS = ("train", "validation", "test")
HASH = re.compile("[0-9a-f]{64}")
LOSS_COLUMNS = ["step", "train_loss", "validation_loss"]
PREDICTION_TYPES: Any = {"split": str, "index": "int64", "label": "int64", "logit_ham": float, "logit_spam": float}
BASELINE_ROW = re.compile(r"B\d+")


class PredictionsError(Exception):
    """A run's predictions cannot be used; the message says which and why."""


def variant_key(settings: Mapping[str, Any]) -> str:
    """What a configuration is, seeds aside, as a string that can be compared."""
    return json.dumps(settings, sort_keys=True)


@dataclass(frozen=True)
class Predictions:
    """What one run said of one split: ``labels`` (N,) and ``logits`` (N, 2), ham before spam."""

    labels: NDArray[np.int64]
    logits: NDArray[np.float64]

    @property
    def correct(self) -> NDArray[np.int64]:
        """(N,) 1 where the larger logit is that of the label; equal logits mean ham, as argmax has it."""
        spam = self.logits[:, 1] > self.logits[:, 0]
        return (spam == (self.labels == 1)).astype(np.int64)


@dataclass(frozen=True)
class Run:
    """One line of the results.

    Attributes:
        key: equal for runs that differ only in their seeds.
        row: number of the published row or name of the baseline; empty for a variant.
        settings: what differs from row 1, seeds aside; of a baseline only whether it is the demo's.
        seeds: (seed, order seed or None); (None, None) for a baseline.
        counts: right answers of each split.
        fields: the line, by column name.
        folder: of the run's own files; it may be missing.
    """

    key: str
    row: str
    settings: Mapping[str, Any]
    seeds: tuple[int | None, int | None]
    counts: Mapping[str, Count]
    training_minutes: float
    fields: Mapping[str, str]
    folder: Path

    def __getitem__(self, column: str) -> str:
        return self.fields.get(column) or ""

    @cached_property
    def _predictions(self) -> pd.DataFrame:
        path = self.folder / PREDICTIONS_CSV
        try:
            return pd.read_csv(path, dtype=PREDICTION_TYPES)
        except FileNotFoundError:
            raise PredictionsError(f"{path}: missing") from None
        except (OSError, ValueError) as error:
            raise PredictionsError(f"{path}: not readable ({str(error).splitlines()[0]})") from None

    def predictions(self, split: str) -> Predictions:
        """The run's answers to the messages of ``split``, in the split's order.

        Raises:
            PredictionsError: there is no such file, or it contradicts the run's line.
        """
        table = self._predictions
        path = self.folder / PREDICTIONS_CSV
        if not {"split", "index", "label", "logit_ham", "logit_spam"} <= set(table.columns):
            raise PredictionsError(f"{path}: its columns are not those of predictions")
        part = table[table["split"] == split]
        result = Predictions(part["label"].to_numpy(), part[["logit_ham", "logit_spam"]].to_numpy())
        expected = self.counts[split]
        in_order = np.array_equal(part["index"].to_numpy(), np.arange(expected.total))
        if not in_order or int(result.correct.sum()) != expected.correct:
            raise PredictionsError(
                f"{path}: {int(result.correct.sum())} of {len(part)} {split} messages right, the results say"
                f" {expected.correct} of {expected.total}"
            )
        return result

    def losses(self) -> pd.DataFrame | None:
        """The columns of ``LOSS_COLUMNS``; None if the run kept none."""
        try:
            return pd.read_csv(self.folder / LOSSES_CSV, dtype=float, usecols=LOSS_COLUMNS)
        except (OSError, ValueError):  # the latter also where a column is missing
            return None


# ---- reading the CSV ------------------------------------------------------------------------------------------------


def read_results(results_dir: Path) -> tuple[list[Run], list[str]]:
    """All runs of ``results.csv``, in its order, and one line for each line that is none.

    Raises:
        OSError: the file is there but cannot be read.
    """
    path = results_dir / "results.csv"
    if not path.exists():
        return [], []
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    columns = next(csv.reader(lines[:1]), [])
    if "run_id" not in columns:
        return [], [f"{path}, line 1: no header of results, so nothing in the file can be read"]
    runs, problems = [], []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        try:
            runs.append(_read_line(line, columns, results_dir))
        except (ValueError, csv.Error) as error:
            problems.append(f"{path}, line {number}: {error}; left out")
    return runs, problems


def _read_line(line: str, columns: list[str], results_dir: Path) -> Run:
    values = next(csv.reader([line], strict=True))
    if len(values) != len(columns):
        raise ValueError(f"{len(values)} values for {len(columns)} columns")
    fields = dict(zip(columns, values, strict=True))
    for column in ("config_hash", "data_digest"):
        if not HASH.fullmatch(fields.get(column, "")):
            raise ValueError(f"{column} {fields.get(column, '')!r} is no SHA-256")
    counts = {split: _read_count(fields, split) for split in COUNTED_SPLITS}
    minutes = float(fields["training_minutes"])
    if not (math.isfinite(minutes) and minutes >= 0):
        raise ValueError(f"training_minutes {fields['training_minutes']!r} is no time")
    run_id = fields["run_id"]
    if Path(run_id).name != run_id:
        raise ValueError(f"run_id {run_id!r} is no name of a folder")
    folder = results_dir / RUNS_FOLDER / run_id
    if BASELINE_ROW.fullmatch(fields["row"]):
        name = fields["row"]
        settings: dict[str, Any] = {"demo": True} if fields.get("demo") == "True" else {}
        return Run(name, name, settings, (None, None), counts, minutes, fields, folder)
    config = _read_config(fields)
    settings = variant_settings(config)
    row = "" if config.demo else str(row_number(config) or "")  # a demo repeats nothing that was published
    return Run(variant_key(settings), row, settings, (config.seed, config.order_seed), counts, minutes, fields, folder)


def as_row(run: Run) -> Run:
    """A run of the demo as a run of the row that it shows in miniature, for a report on demo runs alone."""
    if run.seeds == (None, None):  # a baseline keeps its name
        return dataclasses.replace(run, settings={})
    settings = {name: value for name, value in run.settings.items() if name != "demo"}
    rows = (str(row) for row in ROWS if variant_settings(row_config(row)) == settings)
    return dataclasses.replace(run, key=variant_key(settings), row=next(rows, ""), settings=settings)


def _read_count(fields: Mapping[str, str], split: str) -> Count:
    try:
        count = Count(int(fields[f"{split}_correct"]), int(fields[f"{split}_total"]))
    except (KeyError, ValueError):
        raise ValueError(f"{split}_correct and {split}_total are no counts") from None
    if not 0 <= count.correct <= count.total or count.total == 0:
        raise ValueError(f"{split}: {count.correct} of {count.total} right is impossible")
    return count


def _read_config(fields: Mapping[str, str]) -> ExperimentConfig:
    """The configuration that a line's columns mean.

    Raises:
        ValueError: they mean none, or one with another hash than the line's.
    """
    values: dict[str, Any] = {}
    for name, field in FIELDS.items():
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
        config = ExperimentConfig(**values)
    except ConfigError as error:
        raise ValueError("; ".join(error.problems)) from None
    if config_hash(config) != fields["config_hash"]:
        raise ValueError("its config_hash is not that of its settings: edited, or written by another version")
    return config
