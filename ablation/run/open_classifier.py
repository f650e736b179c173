"""From a saved run to a classifier on this machine: base weights, tokenizer, device, and what the training showed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ablation.config.experiment import RANDOM, ConfigError, ExperimentConfig
from ablation.listener import Listener
from ablation.results.task import Task
from ablation.run.inputs import EXPECTED_FAILURES, open_tokenizer, open_weights, resolve_device
from ablation.run.trained_classifier import SavedRun, TrainedClassifier, join, needs_base
from ablation.run.unfamiliar import Familiar, familiar
from previous_chapters import GPTModel

if TYPE_CHECKING:
    import tiktoken

DATA_OPTIONS = ("data_dir", "trust_new_hash")  # where a run's messages were, which is no part of what it is


def config_here(
    saved: SavedRun, *, device: str, models_dir: str, offline: bool, weights_path: str | None
) -> ExperimentConfig:
    """The run's configuration with what is not of the run but of this machine; the base weights are those that the run
    was given, if not said otherwise."""
    given = None if saved.config.weights == RANDOM else weights_path or saved.weights_path
    return dataclasses.replace(
        saved.config, device=device, models_dir=models_dir, offline=offline, weights_path=given
    )


def joined_model(saved: SavedRun, config: ExperimentConfig) -> GPTModel:
    """The trained parameters joined to the base weights that the configuration names."""
    return join(saved, open_weights(config, Listener()) if needs_base(saved) else None)


def open_classifier(saved: SavedRun, config: ExperimentConfig, threshold: float | None = None) -> TrainedClassifier:
    """The classifier of a run, on the configuration's device.

    Raises:
        ConfigError: the device is not there, or a threshold was given and the labels are not two.
        ClassifierError, WeightsError, DownloadError: its parts cannot be had or do not fit.
    """
    if threshold is not None and len(saved.labels) != 2:
        raise ConfigError([f"--threshold {threshold}: decides between two labels, this model has {len(saved.labels)}"])
    device, model, tokenizer = resolve_device(config), joined_model(saved, config), open_tokenizer(config)
    return TrainedClassifier(saved, model, tokenizer, device, saved.labels, threshold)


def seen_in_training(saved: SavedRun, config: ExperimentConfig, task: Task, tokenizer: tiktoken.Encoding) -> Familiar:
    """What the run's training messages show, if they are at hand: those whose digest the run recorded. Fetches
    nothing."""
    options = {name: saved.record[name] for name in DATA_OPTIONS if name in saved.record}
    try:
        examples = task.load(dataclasses.replace(config, **{**options, "offline": True}), Listener())
    except (ConfigError, *EXPECTED_FAILURES):
        examples = None
    if examples is None or examples.digest != saved.record.get("data_digest"):
        return Familiar(saved.padded_length)
    return familiar(examples.splits["train"], tokenizer)
