"""A fitted baseline as the results keep it: a row and files like those of any run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ablation.baselines.baseline import Asked, Baseline, Fitted
from ablation.config.baseline import OF_GPT2, BaselineConfig, own_settings
from ablation.config.own_data import OWN_DATA_FIELDS
from ablation.data.demo import disclaimer
from ablation.environment import device_name, git_commit, peak_memory_mb
from ablation.listener import Count
from ablation.results.baseline_columns import BASELINE_SETTINGS
from ablation.results.read import FinishedRun
from ablation.results.run_folder import PREDICTIONS_CSV, RunRecord, evaluation_fields, with_note

NOT_COLUMNS = ("hf_model",)  # of settings that a row keeps under BASELINE_SETTINGS alone
BY_COLUMN = ("order_seed", "n_train")  # settings that are read back from their columns, and are not under it


def identity(name: str, baseline: Baseline, config: BaselineConfig, foreign: Mapping[str, str] = {}) -> dict[str, Any]:
    """What a baseline's row is, whichever messages it was fitted on; how many of them belongs to it.

    Args:
        config: as the baseline means it.
        foreign: digest of weights other than those that their name promises.
    """
    demo = {"demo": True} if config.demo else {}
    own = own_settings(config, baseline.taken(config))
    return {"row": name, **baseline.settings, **demo, **own, **foreign}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The ``config_hash`` of a baseline's row: SHA-256 (hex)."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def kept_baseline(runs: Iterable[FinishedRun], settings: Mapping[str, Any], digest: str) -> FinishedRun | None:
    """The newest of these results that is this baseline, fitted on messages of this digest; None if there is none."""
    wanted = settings_hash(settings), digest
    same = [run for run in runs if (run["config_hash"], run["data_digest"]) == wanted]
    return same[-1] if same else None


def describe_baseline(
    name: str,
    baseline: Baseline,
    asked: Asked,
    fitted: Fitted,
    settings: Mapping[str, Any],
    seconds: float,
    digest: str,
) -> RunRecord:
    """The record of a baseline.

    Args:
        name: of its row.
        asked: on which messages; where they are the embedded ones, whatever is written has to say so.
        settings: its :func:`identity`.
        seconds: that the fit took.
        digest: of the messages.
    """
    import sklearn

    task, config = asked.task, asked.config
    known = {
        **_known_fields(asked, settings, fitted, seconds),
        **_settings_fields(baseline, config),
        **{name: getattr(config, name) for name in OWN_DATA_FIELDS},
        **fitted.columns,
        "labels": list(task.labels(config)),
        "data_digest": digest,
    }
    further: dict[str, Any] = {
        "baseline": {
            "description": baseline.description,
            "settings": baseline.settings,
            "chosen": fitted.chosen,
            "scikit_learn_version": sklearn.__version__,
            **fitted.further,
        }
    }
    files = {**fitted.files, PREDICTIONS_CSV: _predictions_csv(asked, fitted)}
    if config.demo:
        note = disclaimer(config.own_data)
        further["note"] = note.long
        files = {file: with_note(table, note.short) for file, table in files.items()}
    return RunRecord([{column: known[column] for column in task.columns if column in known}], further, dict(files))


def _known_fields(asked: Asked, settings: Mapping[str, Any], fitted: Fitted, seconds: float) -> dict[str, Any]:
    """What there is of a row. Columns that mean nothing here are missing, and so empty in the CSV."""
    at, minutes = datetime.now(UTC), round(seconds / 60, 4)
    digest = settings_hash(settings)
    labels = {split: table["Label"].to_numpy() for split, table in asked.splits.items()}
    right = {split: said == labels[split][: len(said)] for split, said in fitted.predictions.items()}
    counts = {split: Count(int(values.sum()), len(values)) for split, values in right.items()} | fitted.counts
    seed = [str(settings["seed"])] if "seed" in settings else []
    return {
        "run_id": "-".join([settings["row"], *seed, digest[:8], f"{at:%Y%m%dT%H%M%S.%fZ}"]),
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": settings["row"],
        "demo": settings.get("demo"),
        "device": "cpu",
        "total_parameters": fitted.parameters,
        "trainable_parameters": fitted.parameters,
        **rankings(fitted, labels),
        **evaluation_fields(asked.task.evaluate(counts)[0]),
        "training_minutes": minutes,
        "total_minutes": minutes,
        "peak_memory_mb": peak_memory_mb(),
        "device_name": device_name("cpu"),
        "python_version": platform.python_version(),
        "git_commit": git_commit(),
        "config_hash": digest,
    }


def _settings_fields(baseline: Baseline, config: BaselineConfig) -> dict[str, Any]:
    """The settings that a baseline takes: each in its column, and together those that make it a variant of itself."""
    taken = baseline.taken(config)
    unknown = OF_GPT2 if config.hf_model is not None else ()
    columns = {name: getattr(config, name) for name in taken if name not in (*NOT_COLUMNS, *unknown)}
    own = own_settings(config, [name for name in baseline.takes if name not in BY_COLUMN])
    return {**columns, BASELINE_SETTINGS: json.dumps(own, sort_keys=True) if own else None}


def rankings(fitted: Fitted, labels: Mapping[str, Any]) -> dict[str, float]:
    """The area under the ROC curve of validation and test: the chance that of a message of each class the one of the
    second scores higher, ties counting half. Of two classes, where a split has both; else nothing."""
    from sklearn.metrics import roc_auc_score

    found = {}
    for split in ("validation", "test"):
        logits = fitted.logits[split]
        if logits.shape[1] == 2 and len(set(labels[split])) == 2:
            found[f"{split}_auc"] = float(roc_auc_score(labels[split], logits[:, 1] - logits[:, 0]))
    return found


def _predictions_csv(asked: Asked, fitted: Fitted) -> str:
    # Arrays do as well as tensors here: the table takes their values alone.
    logits: dict[str, Any] = {split: fitted.logits[split] for split in ("validation", "test")}
    labels: dict[str, Any] = {split: asked.splits[split]["Label"].to_numpy() for split in logits}
    table = asked.task.predictions_csv(logits, labels, asked.task.labels(asked.config))
    beside = [fitted.beside[split] for split in logits if split in fitted.beside]
    return _with_columns(table, beside) if beside else table


def _with_columns(table: str, parts: Sequence[Mapping[str, Sequence[Any]]]) -> str:
    """The CSV with further columns, whose values are those of its parts one behind the other."""
    header, *lines = csv.reader(io.StringIO(table))
    values = [line for part in parts for line in zip(*part.values(), strict=True)]
    buffer = io.StringIO()
    write = csv.writer(buffer, lineterminator="\n").writerow
    write([*header, *parts[0]])
    for line, further in zip(lines, values, strict=True):
        write([*line, *further])
    return buffer.getvalue()
