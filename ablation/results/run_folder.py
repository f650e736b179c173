"""A finished run as files: its folder with everything, then its rows in the task's CSV."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablation.config.base_run import TRAINED_PARAMETERS
from ablation.config.experiment import config_hash, identity
from ablation.config.rows import find_row
from ablation.config.settings import CommonSettings, fields_of
from ablation.config.shapes import NANO
from ablation.data.demo import disclaimer, vocabulary_digest
from ablation.files.storage import replace_file
from ablation.listener import Count, StepLosses
from ablation.results.baseline_columns import BASELINES_ALONE
from ablation.results.card_parts import CARD
from ablation.results.log import RUN_JSON, RUNS_FOLDER, ResultsError, encodable, one_writer_at_a_time
from ablation.results.model_card import model_card_here
from ablation.results.result import ExperimentResult, Forgetting, History
from ablation.results.runs import UNFINISHED, as_record, complete, remove_unfinished
from ablation.results.table import read_table
from ablation.results.task import ClassifierTask, Evaluation, Task

LOSSES_CSV, PREDICTIONS_CSV = "losses.csv", "predictions.csv"
VOCABULARY_DIGEST = "vocabulary_digest"  # with the parameters of a miniature, whose vocabulary may be remade
FORGETTING = "forgetting"  # in run.json: the perplexities, and on which text
USES = "uses"  # in run.json: right answers of each way to use the model, where there are several
TRAINED_DIGEST = "trained_sha256"  # in run.json: by it, whoever uses the trained parameters knows them for the run's


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a finished run, which may have run on another machine.

    Attributes:
        rows: by column name.
        further: what ``run.json`` holds besides the rows.
        files: the folder's other files by name.
        card: (task, ``run.json``, results folder) -> the text beside a model that is kept.
    """

    rows: list[dict[str, Any]]
    further: dict[str, Any]
    files: dict[str, str | bytes]
    card: Callable[[Task, Mapping[str, Any], Path], str] = model_card_here


def discard_checkpoint(result: Any) -> None:
    """Delete what the run could have been gone on from."""
    if result.checkpoint is not None:
        shutil.rmtree(result.checkpoint, ignore_errors=True)
        with contextlib.suppress(OSError):  # those of other runs are in it
            result.checkpoint.parent.rmdir()


def describe_result(task: ClassifierTask, result: ExperimentResult) -> RunRecord:
    """What :func:`write_run` keeps of a finished experiment."""
    config, timings = result.config, result.timings
    fields = {
        **dict.fromkeys(BASELINES_ALONE),
        **config_fields(task, config, datetime.now(UTC), result.foreign),
        **result.environment,
        **asdict(result.facts),
        "training_minutes": round(timings.training / 60, 4),
        "total_minutes": round(timings.total / 60, 4),
        "load_seconds": round(timings.load, 3),
        "feature_seconds": round(timings.features, 3),
        "features": result.features,
        "resumed": result.resumed,
        **forgetting_fields(result.forgetting),
    }
    rows = []
    for evaluation in result.evaluations:
        if tuple(evaluation.settings) != task.evaluation_columns:  # the report would take two rows for one
            raise ValueError(f"task {task.name}: {tuple(evaluation.settings)} instead of {task.evaluation_columns}")
        known = {**fields, **evaluation_fields(evaluation)}
        rows.append({column: known[column] for column in task.columns})
    files: dict[str, str | bytes] = {
        LOSSES_CSV: losses_csv(result.history.evaluations),
        PREDICTIONS_CSV: task.predictions_csv(result.answers.logits, result.answers.labels, task.labels(config)),
    }
    further: dict[str, Any] = {} if result.forgetting is None else {FORGETTING: asdict(result.forgetting)}
    if config.demo:
        note = disclaimer(config.own_data)
        further["note"] = note.long
        files = {name: with_note(str(table), note.short) for name, table in files.items()}
    if config.save_model:
        trained = trained_parameters_file(result)
        files[TRAINED_PARAMETERS], further[TRAINED_DIGEST] = trained, hashlib.sha256(trained).hexdigest()
    if result.uses:
        further[USES] = {use: _all_counts(counts) for use, counts in result.uses.items()}
    return RunRecord(rows, {**further, "history": history_fields(result.history)}, files)


def config_fields(
    task: Task, config: CommonSettings, at: datetime, foreign: Mapping[str, str] = {}
) -> dict[str, Any]:
    """What a row says of a run by its configuration and the time it ended.

    Args:
        foreign: digests of base weights and data other than the published ones; part of what the run is.
    """
    row, digest = find_row(task.rows, config, foreign), config_hash(config, foreign)
    return {
        "run_id": f"{row or 'custom'}-{config.seed}-{digest[:8]}-{at:%Y%m%dT%H%M%S.%fZ}",
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": row,
        **{name: getattr(config, name) for name in fields_of(type(config))},
        **({"labels": list(labels)} if (labels := task.labels(config)) else {}),
        "config_hash": digest,
    }


