"""A fitted baseline as the results keep it: a row and files like those of any run."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ablation.baselines.words import Baseline, Fitted
from ablation.config.own_data import OWN_DATA_FIELDS
from ablation.data.demo import disclaimer
from ablation.environment import device_name, git_commit, peak_memory_mb
from ablation.listener import Count
from ablation.results.read import FinishedRun
from ablation.results.run_folder import PREDICTIONS_CSV, RunRecord, evaluation_fields, with_note
from ablation.results.task import ClassifierTask

if TYPE_CHECKING:
    from ablation.baselines.words import Splits
    from ablation.config.experiment import ExperimentConfig


def identity(name: str, baseline: Baseline, config: ExperimentConfig) -> dict[str, Any]:
    """What a baseline's row is, whichever messages it was fitted on; how many of them belongs to it."""
    of_config = {"demo": config.demo or None, "n_train": config.n_train}
    given = {setting: value for setting, value in of_config.items() if value is not None}
    return {"row": name, **baseline.settings, **given}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The ``config_hash`` of a baseline's row: SHA-256 (hex)."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def kept_baseline(runs: Iterable[FinishedRun], settings: Mapping[str, Any], digest: str) -> FinishedRun | None:
    """The newest of these results that is this baseline, fitted on messages of this digest; None if there is none."""
    wanted = settings_hash(settings), digest
    same = [run for run in runs if (run["config_hash"], run["data_digest"]) == wanted]
    return same[-1] if same else None


def describe_baseline(
    task: ClassifierTask,
    name: str,
    baseline: Baseline,
    fitted: Fitted,
    splits: Splits,
    seconds: float,
    config: ExperimentConfig,
    digest: str,
) -> RunRecord:
    """The record of a baseline.

    Args:
        name: of its row.
        seconds: that the fit took.
        config: which messages it was fitted on; where they are the embedded ones, whatever is written has to say so.
        digest: of these messages.
    """
    import sklearn

    settings = identity(name, baseline, config)
    labels = task.labels(config)
    known = {
        **_known_fields(task, settings, fitted, splits, seconds),
        **{name: getattr(config, name) for name in OWN_DATA_FIELDS},
        "labels": list(labels),
        "data_digest": digest,
    }
    further: dict[str, Any] = {
        "baseline": {
            "description": baseline.description,
            "settings": baseline.settings,
            "chosen": fitted.chosen,
            "scikit_learn_version": sklearn.__version__,
        }
    }
    predictions = _predictions_csv(task, fitted, splits, labels)
    if config.demo:
        note = disclaimer(config.own_data)
        further["note"] = note.long
        predictions = with_note(predictions, note.short)
    row = {column: known[column] for column in task.columns if column in known}
    return RunRecord([row], further, {PREDICTIONS_CSV: predictions})


def _known_fields(
    task: ClassifierTask, settings: Mapping[str, Any], fitted: Fitted, splits: Splits, seconds: float
) -> dict[str, Any]:
    """What there is of a row. Columns that mean nothing here (model size, seed, learning rate, …) are missing, and so
    empty in the CSV."""
    at, minutes = datetime.now(UTC), round(seconds / 60, 4)
    digest = settings_hash(settings)
    right = {split: said == splits[split]["Label"].to_numpy() for split, said in fitted.predictions.items()}
    counts = {split: Count(int(values.sum()), len(values)) for split, values in right.items()}
    return {
        "run_id": f"{settings['row']}-{digest[:8]}-{at:%Y%m%dT%H%M%S.%fZ}",
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": settings["row"],
        "demo": settings.get("demo"),
        "n_train": settings.get("n_train"),
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
        "config_hash": digest,
    }


def _predictions_csv(task: ClassifierTask, fitted: Fitted, splits: Splits, names: tuple[str, ...]) -> str:
    # Arrays do as well as tensors here: the table takes their values alone.
    logits: dict[str, Any] = {split: fitted.logits[split] for split in ("validation", "test")}
    labels: dict[str, Any] = {split: splits[split]["Label"].to_numpy() for split in logits}
    return task.predictions_csv(logits, labels, names)
