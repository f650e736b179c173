"""What a run's folder keeps of its answers: a line per message with its label and the logit of each class."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablation.config.own_data import PUBLISHED_LABELS
from ablation.results.run_folder import PREDICTIONS_CSV
from ablation.results.task import Predictions, PredictionsError

COLUMN_TYPES: Any = {"split": str, "index": "int64", "label": "int64"}
LOGIT = "logit_"  # and the name of the class


def predictions_csv(
    logits: Mapping[str, list[list[float]]],
    labels: Mapping[str, list[int]],
    names: Sequence[str] = PUBLISHED_LABELS,
) -> str:
    """One line per message of each split, in the split's order; labels are numbers of classes."""
    buffer = io.StringIO()
    write = csv.writer(buffer, lineterminator="\n").writerow
    write([*COLUMN_TYPES, *(f"{LOGIT}{name}" for name in names)])
    for split, rows in logits.items():
        for index, (values, label) in enumerate(zip(rows, labels[split], strict=True)):
            write([split, index, label, *map(repr, values)])
    return buffer.getvalue()


def read_predictions(folder: Path, split: str) -> Predictions:
    """What the run of this folder answered to the messages of a split; among equal logits the first counts, as argmax
    has it.

    Raises:
        PredictionsError: there is no such file, or its lines are not those of predictions in the split's order.
    """
    path = folder / PREDICTIONS_CSV
    try:
        table = pd.read_csv(path, dtype=COLUMN_TYPES)
        columns = [column for column in table.columns if column.startswith(LOGIT)]
        table = table.astype(dict.fromkeys(columns, float))
    except FileNotFoundError:
        raise PredictionsError(f"{path}: missing") from None
    except (OSError, ValueError) as error:
        raise PredictionsError(f"{path}: not readable ({str(error).splitlines()[0]})") from None
    if len(columns) < 2 or not set(COLUMN_TYPES) <= set(table.columns):
        raise PredictionsError(f"{path}: its columns are not those of predictions")
    part = table[table["split"] == split]
    if not np.array_equal(part["index"].to_numpy(), np.arange(len(part))):
        raise PredictionsError(f"{path}: its {split} messages are not in order")
    labels, logits = part["label"].to_numpy(), part[columns].to_numpy()
    correct = (logits.argmax(axis=1) == labels).astype(np.int64)
    return Predictions(labels, logits, correct, tuple(column.removeprefix(LOGIT) for column in columns))
