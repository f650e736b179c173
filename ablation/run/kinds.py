"""How each kind of experiment is run, and what is kept of it: by its settings, so that no task is known by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
from ablation.run import estimate, memory
from ablation.run.experiment import run_experiment
from ablation.run.language_model import run_language_model


@dataclass(frozen=True)
class Kind:
    """A kind of experiment.

    Attributes:
        run: (task, configuration, listener) -> result.
        record: (task, result) -> what is kept of it.
        check_memory: (configuration, device) -> nothing; raises ConfigError where the run cannot fit.
        estimate: (task, configuration, finished runs, foreign digests, whether its features are kept) -> seconds, None
            where no finished run can tell.
    """

    run: Callable[[Any, Any, Listener], Any]
    record: Callable[[Any, Any], RunRecord]
    check_memory: Callable[[Any, torch.device], None]
    estimate: Callable[[Any, Any, Iterable[FinishedRun], Mapping[str, str], bool], float | None]


KINDS: Mapping[type[CommonSettings], Kind] = {
    ClassifierSettings: Kind(run_experiment, describe_result, memory.check_memory, estimate.estimate_seconds),
    LanguageModelConfig: Kind(
        run_language_model, describe_language_model, lambda config, device: None, lambda *given: None
    ),
}


def kind_of(config: CommonSettings) -> Kind:
    """The kind of an experiment, by the class of its settings."""
    return next(kind for settings, kind in KINDS.items() if isinstance(config, settings))


def check_memory(config: CommonSettings, device: torch.device) -> None:
    """Refuse a run that cannot fit into memory.

    Raises:
        ConfigError: with the estimate and what would reduce it.
    """
    kind_of(config).check_memory(config, device)


def estimate_seconds(
    task: Task,
    config: CommonSettings,
    finished: Iterable[FinishedRun],
    foreign: Mapping[str, str] = {},
    *,
    reuses: bool = False,
) -> float | None:
    """Seconds of a run, told from finished ones; None if none can tell.

    Args:
        foreign: digests of the run's data and weights other than the published ones.
        reuses: its features are kept already, where it has such.

    Raises:
        ConfigError: the device asked for is not there.
    """
    return kind_of(config).estimate(task, config, finished, foreign, reuses)


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
