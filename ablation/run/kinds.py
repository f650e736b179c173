"""How each kind of experiment is run, and what is kept of it: by its settings, so that no task is known by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.config.classifier_settings import ClassifierSettings
from ablation.config.generation import LanguageModelConfig
from ablation.config.settings import CommonSettings
from ablation.listener import Listener
from ablation.results.language_model_record import describe_language_model
from ablation.results.run_folder import RunRecord, describe_result, discard_checkpoint, write_run
from ablation.results.task import Task
from ablation.run.experiment import run_experiment
from ablation.run.language_model import run_language_model


@dataclass(frozen=True)
class Kind:
    """A kind of experiment.

    Attributes:
        run: (task, configuration, listener) -> result.
        record: (task, result) -> what is kept of it.
    """

    run: Callable[[Any, Any, Listener], Any]
    record: Callable[[Any, Any], RunRecord]


KINDS: Mapping[type[CommonSettings], Kind] = {
    ClassifierSettings: Kind(run_experiment, describe_result),
    LanguageModelConfig: Kind(run_language_model, describe_language_model),
}


def kind_of(config: CommonSettings) -> Kind:
    """The kind of an experiment, by the class of its settings."""
    return next(kind for settings, kind in KINDS.items() if isinstance(config, settings))


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
