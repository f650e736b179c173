"""One experiment from its configuration to its result: the wiring, callable without a command line."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import psutil
import torch
from torch import Tensor

from ablation.allocator import keep_freed_memory
from ablation.config.experiment import FIELDS, RANDOM, ConfigError, ExperimentConfig
from ablation.config.shapes import NANO
from ablation.data.demo import DISCLAIMER, MESSAGES, WEIGHTS, load_demo_tokenizer, read_demo_messages
from ablation.data.encode import EncodedMessages, encode_splits, load_tokenizer, make_loaders
from ablation.data.spam import SPLITS, DataError, data_digest, read_messages, split_messages
from ablation.environment import git_commit
from ablation.execution.feature_cache import FeatureCache
from ablation.execution.feature_file import FeatureStorageError
from ablation.execution.features import FeatureOptions
from ablation.execution.naive import NaiveExecution
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import Setup, make_setup
from ablation.files import fetch
from ablation.files.download import DownloadError
from ablation.files.needed import check_files
from ablation.listener import Count, Listener
from ablation.model import weights as weight_files
from ablation.model.classifier import RandomWeights, WeightSource, assemble
from ablation.results.log import ResultsError
from ablation.run.recorded import RecordedUpdater, RecordingError
from ablation.run.training import History, Updater, count_correct, predict, train

if TYPE_CHECKING:
    import tiktoken

GIGABYTE = 10**9
DEFAULT_FEATURE_MEMORY = 2 * GIGABYTE


class RunError(Exception):
    """The run cannot go on; the message says in one line what failed and what to do."""


# What can go wrong in a run for reasons outside the code, each with a message that stands by itself.
EXPECTED_FAILURES = (DataError, weight_files.WeightsError, DownloadError, ResultsError, RunError)


@dataclass
class ExperimentResult:
    """Everything a finished run found out; ``results_log`` turns it into files."""

    config: ExperimentConfig
    history: History
    counts: dict[str, Count]
    logits: dict[str, Tensor]  # validation and test, (N, 2), in the split's order
    labels: dict[str, Tensor]
    effective_context_length: int | None  # None without padding
    total_parameters: int
    trainable_parameters: int
    weights_digest: str
    data_digest: str
    device: torch.device
    load_seconds: float
    training_seconds: float
    feature_seconds: float
    total_seconds: float
    features: str  # computed, reused or none
    trained_parameters: dict[str, Tensor] = field(default_factory=dict)  # with save_model only


# ---- before anything is loaded ---------------------------------------------------------------------------------------


def resolve_device(config: ExperimentConfig) -> torch.device:
    """The device to compute on.

    Raises:
        ConfigError: the device asked for is not there, or cannot do the precision or execution asked for.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    name = ("cuda" if available["cuda"] else "cpu") if config.device == "auto" else config.device
    if not available[name]:
        raise ConfigError([f"--device {name}: this machine, or this build of PyTorch, has none; give auto or cpu"])
    if config.precision == "tf32" and name != "cuda":
        raise ConfigError([f"--precision tf32: only CUDA devices have it, this run is on {name}; give fp32"])
    if config.execution == "recorded" and name != "cuda":
        raise ConfigError([f"--execution recorded: only CUDA devices have graphs, this run is on {name}; give planned"])
    return torch.device(name)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run's weights, gradients and moments take, and bytes that are free, on one device."""

    needed: int
    free: int


def estimate_memory(config: ExperimentConfig, device: torch.device) -> MemoryEstimate:
    """Estimate without loading anything.

    Weights count in full where they are held: drawn at random, run naively, or needed by every step. Frozen weights
    read from a mapped file block by block do not count. What trains has a gradient and two moments in float32.
    """
    total, trainable = assemble(config, config.shape).count_parameters()
    held_in_full = config.weights == RANDOM or config.execution == "naive" or config.trainable_layers == "all"
    needed = 4 * ((total if held_in_full else trainable) + 3 * trainable)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return MemoryEstimate(needed, free)


