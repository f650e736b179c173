"""How each kind of experiment is run, and what is kept of it: by its settings, so that no task is known by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ablation.config.classifier_settings import ClassifierSettings
from ablation.config.generation import LanguageModelConfig
from ablation.config.settings import CommonSettings
from ablation.listener import Listener
from ablation.results.language_model_record import describe_language_model
from ablation.results.read import FinishedRun
from ablation.results.run_folder import RunRecord, describe_result, discard_checkpoint, write_run
from ablation.results.task import Task
from ablation.run import dry_run, estimate, memory, sentence_dry_run, sentence_estimate, sentence_memory
from ablation.run.experiment import run_experiment
from ablation.run.language_model import run_language_model
from ablation.run.recorded import recording_remarks
from ablation.run.sentence_summary import SentenceSummary
from ablation.run.summary import Summary


@dataclass(frozen=True)
class Kind:
    """A kind of experiment.

    Attributes:
        run: (task, configuration, listener) -> result.
        record: (task, result) -> what is kept of it.
        plan: (task, configuration) -> what a run would do, as lines for a person; raises ConfigError, DataError.
        check_memory: (configuration, device) -> nothing; raises ConfigError where the run cannot fit.
        remarks: configuration -> a line for each setting that changes nothing, for a reason that only the run knows.
        seconds: (task, configuration, finished runs, foreign digests, whether features are kept) -> how long a run will
            take; None if no finished run can tell.
        summary: (task, result, rows as appended) -> what a person reads at the end.
    """

    run: Callable[[Any, Any, Listener], Any]
    record: Callable[[Any, Any], RunRecord]
    plan: Callable[[Any, Any], str]
    check_memory: Callable[[Any, torch.device], None]
    remarks: Callable[[Any], list[str]]
    seconds: Callable[[Any, Any, Iterable[FinishedRun], Mapping[str, str], bool], float | None]
    summary: Callable[[Any, Any, Sequence[Mapping[str, Any]]], Summary]


KINDS: Mapping[type[CommonSettings], Kind] = {
    ClassifierSettings: Kind(
        run_experiment,
        describe_result,
        dry_run.describe,
        memory.check_memory,
        recording_remarks,
        estimate.estimate_seconds,
        Summary.of_result,
    ),
    LanguageModelConfig: Kind(
        run_language_model,
        describe_language_model,
        sentence_dry_run.describe,
        sentence_memory.check_memory,
        lambda config: [],
        sentence_estimate.estimate_seconds,
        SentenceSummary.of_result,
    ),
}


def kind_of(config: CommonSettings) -> Kind:
    """The kind of an experiment, by the class of its settings."""
    return next(kind for settings, kind in KINDS.items() if isinstance(config, settings))


def describe_plan(task: Task, config: CommonSettings) -> str:
    """What a run of this configuration would do, as lines for a person; nothing is fetched or written.

    Raises:
        ConfigError: the device asked for is not there.
        DataError: data that are at hand cannot be used.
    """
    return kind_of(config).plan(task, config)


def check_memory(config: CommonSettings, device: torch.device) -> None:
    """Refuse a run that cannot fit into memory.

    Raises:
        ConfigError: with the estimate and what would reduce it.
    """
    kind_of(config).check_memory(config, device)


def remarks(config: CommonSettings) -> list[str]:
    """A line for each setting that changes nothing, for a reason that only the run knows."""
    return kind_of(config).remarks(config)


def estimate_seconds(
    task: Task,
    config: CommonSettings,
    finished_runs: Iterable[FinishedRun],
    foreign: Mapping[str, str] = {},
    *,
    reuses: bool = False,
) -> float | None:
    """Seconds from the beginning to the end of a run, without the start of Python; None if no finished run can tell.

    Args:
        foreign: digests of the run's data and weights other than the published ones.
        reuses: its features are kept already; of no meaning where a kind keeps none.

    Raises:
        ConfigError: the device asked for is not there.
    """
    return kind_of(config).seconds(task, config, finished_runs, foreign, reuses)


def run(task: Task, config: CommonSettings, listener: Listener | None = None) -> Any:
    """Run an experiment; returns the kind's result, whose checkpoint is still there.

    Raises:
        ConfigError, RunError, DataError, WeightsError, DownloadError: as the kind's run.
    """
    return kind_of(config).run(task, config, listener or Listener())


def describe(task: Task, result: Any) -> RunRecord:
    """What is kept of a result."""
    return kind_of(result.config).record(task, result)


def save_result(task: Task, result: Any) -> list[dict[str, Any]]:
    """Write a finished experiment's folder and rows; its checkpoint has served then.

    Returns:
        The rows as appended, by column name.

    Raises:
        ResultsError: the results folder cannot be written.
    """
    rows = write_run(Path(result.config.results_dir), task, describe(task, result))
    discard_checkpoint(result)
    return rows


def summarize(task: Task, result: Any, rows: Sequence[Mapping[str, Any]]) -> Summary:
    """What a person reads of a result whose rows were appended."""
    return kind_of(result.config).summary(task, result, rows)
