"""A finished run of the language model as files: its folder, and a row for each way of decoding."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ablation.config.experiment import identity
from ablation.config.shapes import NANO
from ablation.data.demo import disclaimer
from ablation.results.language_model import Fit, LanguageModelResult, SentenceHistory, Spoken
from ablation.results.language_model_card import language_model_card
from ablation.results.language_model_files import language_model_file
from ablation.results.run_folder import (
    LOSSES_CSV,
    TRAINED_DIGEST,
    TRAINED_PARAMETERS,
    RunRecord,
    config_fields,
    with_note,
)
from ablation.results.task import Task

EPOCHS_CSV = "epochs.csv"
INTERVALS = "intervals"  # in run.json: of means over sentences, by way of decoding, then by figure
PERPLEXITIES = (30, 20, 18)  # the steps to each are columns
EVALUATION_COLUMNS = ("decoding", "temperature", "top_k", "top_p")
QUALITIES = (
    "forward_bleu", "backward_bleu", "harmonic_bleu", "self_bleu", "distinct_1", "distinct_2", "distinct_3",
    "distinct_4", "in_training", "begins_with_article", "commonest_beginning", "commonest_beginning_share",
    "mean_length",
)  # fmt: skip


def describe_language_model(task: Task, result: LanguageModelResult) -> RunRecord:
    """What is kept of a finished run."""
    config = result.config
    fields = {
        **config_fields(task, config, datetime.now(UTC), result.foreign),
        **result.environment,
        **asdict(result.facts),
        **history_fields(result.history, result.test),
        "training_minutes": round(result.timings.training / 60, 4),
        "total_minutes": round(result.timings.total / 60, 4),
        "load_seconds": round(result.timings.load, 3),
        "resumed": result.resumed,
    }
    rows = [{column: {**fields, **own}.get(column) for column in task.columns} for own in evaluations(result.spoken)]
    tables = {
        LOSSES_CSV: losses_csv(result.history),
        EPOCHS_CSV: epochs_csv(result.history),
        **samples_files(result.spoken),
    }
    further: dict[str, Any] = {"stopped": result.history.stopped, **intervals_of(result.spoken)}
    if config.demo:
        note = disclaimer(config.own_data)
        further["note"] = note.long
        tables |= {name: with_note(tables[name], note.short) for name in (LOSSES_CSV, EPOCHS_CSV)}
    files: dict[str, str | bytes] = dict(tables)
    if result.tensors:
        vocabulary = "demo" if config.model_in_use == NANO else "gpt2"
        trained = language_model_file(
            result.tensors, config.shape, vocabulary, identity(config, result.foreign)
        )
        files[TRAINED_PARAMETERS], further[TRAINED_DIGEST] = trained, hashlib.sha256(trained).hexdigest()
    return RunRecord(rows, further, files, language_model_card)


def history_fields(history: SentenceHistory, test: Fit) -> dict[str, Any]:
    """What a run's rows say of its training, and of the best epoch's parameters on the two other splits."""
    best = history.best
    return {
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "steps": history.steps,
        "train_loss": best.train_loss,
        **_fit_fields("validation", best.validation),
        **_fit_fields("test", test),
        **{f"steps_to_{perplexity}": history.steps_to(perplexity) for perplexity in PERPLEXITIES},
    }


def _fit_fields(split: str, fit: Fit) -> dict[str, float]:
    return {
        f"{split}_loss": fit.loss,
        f"{split}_perplexity": fit.perplexity,
        f"{split}_token_perplexity": fit.token_perplexity,
    }


def evaluations(spoken: Sequence[Spoken]) -> list[dict[str, Any]]:
    """The columns in which the rows of a run differ: one row for each way of decoding; where nothing was generated, one
    that says nothing of it."""
    if not spoken:
        return [dict.fromkeys((*EVALUATION_COLUMNS, *QUALITIES, "generation_seconds"), None) | {"n_samples": 0}]
    return [
        {
            **one.decoding.settings,
            "n_samples": len(one.texts),
            **{name: _finite(getattr(one.quality, name)) for name in QUALITIES},
            "generation_seconds": round(one.seconds, 3),
        }
        for one in spoken
    ]


def _finite(value: Any) -> Any:
    """The value; None for a number that is none, such as the self-BLEU of a single sentence."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def intervals_of(spoken: Sequence[Spoken]) -> dict[str, Any]:
    """The intervals of what are means over sentences, as ``run.json`` has them, by way of decoding."""
    found = {one.decoding.describe(): dict(one.quality.intervals) for one in spoken}
    return {INTERVALS: found} if found else {}


# ---- tables ----------------------------------------------------------------------------------------------------------


def losses_csv(history: SentenceHistory) -> str:
    """One line per batch; steps count from 0 over all epochs."""
    losses = ((number, loss) for number, epoch in enumerate(history.epochs, 1) for loss in epoch.losses)
    return _table("epoch step train_loss", ((epoch, step, loss) for step, (epoch, loss) in enumerate(losses)))


def epochs_csv(history: SentenceHistory) -> str:
    """One line per epoch; BLEU is empty where it was not measured."""
    columns = (
        "epoch train_loss validation_loss validation_perplexity validation_token_perplexity validation_forward_bleu"
        " validation_backward_bleu validation_harmonic_bleu"
    )
    lines = (
        (
            number,
            epoch.train_loss,
            *_fit_fields("validation", epoch.validation).values(),
            *(("", "", "") if epoch.bleu is None else asdict(epoch.bleu).values()),
        )
        for number, epoch in enumerate(history.epochs, 1)
    )
    return _table(columns, lines)


def _table(columns: str, lines: Iterable[Iterable[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([columns.split(), *lines])
    return buffer.getvalue()


def samples_files(spoken: Sequence[Spoken]) -> Mapping[str, str]:
    """By name, the sentences of each way of decoding: sentence n (from 1) is line n."""
    return {f"{one.decoding.file_stem}.txt": "".join(f"{text}\n" for text in one.texts) for one in spoken}
