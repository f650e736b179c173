"""A fitted baseline as the results keep it: a row and files like those of any run."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ablation.baselines.words import Baseline, Fitted
from ablation.data.demo import DISCLAIMER, SHORT_DISCLAIMER
from ablation.data.spam import data_digest
from ablation.environment import device_name, git_commit, peak_memory_mb
from ablation.listener import Count
from ablation.results.read import FinishedRun
from ablation.results.run_folder import PREDICTIONS_CSV, RunRecord, evaluation_fields, with_note
from ablation.results.task import Task

if TYPE_CHECKING:
    from ablation.baselines.words import Splits


def identity(name: str, baseline: Baseline, *, demo: bool) -> dict[str, Any]:
    """What a baseline's row is, whatever it was fitted on."""
    return {"row": name, **baseline.settings, **({"demo": True} if demo else {})}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The ``config_hash`` of a baseline's row: SHA-256 (hex)."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def kept_baseline(runs: Iterable[FinishedRun], settings: Mapping[str, Any], splits: Splits) -> FinishedRun | None:
    """The newest of these results that is this baseline, fitted on these messages; None if there is none."""
    wanted = settings_hash(settings), data_digest(splits)
    same = [run for run in runs if (run["config_hash"], run["data_digest"]) == wanted]
    return same[-1] if same else None


def describe_baseline(
    task: Task, name: str, baseline: Baseline, fitted: Fitted, splits: Splits, seconds: float, *, demo: bool
) -> RunRecord:
    """The record of a baseline.

    Args:
        name: of its row.
        seconds: that the fit took.
        demo: the messages are the embedded ones, and whatever is written has to say so.
    """
    import sklearn

    settings = identity(name, baseline, demo=demo)
    known = _known_fields(task, settings, fitted, splits, seconds)
    further: dict[str, Any] = {
        "baseline": {
            "description": baseline.description,
            "settings": baseline.settings,
            "chosen": fitted.chosen,
            "scikit_learn_version": sklearn.__version__,
        }
    }
    predictions = _predictions_csv(task, fitted, splits)
    if demo:
        further["note"] = DISCLAIMER
        predictions = with_note(predictions, SHORT_DISCLAIMER)
    row = {column: known[column] for column in task.columns if column in known}
    return RunRecord([row], further, {PREDICTIONS_CSV: predictions})


def _known_fields(
    task: Task, settings: Mapping[str, Any], fitted: Fitted, splits: Splits, seconds: float
) -> dict[str, Any]:
    """What there is of a row. Columns that mean nothing here (model size, seed, learning rate, …) are missing, and so
    empty in the CSV."""
    at, minutes = datetime.now(UTC), round(seconds / 60, 4)
    digest = settings_hash(settings)
    right = {split: said == (splits[split]["Label"] == 1).to_numpy() for split, said in fitted.predictions.items()}
    counts = {split: Count(int(values.sum()), len(values)) for split, values in right.items()}
    return {
        "run_id": f"{settings['row']}-{digest[:8]}-{at:%Y%m%dT%H%M%S.%fZ}",
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": settings["row"],
        "demo": settings.get("demo"),
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


def _predictions_csv(task: Task, fitted: Fitted, splits: Splits) -> str:
    import numpy as np

    # Arrays do as well as tensors here: the table takes their values alone.
    logits, labels = dict[str, Any](), dict[str, Any]()
    for split in ("validation", "test"):
        logits[split] = np.stack([np.zeros(len(splits[split])), fitted.scores[split]], axis=1)
        labels[split] = splits[split]["Label"].to_numpy()
    return task.predictions_csv(logits, labels)
