"""What a command would do, without doing it: nothing is loaded, fetched or written."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ablation.config.experiment import (
    RESULTS_DIR,
    ConfigError,
    ExperimentConfig,
    config_hash,
    identity,
    variant_settings,
)
from ablation.config.flags import typed
from ablation.config.rows import find_row
from ablation.config.settings import LANGUAGE_MODEL, CommonSettings
from ablation.config.shapes import NANO, ModelShape
from ablation.data.demo import disclaimer
from ablation.data.held_out import load_held_out_text
from ablation.environment import python_command
from ablation.execution.plan import Thrift, make_plan
from ablation.files.needed import files_to_fetch
from ablation.methods.costs import costs_of
from ablation.model.classifier import assemble
from ablation.process_state import process_state_kept
from ablation.results.costs import in_words, merging_in_words
from ablation.results.read import FinishedRun, read_results
from ablation.results.task import Task
from ablation.run.estimate import estimate_seconds, has_kept_features
from ablation.run.inputs import foreign_digests, resolve_device
from ablation.run.memory import GIGABYTE, MemoryEstimate, estimate_memory
from ablation.words import duration

SHORT_HASH = 8  # characters, as in a run's id; run.json has all of it


def describe(task: Task, config: ExperimentConfig) -> str:
    """The resolved configuration, parameter counts, memory and files to fetch, as lines for a person.

    Raises:
        ConfigError: the device asked for is not there.
        DataError: own data or held-out text cannot be used.
    """
    device, config = resolve_device(config), task.settled(config)
    with process_state_kept():  # the new layers are drawn
        assembly = assemble(config, config.shape)
    costs = asdict(costs_of(assembly.model, assembly.added, config))
    memory, foreign = estimate_memory(config, device), foreign_digests(task, config)
    return "\n".join(
        [
            *what_it_is(task, config, foreign),
            f"model                 {described_model(_model(config), config.shape)}",
            *(f"{title:22}{text}" for title, text in in_words(costs).items()),
            f"merges                {merging_in_words(config.declaration.cannot_merge)}",
            f"device                {device}, {config.precision}, {config.execution} execution",
            *_plan(config, memory.thrift),
            *memory_lines(memory, "weights, gradients and moments"),
            f"time                  {_time(task, config, foreign)}",
            f"configuration hash    {config_hash(config, foreign)[:SHORT_HASH]}",
            *([f"labels                {', '.join(task.labels(config))}"] if config.own_data else []),
            *_held_out_text(config),
            *where_it_leaves_things(config),
        ]
    )


# ---- what every plan says --------------------------------------------------------------------------------------------


def what_it_is(task: Task, config: CommonSettings, foreign: Mapping[str, str]) -> list[str]:
    """Which experiment of the task's."""
    row = find_row(task.rows, config, foreign)
    digests = [f"{name} {digest[:SHORT_HASH]}" for name, digest in foreign.items()]
    settings = ", ".join(filter(None, [typed(variant_settings(config)), *digests])) or "in nothing"
    return [
        f"row                   {row or 'none of the published ones'}",
        f"differs from row 1    {settings}",
        f"seed                  {config.seed} (order {config.effective_order_seed})",
    ]


def described_model(name: str, shape: ModelShape) -> str:
    """A model's name and dimensions."""
    return (
        f"{name}: {shape.n_layers} blocks of width {shape.emb_dim} with {shape.n_heads} heads,"
        f" {shape.context_length} positions, {shape.vocab_size:,} tokens"
    )


def memory_lines(memory: MemoryEstimate, what: str) -> list[str]:
    """What a run takes for ``what``, what a step keeps, and what there is."""
    refused = "; would be refused without --force" if memory.needed > memory.free else ""
    return [
        f"memory                {memory.needed / GIGABYTE:.2f} GB for {what};"
        f" {memory.free / GIGABYTE:.1f} GB free{refused}",
        f"activations           up to {memory.activations / GIGABYTE:.2f} GB in a training step",
    ]


