"""What a run works on: its device, tokenizer and base weights, and whether these are the published ones."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ablation.config.base_run import BaseRunError, find_base_run
from ablation.config.experiment import RANDOM, ConfigError
from ablation.config.settings import LANGUAGE_MODEL, CommonSettings
from ablation.config.shapes import NANO
from ablation.data.demo import WEIGHTS, load_demo_tokenizer
from ablation.data.encode import load_tokenizer
from ablation.data.spam import DataError
from ablation.files import fetch, published
from ablation.files.download import DownloadError
from ablation.listener import Listener
from ablation.model import weights as weight_files
from ablation.model.classifier import RandomWeights, WeightSource
from ablation.results.language_model_files import check_unaltered
from ablation.results.log import ResultsError
from ablation.results.task import Task

if TYPE_CHECKING:
    import tiktoken


class RunError(Exception):
    """The run cannot go on; the message says in one line what failed and what to do."""


# What can go wrong in a run for reasons outside the code, each with a message that stands by itself.
EXPECTED_FAILURES = (DataError, weight_files.WeightsError, DownloadError, ResultsError, RunError)


def resolve_device(config: CommonSettings) -> torch.device:
    """The device to compute on.

    Raises:
        ConfigError: the device asked for is not there, or cannot do the precision or execution asked for.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    wanted = {"auto": ("cuda", "cpu"), "gpu": ("cuda", "mps")}.get(config.device, (config.device.partition(":")[0],))
    name = next((name for name in wanted if available[name]), None)
    if name is None:
        none = f"--device {config.device}: this machine, or this build of PyTorch, has none; give auto or cpu"
        raise ConfigError([none])
    if config.precision == "tf32" and name != "cuda":
        raise ConfigError([f"--precision tf32: only CUDA devices have it, this run is on {name}; give fp32"])
    if config.execution == "recorded" and name != "cuda":
        raise ConfigError([f"--execution recorded: only CUDA devices have graphs, this run is on {name}; give planned"])
    device = torch.device(config.device if ":" in config.device else name)
    if device.index is not None and device.index >= (count := torch.cuda.device_count()):
        there = ", ".join(f"cuda:{index}" for index in range(count))
        raise ConfigError([f"--device {config.device}: this machine has {there}; give one of them"])
    return device


def current(device: torch.device) -> AbstractContextManager[object]:
    """Within, what names no device itself (streams, recorded steps) is on this one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def thread_count(config: CommonSettings) -> int | None:
    """The CPU threads that a run sets itself; None where PyTorch chooses."""
    # The miniature's matrices are too small to share: a second thread would mostly wait, and slow down the first.
    return 1 if config.threads is None and config.model_in_use == NANO else config.threads


def open_tokenizer(config: CommonSettings) -> tiktoken.Encoding:
    """The encoding of the model in use; fetches its vocabulary if that is missing."""
    if config.model_in_use == NANO:
        return load_demo_tokenizer()
    vocabulary = fetch.fetch_vocabulary(
        Path(config.models_dir), offline=config.offline, trust_new_hash=config.trust_new_hash
    )
    return load_tokenizer(vocabulary)


def open_weights(config: CommonSettings, listener: Listener) -> WeightSource:
    """The trunk's weights: drawn, from the user's file, embedded, or fetched."""
    if config.demo and config.model_size not in (type(config)().model_size, NANO):
        listener.message(f"model: the row names {config.model_size}; the demo has {NANO} in its place")
    if config.weights == RANDOM:
        listener.message(f"weights: random, seed {config.seed}")
        return RandomWeights(config.shape, config.seed)
    return open_pretrained(config, listener)


def open_pretrained(config: CommonSettings, listener: Listener) -> weight_files.Weights:
    """Weights of the user's file, embedded, or fetched."""
    path = _weights_path(config, offline=config.offline)
    listener.message(f"weights: {path}")
    if config.weights == LANGUAGE_MODEL:
        _check_base_run(path)
    return weight_files.open_weights(path, config.base_shape)


def _weights_path(config: CommonSettings, *, offline: bool) -> Path:
    if config.weights_path is not None:
        return Path(config.weights_path)
    if config.weights == LANGUAGE_MODEL:
        raise weight_files.WeightsError("the base weights are those of a language model's run: give --weights_path RUN")
    if config.model_in_use == NANO:
        return WEIGHTS
    return fetch.fetch_weights(
        config.model_size, Path(config.models_dir), offline=offline, trust_new_hash=config.trust_new_hash
    )


def settings_of_base(config: CommonSettings) -> str | None:
    """How the language model was trained whose weights a run starts from; None for other weights, and where a copy of
    them in another kind of file does not say."""
    if config.weights != LANGUAGE_MODEL:
        return None
    base = find_base_run(_weights_path(config, offline=True))
    return None if base is None else base.settings


def _check_base_run(path: Path) -> None:
    """Raises WeightsError if a language model's run is not as it was kept; a copy of its weights in another kind of
    file is known by their digest alone."""
    try:
        base = find_base_run(path)
        if base is not None:
            check_unaltered(base)
    except BaseRunError as error:
        raise weight_files.WeightsError(str(error)) from None


# ---- published or not ------------------------------------------------------------------------------------------------


def has_published_weights(config: CommonSettings) -> bool:
    """Whether the base weights are those that the model's name promises; of random ones the configuration says all.

    Raises:
        DownloadError: there are none yet.
    """
    if config.weights == RANDOM or (config.weights_path is None and not config.trust_new_hash):
        return True  # what is fetched is checked
    if config.weights == LANGUAGE_MODEL:
        return False
    path = _weights_path(config, offline=True)
    if config.model_in_use == NANO:
        return path == WEIGHTS or _digest(path, config) == _digest(WEIGHTS, config)
    return published.is_published_weights(path, config.model_size)


def _digest(path: Path, config: CommonSettings) -> str:
    return weight_files.open_weights(path, config.base_shape).digest()


def foreign_digests(task: Task, config: CommonSettings) -> dict[str, str]:
    """What a run of this configuration would record of base weights and data that are not the published ones, as far as
    they are at hand; fetches nothing."""
    foreign = {}
    try:
        if not has_published_weights(config):
            foreign["weights_digest"] = _digest(_weights_path(config, offline=True), config)
    except (DownloadError, weight_files.WeightsError, OSError):
        pass  # the run itself will say what is wrong
    may_differ = config.own_data or (config.trust_new_hash and not config.demo)
    digest = task.foreign_data_digest(config) if may_differ else None
    if digest is not None:
        foreign["data_digest"] = digest
    return foreign