def check_memory(config: ExperimentConfig, device: torch.device) -> None:
    """Refuse a run that cannot fit.

    Raises:
        ConfigError: with the estimate and what would reduce it.
    """
    estimate = estimate_memory(config, device)
    if estimate.needed > estimate.free:
        raise ConfigError(
            [
                f"--model_size {config.model_size} with --trainable_layers {config.trainable_layers}:"
                f" weights, gradients and moments take about {estimate.needed / GIGABYTE:.1f} GB,"
                f" {estimate.free / GIGABYTE:.1f} GB are free;"
                " train fewer layers, take a smaller model, or try all the same with --force"
            ]
        )


# ---- loading ---------------------------------------------------------------------------------------------------------


def load_splits(config: ExperimentConfig, listener: Listener) -> dict[str, pd.DataFrame]:
    """The three splits as labels and texts; fetches the messages if they are missing."""
    if config.demo:
        listener.message(f"messages: {MESSAGES}")
        return split_messages(read_demo_messages())
    path = fetch.fetch_dataset(
        Path(config.data_dir), offline=config.offline, trust_new_hash=config.trust_new_hash
    )
    listener.message(f"messages: {path}")
    return split_messages(read_messages(path, trust_new_hash=config.trust_new_hash))


def open_tokenizer(config: ExperimentConfig) -> tiktoken.Encoding:
    """The encoding of the model in use; fetches its vocabulary if that is missing."""
    if config.model_in_use == NANO:
        return load_demo_tokenizer()
    vocabulary = fetch.fetch_vocabulary(
        Path(config.models_dir), offline=config.offline, trust_new_hash=config.trust_new_hash
    )
    return load_tokenizer(vocabulary)


def load_messages(config: ExperimentConfig, listener: Listener) -> tuple[dict[str, EncodedMessages], str]:
    """The three splits as token ids, and the digest of their texts and labels."""
    splits = load_splits(config, listener)
    return encode_splits(splits, open_tokenizer(config), config), data_digest(splits)


def open_weights(config: ExperimentConfig, listener: Listener) -> WeightSource:
    """The trunk's weights: drawn, from the user's file, embedded, or fetched."""
    if config.demo and config.model_size not in (FIELDS["model_size"].default, NANO):
        listener.message(f"model: the row names {config.model_size}; the demo has {NANO} in its place")
    if config.weights == RANDOM:
        listener.message(f"weights: random, seed {config.seed}")
        return RandomWeights(config.shape, config.seed)
    if config.weights_path is not None:
        path = Path(config.weights_path)
    elif config.model_in_use == NANO:
        path = WEIGHTS
    else:
        path = fetch.fetch_weights(
            config.model_size, Path(config.models_dir), offline=config.offline, trust_new_hash=config.trust_new_hash
        )
    listener.message(f"weights: {path}")
    return weight_files.open_weights(path, config.shape)


# ---- running ---------------------------------------------------------------------------------------------------------

TRAINING_STAGE, EVALUATION_STAGE = 0, 1
UPDATERS = {"naive": Updater, "planned": Updater, "recorded": RecordedUpdater}  # by --execution


def feature_stages(messages: dict[str, EncodedMessages], config: ExperimentConfig) -> list[dict[str, Tensor]]:
    """Which messages training needs (all of the training split, the first validation batches), and which only the
    final evaluation."""
    in_training = min(config.eval_iter * config.batch_size, len(messages["validation"]))
    validation = torch.arange(len(messages["validation"]))
    return [
        {"train": torch.arange(len(messages["train"])), "validation": validation[:in_training]},
        {"validation": validation[in_training:], "test": torch.arange(len(messages["test"]))},
    ]


