"""What a run's folder keeps of its answers: a line per message with its label and the logits of ham and spam."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablation.results.run_folder import PREDICTIONS_CSV
from ablation.results.task import Predictions, PredictionsError

LOGITS = ["logit_ham", "logit_spam"]
COLUMN_TYPES: Any = {"split": str, "index": "int64", "label": "int64", **dict.fromkeys(LOGITS, float)}


def predictions_csv(logits: Mapping[str, list[list[float]]], labels: Mapping[str, list[int]]) -> str:
    """One line per message of each split, in the split's order."""
    lines = [",".join(COLUMN_TYPES) + "\n"]
    for split, pairs in logits.items():
        for index, ((ham, spam), label) in enumerate(zip(pairs, labels[split], strict=True)):
            lines.append(f"{split},{index},{label},{ham!r},{spam!r}\n")
    return "".join(lines)


def read_predictions(folder: Path, split: str) -> Predictions:
    """What the run of this folder answered to the messages of a split; equal logits mean ham, as argmax has it.

    Raises:
        PredictionsError: there is no such file, or its lines are not those of predictions in the split's order.
    """
    path = folder / PREDICTIONS_CSV
    try:
        table = pd.read_csv(path, dtype=COLUMN_TYPES)
    except FileNotFoundError:
        raise PredictionsError(f"{path}: missing") from None
    except (OSError, ValueError) as error:
        raise PredictionsError(f"{path}: not readable ({str(error).splitlines()[0]})") from None
    if not set(COLUMN_TYPES) <= set(table.columns):
        raise PredictionsError(f"{path}: its columns are not those of predictions")
    part = table[table["split"] == split]
    if not np.array_equal(part["index"].to_numpy(), np.arange(len(part))):
        raise PredictionsError(f"{path}: its {split} messages are not in order")
    labels, logits = part["label"].to_numpy(), part[LOGITS].to_numpy()
    spam = logits[:, 1] > logits[:, 0]
    return Predictions(labels, logits, correct=(spam == (labels == 1)).astype(np.int64))