def where_it_leaves_things(config: CommonSettings) -> list[str]:
    """Where results go, what would be fetched first, and what the figures of the demo are not."""
    return [
        f"results               {config.results_dir}",
        *_downloads(config),
        *([disclaimer(config.own_data).long] if config.demo else []),
    ]


def finished_runs(task: Task, config: CommonSettings) -> list[FinishedRun]:
    """The runs in the results of a configuration; none where they cannot be read."""
    try:
        return read_results(Path(config.results_dir), task)[0]
    except OSError:
        return []


def expected(seconds: float | None) -> str:
    """How long it will take, as far as that is known."""
    return "unknown: no run like this one has finished here yet" if seconds is None else f"about {duration(seconds)}"


# ---- of a classifier -------------------------------------------------------------------------------------------------


def _model(config: ExperimentConfig) -> str:
    """What is adapted, by the name that a person has for it."""
    return f"language model in {config.weights_path}" if config.weights == LANGUAGE_MODEL else config.model_in_use


def _plan(config: ExperimentConfig, thrift: Thrift) -> list[str]:
    """What is computed once and what at every step; naive, everything is, always."""
    if config.execution == "naive":
        return []
    plan = replace(make_plan(config), thrift=thrift)
    return [plan.describe().replace("plan: ", "plan                  ", 1)]


def _held_out_text(config: ExperimentConfig) -> list[str]:
    """What forgetting would be measured on."""
    text = load_held_out_text(config)
    return [] if text is None else [f"held-out text         {text.describe()}"]


def _time(task: Task, config: ExperimentConfig, foreign: Mapping[str, str]) -> str:
    """How long the run will take, if finished ones in the same results can tell."""
    finished = finished_runs(task, config)
    reuses = has_kept_features(task, config, finished)
    return expected(estimate_seconds(task, config, finished, foreign=foreign, reuses=reuses))


# ---- of any ----------------------------------------------------------------------------------------------------------


def next_command(task: Task, config: Any) -> tuple[str, float]:
    """What to try after a demo run: the same with GPT-2 and the real messages, and how many MB that will download."""
    settings = {name: value for name, value in identity(config).items() if name != "demo"}
    row, defaults = find_row(task.rows, config), type(config)()
    if row is not None:
        settings = {"row": row, **{name: settings[name] for name in ("seed", "order_seed") if name in settings}}
    size = defaults.model_size if config.model_size == NANO else config.model_size
    try:
        real = replace(config, demo=False, results_dir=RESULTS_DIR, model_size=size, weights_path=None)
    except ConfigError:  # a shape for the miniature alone
        real = None
    if real is None or real.weights == LANGUAGE_MODEL:  # whose tokens are the miniature's
        kept = {"models_dir": config.models_dir, "data_dir": config.data_dir, **config.own_data_settings()}
        real, settings = type(config)(**kept), {}
    paths = {name: getattr(config, name) for name in ("models_dir", "data_dir")
             if getattr(config, name) != getattr(defaults, name)}  # fmt: skip
    paths |= config.own_data_settings()
    flags = [f"--{name} {shlex.quote(str(value))}" for name, value in paths.items()]
    command = " ".join([python_command(), task.command, typed(settings), *flags])
    wanted = [file for files in files_to_fetch(real).values() for _, file in files]
    return " ".join(command.split()), sum(file.size or 0 for file in wanted) / 1e6


def _downloads(config: CommonSettings) -> list[str]:
    """What is lacking, where it belongs and which machine has it; whole addresses would not fit a line."""
    wanted = [(kind, path, file) for kind, files in files_to_fetch(config).items() for path, file in files]
    if not wanted:
        return ["to download           nothing"]
    verb = "missing (offline)" if config.offline else "to download"
    lines = [
        f"{verb:22}{kind}: {path},"
        + (f" {file.size / 1e6:,.1f} MB" if file.size else "")
        + f" from {urlsplit(file.addresses[0]).hostname}"
        for kind, path, file in wanted
    ]
    return [*lines, f"{verb:22}{sum(file.size or 0 for _, _, file in wanted) / 1e6:,.0f} MB in all"]