def feature_memory(config: ExperimentConfig) -> int:
    """Bytes of hidden states to hold at a time."""
    if config.feature_memory is not None:
        return int(config.feature_memory * GIGABYTE)
    return min(DEFAULT_FEATURE_MEMORY, psutil.virtual_memory().available // 4)


def open_feature_cache(config: ExperimentConfig, listener: Listener) -> AbstractContextManager[FeatureCache | None]:
    """The cache that the configuration names; None if it names none."""
    if config.feature_cache is None or config.execution == "naive":
        return nullcontext()
    return FeatureCache(Path(config.feature_cache), int(config.feature_cache_limit * GIGABYTE), listener)


def make_execution(
    setup: Setup, cache: FeatureCache | None = None, weights_digest: str = ""
) -> NaiveExecution | PlannedExecution:
    """The execution that the configuration names, its trainable part loaded and on the device."""
    config = setup.config
    if config.execution == "naive":
        return NaiveExecution(setup)
    tokenizer = "demo" if config.model_in_use == NANO else "gpt2"
    run_key = {"weights": weights_digest, "precision": config.precision, "tokenizer": tokenizer}
    stages = feature_stages(setup.messages, config)
    return PlannedExecution(setup, FeatureOptions(stages, feature_memory(config), cache, run_key))


def run_experiment(config: ExperimentConfig, listener: Listener | None = None) -> ExperimentResult:
    """Load, train, evaluate.

    Raises:
        ConfigError: the device or precision is not to be had here.
        RunError: out of memory, no room for features, or steps that cannot be recorded.
        DataError, WeightsError, DownloadError: the data or the weights cannot be had or used.
    """
    listener = listener or Listener()
    started = time.perf_counter()
    git_commit()  # remembered from here on: what the row names is the code that ran, not what is checked out at the end
    device = resolve_device(config)
    # The miniature's matrices are too small to share: a second thread would mostly wait, and slow down the first.
    threads = 1 if config.threads is None and config.model_in_use == NANO else config.threads
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
    try:
        with open_feature_cache(config, listener) as cache:
            return _run(config, listener, device, started, cache)
    except (FeatureStorageError, RecordingError) as error:
        raise RunError(str(error)) from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(_out_of_memory(config)) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise RunError(_out_of_memory(config)) from error


def _out_of_memory(config: ExperimentConfig) -> str:
    return (
        f"out of memory with --batch_size {config.batch_size}: give a smaller --batch_size (and more"
        " --accumulation_steps), a smaller --feature_memory, fewer trainable layers or a smaller --model_size"
    )


def _finish(device: torch.device) -> None:
    """Wait for what the device was asked to compute, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _run(
    config: ExperimentConfig, listener: Listener, device: torch.device, started: float, cache: FeatureCache | None
) -> ExperimentResult:
    check_files(config)
    if config.demo:
        listener.message(DISCLAIMER)
    messages, digest_of_data = load_messages(config, listener)
    weights = open_weights(config, listener)
    digest_of_weights = weights.digest()
    setup = make_setup(config, weights, messages, device)
    # Before an execution leaves out what never occurs.
    total_parameters, trainable_parameters = setup.parameter_counts
    if config.execution != "naive":
        listener.message(setup.describe())
    execution = make_execution(setup, cache, digest_of_weights)
    del weights, setup  # whatever reads on holds it; where nothing does, its memory is free from here on
    loaders = make_loaders(messages, config.batch_size)

    training_started = time.perf_counter()
    execution.prepare(TRAINING_STAGE, listener)
    _finish(device)
    prefix_seconds = time.perf_counter() - training_started
    history = train(execution, loaders, config, listener, new_updater=UPDATERS[config.execution])
    training_seconds = time.perf_counter() - training_started
    listener.message(f"training time: {training_seconds / 60:.2f} minutes")

    evaluation_started = time.perf_counter()
    execution.prepare(EVALUATION_STAGE, listener)
    _finish(device)
    prefix_seconds += time.perf_counter() - evaluation_started
    counts, logits = {}, {}
    for split in SPLITS:
        indices, split_logits = predict(execution, split, loaders[split])
        counts[split] = count_correct(execution, split, indices, split_logits)
        logits[split] = split_logits.cpu()
    return ExperimentResult(
        config=config,
        history=history,
        counts=counts,
        logits={split: logits[split] for split in ("validation", "test")},
        labels={split: messages[split].labels for split in ("validation", "test")},
        effective_context_length=None if config.no_padding else messages["train"].tokens.shape[1],
        total_parameters=total_parameters,
        trainable_parameters=trainable_parameters,
        weights_digest=digest_of_weights,
        data_digest=digest_of_data,
        device=device,
        load_seconds=training_started - started,
        training_seconds=training_seconds,
        feature_seconds=prefix_seconds if execution.features != "none" else 0.0,
        total_seconds=time.perf_counter() - started,
        features=execution.features,
        trained_parameters=execution.trained_parameters(history.updates) if config.save_model else {},
    )
