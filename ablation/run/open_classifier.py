"""From a saved run to a classifier on this machine: base weights, tokenizer, device, and what the training showed."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ablation.config.experiment import RANDOM, ConfigError, ExperimentConfig
from ablation.listener import Listener
from ablation.model.classifier import WeightSource
from ablation.results.task import ClassifierTask
from ablation.run.inputs import EXPECTED_FAILURES, open_tokenizer, open_weights, resolve_device
from ablation.run.trained_classifier import SavedRun, TrainedClassifier, join, needs_base
from ablation.run.unfamiliar import Familiar, familiar
from previous_chapters import GPTModel

if TYPE_CHECKING:
    import tiktoken

CPU = torch.device("cpu")
DATA_OPTIONS = ("data_dir", "trust_new_hash")  # where a run's messages were, which is no part of what it is


def config_here(
    saved: SavedRun, *, device: str, models_dir: str, offline: bool, weights_path: str | None
) -> ExperimentConfig:
    """The run's configuration with what is not of the run but of this machine; the base weights are those that the run
    was given, if not said otherwise."""
    given = None if saved.config.weights == RANDOM else weights_path or saved.weights_path
    return dataclasses.replace(saved.config, device=device, models_dir=models_dir, offline=offline, weights_path=given)


class HeldWeights:
    """Base weights whose tensors are read once, whoever asks, and then shared; so is their digest.

    Args:
        device: where the tensors are wanted.
    """

    def __init__(self, source: WeightSource, device: torch.device) -> None:
        self.shape = source.shape
        self._source, self._device = source, device
        self._tensors: dict[str, Tensor] = {}
        self._digest = ""

    def tensor(self, name: str) -> Tensor:
        return self.tensors([name])[name]

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        names = list(names)
        missing = [name for name in names if name not in self._tensors]
        read = self._source.tensors(missing) if missing else {}
        self._tensors |= {name: tensor.to(self._device) for name, tensor in read.items()}
        return {name: self._tensors[name] for name in names}

    def digest(self) -> str:
        self._digest = self._digest or self._source.digest()
        return self._digest


class Bases:
    """The base weights of some trained models: each is opened once, however many models stand on it, and what is
    frozen is in the memory once."""

    def __init__(self) -> None:
        self._held: dict[Hashable, HeldWeights] = {}

    def of(self, config: ExperimentConfig, device: torch.device) -> HeldWeights:
        """Those that a configuration names.

        Raises:
            WeightsError, DownloadError: they cannot be had.
        """
        drawn = config.seed if config.weights == RANDOM else None
        key = (config.model_in_use, config.shape, config.weights_path, config.models_dir, drawn, device)
        if key not in self._held:
            self._held[key] = HeldWeights(open_weights(config, Listener()), device)
        return self._held[key]


def joined_model(
    saved: SavedRun, config: ExperimentConfig, bases: Bases | None = None, device: torch.device = CPU
) -> GPTModel:
    """The trained parameters joined to the base weights that the configuration names.

    Args:
        bases: shared with other models.
        device: where the base weights are wanted.
    """
    return join(saved, (bases or Bases()).of(config, device) if needs_base(saved) else None)


def open_classifier(
    saved: SavedRun, config: ExperimentConfig, threshold: float | None = None, bases: Bases | None = None
) -> TrainedClassifier:
    """The classifier of a run, on the configuration's device.

    Args:
        bases: shared with other classifiers.

    Raises:
        ConfigError: the device is not there, or a threshold was given and the labels are not two.
        ClassifierError, WeightsError, DownloadError: its parts cannot be had or do not fit.
    """
    if threshold is not None and len(saved.labels) != 2:
        raise ConfigError([f"--threshold {threshold}: decides between two labels, this model has {len(saved.labels)}"])
    device = resolve_device(config)
    model, tokenizer = joined_model(saved, config, bases, device), open_tokenizer(config)
    return TrainedClassifier(saved, model, tokenizer, device, saved.labels, threshold)


def seen_in_training(
    saved: SavedRun, config: ExperimentConfig, task: ClassifierTask, tokenizer: tiktoken.Encoding
) -> Familiar:
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
