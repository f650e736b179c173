"""A fitted baseline as the results keep it: a row and files like those of any run."""

from __future__ import annotations

import hashlib
import json
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ablation.baselines.words import Baseline, Fitted
from ablation.data.demo import DISCLAIMER, SHORT_DISCLAIMER
from ablation.data.spam import data_digest
from ablation.environment import device_name, git_commit, peak_memory_mb
from ablation.listener import Count
from ablation.results.run_folder import PREDICTIONS_CSV, RunRecord, evaluation_fields, with_note
from ablation.results.task import Task

if TYPE_CHECKING:
    from ablation.baselines.words import Splits


def describe_baseline(
    task: Task, name: str, baseline: Baseline, fitted: Fitted, splits: Splits, seconds: float, *, demo: bool
) -> RunRecord:
    """The record of a baseline. Columns that mean nothing here (model size, seed, learning rate, …) are missing from
    its row, and so empty in the CSV.

    Args:
        name: of its row.
        seconds: that the fit took.
        demo: the messages are the embedded ones, and whatever is written has to say so.
    """
    import numpy as np
    import sklearn

    at = datetime.now(UTC)
    settings = {"row": name, **baseline.settings, **({"demo": True} if demo else {})}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    labels: dict[str, Any] = {split: frame["Label"].to_numpy() for split, frame in splits.items()}
    correct = {split: said == (labels[split] == 1) for split, said in fitted.predictions.items()}
    counts = {split: Count(int(right.sum()), len(right)) for split, right in correct.items()}
    minutes = round(seconds / 60, 4)
    known: dict[str, Any] = {
        "run_id": f"{name}-{digest[:8]}-{at:%Y%m%dT%H%M%S.%fZ}",
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": name,
        "demo": demo or None,
        "device": "cpu",
        "total_parameters": fitted.parameters,
        "trainable_parameters": fitted.parameters,
        **evaluation_fields(task.evaluate(counts)[0]),
        "training_minutes": minutes,
        "total_minutes": minutes,
        "peak_memory_mb": peak_memory_mb(),
        "device_name": device_name("cpu"),
        "python_version": platform.python_version(),
        "git_commit": git_commit(),
        "data_digest": data_digest(splits),
        "config_hash": digest,
    }
    row = {column: known[column] for column in task.columns if column in known}
    further: dict[str, Any] = {
        "baseline": {
            "description": baseline.description,
            "settings": baseline.settings,
            "chosen": fitted.chosen,
            "scikit_learn_version": sklearn.__version__,
        }
    }
    kept = ("validation", "test")
    # Arrays do as well as tensors here: a table takes their values alone.
    logits: dict[str, Any] = {
        split: np.stack([np.zeros(len(labels[split])), fitted.scores[split]], axis=1) for split in kept
    }
    predictions = task.predictions_csv(logits, {split: labels[split] for split in kept})
    if demo:
        further["note"] = DISCLAIMER
        predictions = with_note(predictions, SHORT_DISCLAIMER)
    return RunRecord([row], further, {PREDICTIONS_CSV: predictions})
