"""A finished run as files: its folder with everything, then its row in the CSV."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.config.experiment import identity
from ablation.data.demo import DISCLAIMER, SHORT_DISCLAIMER
from ablation.environment import environment_stamp, peak_memory_mb
from ablation.listener import Evaluation
from ablation.results.log import (
    COLUMNS,
    RUN_JSON,
    RUNS_FOLDER,
    ResultsError,
    append_row,
    config_fields,
    count_fields,
    replace_file,
)

if TYPE_CHECKING:
    from ablation.run.experiment import ExperimentResult

LOSSES_CSV, PREDICTIONS_CSV, TRAINED_PARAMETERS = "losses.csv", "predictions.csv", "trained.safetensors"
TRAINED_DIGEST = "trained_sha256"  # in run.json: by it, whoever uses the trained parameters knows them for the run's


def save_result(result: ExperimentResult) -> dict[str, Any]:
    """Write a finished experiment's folder and row.

    Returns:
        The row as appended, by column name.

    Raises:
        ResultsError: the results folder cannot be written.
    """
    row, further, files = describe_result(result)
    write_run(Path(result.config.results_dir), row, further, files)
    return row


def describe_result(result: ExperimentResult) -> tuple[dict[str, Any], dict[str, Any], dict[str, str | bytes]]:
    """What :func:`write_run` keeps of a finished experiment, which may be written on another machine: the row, what
    ``run.json`` holds besides it, and the other files by name."""
    config = result.config
    fields = {
        **config_fields(config, datetime.now(UTC)),
        **environment_stamp(result.device.type),
        **count_fields(result.counts),
        "effective_context_length": result.effective_context_length,
        "total_parameters": result.total_parameters,
        "trainable_parameters": result.trainable_parameters,
        "training_minutes": round(result.training_seconds / 60, 4),
        "total_minutes": round(result.total_seconds / 60, 4),
        "load_seconds": round(result.load_seconds, 3),
        "peak_memory_mb": peak_memory_mb(),
        "weights_digest": result.weights_digest,
        "data_digest": result.data_digest,
        "features": result.features,
        "feature_seconds": round(result.feature_seconds, 3),
    }
    row = {column: fields[column] for column in COLUMNS}
    files: dict[str, str | bytes] = {
        LOSSES_CSV: losses_csv(result.history.evaluations),
        PREDICTIONS_CSV: predictions_csv(
            {split: logits.tolist() for split, logits in result.logits.items()},
            {split: labels.tolist() for split, labels in result.labels.items()},
        ),
    }
    further: dict[str, Any] = {}
    if config.demo:
        further["note"] = DISCLAIMER
        files = {name: with_note(str(table), SHORT_DISCLAIMER) for name, table in files.items()}
    if config.save_model:
        trained = trained_parameters_file(result)
        files[TRAINED_PARAMETERS], further[TRAINED_DIGEST] = trained, hashlib.sha256(trained).hexdigest()
    epochs = [
        {
            "train_correct": t.correct,
            "train_total": t.total,
            "validation_correct": v.correct,
            "validation_total": v.total,
        }
        for t, v in result.history.epoch_counts
    ]
    history = {
        "epochs": epochs,
        "steps": result.history.steps,
        "updates": result.history.updates,
        "examples_seen": result.history.examples_seen,
    }
    return row, {**further, "history": history}, files


def trained_parameters_file(result: ExperimentResult) -> bytes:
    """The trained parameters as safetensors; the header's metadata says how to use them."""
    from safetensors.torch import save

    use = {
        "config": json.dumps(identity(result.config)),
        "weights_digest": result.weights_digest,
        "effective_context_length": json.dumps(result.effective_context_length),
    }
    return save({name: tensor.contiguous() for name, tensor in result.trained_parameters.items()}, metadata=use)


def losses_csv(evaluations: Iterable[Evaluation]) -> str:
    """One line per evaluation during training."""
    lines = (f"{e.step},{e.train_loss!r},{e.validation_loss!r}\n" for e in evaluations)
    return "step,train_loss,validation_loss\n" + "".join(lines)


def predictions_csv(logits: Mapping[str, list[list[float]]], labels: Mapping[str, list[int]]) -> str:
    """One line per message of each split, in the split's order."""
    lines = ["split,index,label,logit_ham,logit_spam\n"]
    for split, pairs in logits.items():
        for index, ((ham, spam), label) in enumerate(zip(pairs, labels[split], strict=True)):
            lines.append(f"{split},{index},{label},{ham!r},{spam!r}\n")
    return "".join(lines)


def with_note(table: str, note: str) -> str:
    """The CSV with a last column that says the same in every line; the note has no comma in it."""
    header, *lines = table.splitlines()
    return "".join(f"{line},{last}\n" for line, last in [(header, "note"), *((line, note) for line in lines)])


def write_run(
    results_dir: Path, row: Mapping[str, Any], further: Mapping[str, Any], files: Mapping[str, str | bytes]
) -> Path:
    """Keep a finished run: its folder, whole or not at all, then its row in the CSV.

    Args:
        row: the row, by column name.
        further: what ``run.json`` holds besides the row.
        files: further files of the folder, by name.

    Returns:
        The run's folder.

    Raises:
        ResultsError: as :func:`ablation.results.log.append_row`.
    """
    folder = results_dir / RUNS_FOLDER / str(row["run_id"])
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        unfinished.mkdir(parents=True)
        try:
            for name, content in files.items():
                (unfinished / name).write_bytes(content.encode() if isinstance(content, str) else content)
            replace_file(unfinished / RUN_JSON, json.dumps({**row, **further}, indent=1) + "\n")
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise ResultsError(f"{folder}: {error.strerror or error}; give another --results_dir") from None
    append_row(results_dir, row)
    return folder