def evaluation_fields(evaluation: Evaluation) -> dict[str, Any]:
    """The columns in which a row of a run may differ from its others: settings, counts, values."""
    fields = dict(evaluation.settings)
    for measurement in evaluation.measurements:
        if measurement.metric.split is not None and measurement.count is not None:
            fields |= count_fields(measurement.metric.split, measurement.count)
        fields[measurement.metric.name] = measurement.value
    return fields


def _all_counts(counts: Mapping[str, Count]) -> dict[str, int]:
    return {name: number for split, count in counts.items() for name, number in count_fields(split, count).items()}


def count_fields(split: str, count: Count) -> dict[str, int]:
    return {f"{split}_correct": count.correct, f"{split}_total": count.total}


def forgetting_fields(forgetting: Forgetting | None) -> dict[str, float | None]:
    """The perplexities' columns, empty where nothing was measured."""
    before, after = (None, None) if forgetting is None else (forgetting.before, forgetting.after)
    return {"perplexity_before": before, "perplexity_after": after}


def history_fields(history: History) -> dict[str, Any]:
    """The history as ``run.json`` has it; its losses are in a file of their own."""
    epochs = [
        {**count_fields("train", train), **count_fields("validation", validation)}
        for train, validation in history.epoch_counts
    ]
    return {
        "epochs": epochs,
        "steps": history.steps,
        "updates": history.updates,
        "examples_seen": history.examples_seen,
    }


def trained_parameters_file(result: ExperimentResult) -> bytes:
    """The trained parameters as safetensors; the header's metadata says how to use them."""
    from safetensors.torch import save

    use = {
        "config": json.dumps({**identity(result.config), **result.config.own_data_settings()}),
        "weights_digest": result.facts.weights_digest,
        "effective_context_length": json.dumps(result.facts.effective_context_length),
    }
    if result.config.model_in_use == NANO:
        use[VOCABULARY_DIGEST] = vocabulary_digest()
    return save({name: tensor.contiguous() for name, tensor in result.trained_parameters.items()}, metadata=use)


def losses_csv(evaluations: Iterable[StepLosses]) -> str:
    """One line per evaluation during training."""
    lines = (f"{e.step},{e.train_loss!r},{e.validation_loss!r}\n" for e in evaluations)
    return "step,train_loss,validation_loss\n" + "".join(lines)


def with_note(table: str, note: str) -> str:
    """The CSV with a last column that says the same in every line; the note has no comma in it."""
    header, *lines = table.splitlines()
    return "".join(f"{line},{last}\n" for line, last in [(header, "note"), *((line, note) for line in lines)])


def write_run(results_dir: Path, task: Task, record: RunRecord) -> list[dict[str, Any]]:
    """Keep a finished run: its folder, whole or not at all, then its rows in the task's CSV.

    Returns:
        The rows as appended; a run id that exists already gets a number behind it.

    Raises:
        ResultsError: as :func:`ablation.results.runs.complete`.
    """
    runs = results_dir / RUNS_FOLDER
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with one_writer_at_a_time(results_dir):
            remove_unfinished(results_dir)
            run_id = _free_id(results_dir, task, str(record.rows[0]["run_id"]))
            named = [{**row, "run_id": run_id} for row in record.rows]
            rows = [{name: encodable(value) for name, value in row.items()} for row in named]
            run = {"task": task.name, **as_record(rows), **record.further}
            files = {**record.files, RUN_JSON: json.dumps(run, indent=1) + "\n"}
            if TRAINED_PARAMETERS in files:
                files[CARD] = record.card(task, run, results_dir)
            _write_folder(runs / run_id, files)
            complete(results_dir, task)
    except OSError as error:
        raise ResultsError(f"{runs}: {error.strerror or error}; give another --results_dir") from None
    return rows


def _free_id(results_dir: Path, task: Task, wanted: str) -> str:
    """The id, or with a number behind it if there is such a run: the clock may have been set back."""
    taken = {row["run_id"] for row in read_table(results_dir / task.csv_name, task.columns).rows}
    ids = itertools.chain([wanted], (f"{wanted}-{number}" for number in itertools.count(2)))
    return next(one for one in ids if one not in taken and not (results_dir / RUNS_FOLDER / one).exists())


def _write_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write a folder under another name, then rename it. The lock must be held."""
    unfinished = folder.with_name(f".{folder.name}{UNFINISHED}")
    unfinished.mkdir()
    try:
        for name, content in files.items():
            replace_file(unfinished / name, content)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
