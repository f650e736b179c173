"""One experiment from its configuration to its result: load, plan, train, evaluate. Callable without a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ablation.allocator import give_back_freed_memory
from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import NANO
from ablation.data.demo import disclaimer
from ablation.data.encode import EncodedMessages, make_loaders
from ablation.environment import environment_stamp, peak_memory_mb
from ablation.execution.base import Execution
from ablation.execution.feature_cache import FeatureCache
from ablation.execution.features import FeatureOptions
from ablation.execution.naive import NaiveExecution
from ablation.execution.plan import Thrift
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import Setup, make_setup
from ablation.files.needed import check_files
from ablation.files.snapshots import Snapshots
from ablation.listener import Count, Listener
from ablation.results.result import Answers, ExperimentResult, Facts, Timings
from ablation.results.task import ClassifierTask
from ablation.run.checkpoint import Checkpoint, checkpoint_key, open_checkpoint
from ablation.run.finite import FiniteGuard
from ablation.run.forgetting import Probe, open_probe
from ablation.run.frame import running
from ablation.run.inputs import (
    has_published_weights,
    open_weights,
    settings_of_base,
)
from ablation.run.memory import GIGABYTE, estimate_memory, feature_memory
from ablation.run.recorded import RecordedUpdater
from ablation.run.stopwatch import TOTAL, Stopwatch
from ablation.run.training import Updater, predict, train

TRAINING_STAGE, EVALUATION_STAGE = 0, 1
UPDATERS = {"naive": Updater, "planned": Updater, "recorded": RecordedUpdater}  # by --execution


def feature_stages(messages: dict[str, EncodedMessages], config: ExperimentConfig) -> list[dict[str, Tensor]]:
    """Which messages training needs (all of the training split, the first validation batches), and which only the
    final evaluation (the rest)."""
    everything = {name: torch.arange(len(split)) for name, split in messages.items()}
    in_training = config.eval_iter * config.batch_size
    validation = everything["validation"]
    first = {"train": everything["train"], "validation": validation[:in_training]}
    rest = {**everything, "validation": validation[in_training:]}
    del rest["train"]
    return [first, rest]


def open_feature_cache(config: ExperimentConfig, listener: Listener) -> AbstractContextManager[FeatureCache | None]:
    """The cache that the configuration names; None if it names none."""
    if config.feature_cache is None or config.execution == "naive":
        return nullcontext()
    return FeatureCache(Path(config.feature_cache), int(config.feature_cache_limit * GIGABYTE), listener)


def make_execution(
    setup: Setup, cache: FeatureCache | None = None, weights_digest: str = "", snapshots: Snapshots | None = None
) -> Execution:
    """The execution that the configuration names, its trainable part loaded and on the device."""
    config = setup.config
    if config.execution == "naive":
        return NaiveExecution(setup)
    tokenizer = "demo" if config.model_in_use == NANO else "gpt2"
    run_key = {"weights": weights_digest, "precision": config.precision, "tokenizer": tokenizer}
    stages = feature_stages(setup.messages, config)
    return PlannedExecution(setup, FeatureOptions(stages, feature_memory(config), cache, run_key, snapshots))


@dataclass(frozen=True)
class Inputs:
    """What a run works on; ``probe`` is None where forgetting is not measured."""

    splits: dict[str, EncodedMessages]
    facts: Facts
    foreign: dict[str, str]
    probe: Probe | None


def run_experiment(
    task: ClassifierTask, config: ExperimentConfig, listener: Listener | None = None
) -> ExperimentResult:
    """Load, plan, train, evaluate; the process is afterwards as it was.

    Raises:
        ConfigError: the device or precision is not to be had here.
        RunError: out of memory, no room for features, steps that cannot be recorded, or a loss that is not finite.
        DataError, WeightsError, DownloadError: the data or the weights cannot be had or used.
    """
    listener, config = listener or Listener(), task.settled(config)
    if config.demo:
        listener.message(disclaimer(config.own_data).long)
    with running(config) as (device, watch), open_feature_cache(config, listener) as cache:
        with watch.part("load"):
            setup, inputs = load_inputs(task, config, device, listener)
        digests = inputs.facts.weights_digest, inputs.facts.data_digest
        key = checkpoint_key(task.name, config, inputs.foreign, *digests, device)
        with open_checkpoint(config, key, listener, watch) as checkpoint:
            with watch.part("load"):
                execution = make_execution(setup, cache, inputs.facts.weights_digest, checkpoint)
            del setup  # weights that nothing reads on
            return _train_and_evaluate(task, config, execution, inputs, checkpoint, watch, device, listener)


def load_inputs(
    task: ClassifierTask, config: ExperimentConfig, device: torch.device, listener: Listener
) -> tuple[Setup, Inputs]:
    """Load what the run works on, and plan it."""
    check_files(config)
    probe = open_probe(config, listener)
    examples = task.load(config, listener)
    width = max(split.tokens.shape[1] for split in examples.splits.values())
    thrift = estimate_memory(config, device, width).thrift  # before random weights take their share of what is free
    if thrift is not Thrift.NONE:
        give_back_freed_memory()
    weights = open_weights(config, listener)
    setup = make_setup(config, weights, examples.splits, device, thrift=thrift)
    training = examples.splits["train"]
    facts = Facts(
        effective_context_length=training.tokens.shape[1] if training.padded else None,
        weights_digest=weights.digest(),
        data_digest=examples.digest,
        base=settings_of_base(config),
        **asdict(setup.costs),
    )
    if config.execution != "naive":
        listener.message(setup.describe())
    foreign = {} if has_published_weights(config) else {"weights_digest": facts.weights_digest}
    if not examples.published:
        foreign["data_digest"] = examples.digest
    return setup, Inputs(examples.splits, facts, foreign, probe)


def _train_and_evaluate(
    task: ClassifierTask,
    config: ExperimentConfig,
    execution: Execution,
    inputs: Inputs,
    checkpoint: Checkpoint | None,
    watch: Stopwatch,
    device: torch.device,
    listener: Listener,
) -> ExperimentResult:
    guard = FiniteGuard(config)
    loaders = make_loaders(inputs.splits, config.batch_size)
    with watch.part("training"):
        with watch.part("features"):
            execution.prepare(TRAINING_STAGE, listener)
        new_updater = UPDATERS[config.execution]
        history = train(
            task, execution, loaders, config, listener, new_updater=new_updater, guard=guard, checkpoint=checkpoint
        )
    listener.message(f"training time: {watch.spent()['training'] / 60:.2f} minutes")
    with watch.part("features"):
        execution.prepare(EVALUATION_STAGE, listener)
    ask = partial(final_answers, task, execution, loaders, majority_label(inputs.splits), guard)
    answers = ask()
    uses = counts_by_use(execution, answers.counts, ask)  # behind the published passes, whose draws stay what they were
    trained = execution.trained_parameters(history.updates) if config.save_model or inputs.probe else {}
    timings, memory = _timings(watch, execution), peak_memory_mb()  # what forgetting takes is no part of the run
    forgetting = inputs.probe.measure(trained, device, listener) if inputs.probe else None
    return ExperimentResult(
        config=config,
        foreign=inputs.foreign,
        environment={**environment_stamp(str(device)), "peak_memory_mb": memory},
        facts=inputs.facts,
        timings=timings,
        history=history,
        answers=answers,
        uses=uses,
        features=execution.features,
        evaluations=task.evaluate(answers.counts),
        trained_parameters=trained if config.save_model else {},
        forgetting=forgetting,
        resumed=0 if checkpoint is None else checkpoint.resumed,
        checkpoint=None if checkpoint is None else checkpoint.folder,
    )


def _timings(watch: Stopwatch, execution: Execution) -> Timings:
    seconds = watch.spent()
    features = seconds["features"] if execution.features != "none" else 0.0
    return Timings(seconds["load"], seconds["training"], features, seconds[TOTAL])


def majority_label(splits: dict[str, EncodedMessages]) -> int:
    """The label that most training messages have; of two the first."""
    counts = torch.bincount(splits["train"].labels).tolist()
    return counts.index(max(counts))


def final_answers(
    task: ClassifierTask, execution: Execution, loaders: dict[str, DataLoader], most: int, guard: FiniteGuard
) -> Answers:
    """One more pass over every split, in the task's order; each draws from the global generator.

    Args:
        most: the label that most training messages have.

    Raises:
        RunError: the logits are not finite.
    """
    counts, logits, labels, majority = {}, {}, {}, {}
    for split in task.splits:
        indices, split_logits = predict(execution, split, loaders[split])
        guard.check_logits(split, split_logits)
        split_labels = execution.labels(split, indices)
        counts[split] = task.correct(split_logits, split_labels)
        majority[split] = Count(int((split_labels == most).sum()), len(split_labels))
        if split != "train":  # which is shuffled
            logits[split], labels[split] = split_logits.cpu(), split_labels.cpu()
    return Answers(counts, logits, labels, majority)


def counts_by_use(
    execution: Execution, as_it_stands: Mapping[str, Count], ask: Callable[[], Answers]
) -> dict[str, Mapping[str, Count]]:
    """Right answers of each way to use the model, per split, where its method has several.

    Args:
        as_it_stands: of the model used so.
        ask: one more pass over every split.
    """
    counts = {}
    for use, context in execution.uses().items():
        if context is None:
            counts[use] = as_it_stands
        else:
            with context:
                counts[use] = ask().counts
    return counts
