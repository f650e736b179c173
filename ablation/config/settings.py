"""The settings that experiments of every task share, grouped by what they are about.

A setting is declared once, as a field made by :func:`option`: flags, columns of the results and configuration hash all
follow from the fields. This module imports nothing heavy, so that a wrong command is refused in milliseconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ablation.config.method_settings import METHODS, TRAINABLE_LAYERS, MethodSettings
from ablation.config.options import ConfigError, option, run_option
from ablation.config.shapes import (
    ALL_SHAPES,
    GREATEST_WIDTH,
    MODEL_SHAPES,
    MOST_BLOCKS,
    NANO,
    ModelShape,
    canonical_model_size,
)
from ablation.config.values import device, integer, number

# What is declared beside is had from here, too.
__all__ = ["METHODS", "TRAINABLE_LAYERS", "ConfigError", "MethodSettings", "option", "run_option"]

PRETRAINED, RANDOM = "pretrained", "random"
WEIGHTS = (PRETRAINED, RANDOM)
LANGUAGE_MODEL = "language_model"  # the task, and weights that a run of it trained
BASES = (*WEIGHTS, LANGUAGE_MODEL)
MESSAGES, CAPTIONS = "messages", "captions"  # published data that a run may need
PRECISIONS = ("fp32", "tf32", "bf16")
EXECUTIONS = ("planned", "recorded", "naive")
RESULTS_DIR, DEMO_RESULTS_DIR = "results", "results/demo"
SHAPE_OVERRIDES = ("n_layers", "emb_dim", "n_heads")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model is adapted."""

    model_size: str = option(
        "gpt2-small (124M)",
        f"which GPT-2: {', '.join(MODEL_SHAPES)}; short names work too (small, gpt2-small, 124M)",
        lambda text: canonical_model_size(text, ALL_SHAPES),
    )
    weights: str = option(
        PRETRAINED,
        "OpenAI's weights, random ones drawn from the seed, or those of a language model's run, which --weights_path"
        " names",
        choices=BASES,
    )
    n_layers: int | None = option(None, "number of blocks; only with --weights random", integer(1, MOST_BLOCKS))
    emb_dim: int | None = option(None, "width; only with --weights random", integer(1, GREATEST_WIDTH))
    n_heads: int | None = option(None, "attention heads; only with --weights random", integer(1))
    demo: bool = option(
        False, f"the embedded miniature: {NANO} and messages of its own, nothing to download, whatever the row's size"
    )

    @property
    def model_in_use(self) -> str:
        """Which model gives shape, vocabulary and weights: the demo has one only, whatever size its row names."""
        return NANO if self.demo else self.model_size

    @property
    def shape(self) -> ModelShape:
        """The model's dimensions, with the overrides that random weights allow."""
        return dataclasses.replace(ALL_SHAPES[self.model_in_use], **self.shape_overrides)

    @property
    def base_shape(self) -> ModelShape:
        """Of the model whose weights are taken; what is adapted may have fewer blocks."""
        return self.shape

    @property
    def shape_overrides(self) -> dict[str, int]:
        return {name: value for name in SHAPE_OVERRIDES if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How it is trained."""

    num_epochs: int = option(5, "passes over the training split", integer(1))
    batch_size: int = option(8, "messages per batch", integer(1))
    learning_rate: float = option(
        None,
        "AdamW's learning rate; with --method what its literature uses",
        number(positive=True),
        usual=5e-5,
    )
    max_steps: int | None = option(None, "stop after exactly this many batches", integer(1))
    seed: int = option(123, "seed of initialisation and order (never of the split)", integer(0))
    order_seed: int | None = option(None, "seed of the order of batches alone, where it shall differ", integer(0))
    precision: str = option(
        "fp32", "arithmetic: fp32, tf32 (CUDA's faster float32 products) or bf16 (autocast)", choices=PRECISIONS
    )

    @property
    def effective_order_seed(self) -> int:
        """The seed set right before the optimizer is built, which decides the order of the batches."""
        return self.seed if self.order_seed is None else self.order_seed


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how a run computes, reads and writes: nothing here changes what the experiment is."""

    device: str = run_option(
        "auto",
        "where to compute: cpu, gpu, cuda, mps, or cuda:0 for one of several; auto is cuda if there is one, else cpu",
        device,
    )
    threads: int | None = run_option(None, "CPU threads; as many as PyTorch chooses if not given", integer(1, 1024))
    execution: str = run_option(
        "planned",
        "planned: compute what the loss can see; recorded: the same, steps as CUDA graphs; naive: everything, always",
        choices=EXECUTIONS,
    )
    data_dir: str = run_option("data", "folder of SMSSpamCollection.tsv, fetched into it if missing")
    models_dir: str = run_option("models", "folder of downloaded weights and vocabulary")
    weights_path: str | None = run_option(
        None,
        "weights of your own: .safetensors, .pth, .pt or .bin, the .index.json of several, a TensorFlow checkpoint by"
        " its prefix, or the folder of any of these; or the folder of a language model's run",
    )
    results_dir: str = run_option(
        RESULTS_DIR, f"folder of results.csv and of the runs' own folders; with --demo {DEMO_RESULTS_DIR}"
    )
    offline: bool = run_option(False, "never open a connection; say what is missing instead")
    trust_new_hash: bool = run_option(
        False, "use data or weights whose hash is not the recorded one; the row records theirs"
    )
    checkpoint_every: float = run_option(
        5.0,
        "minutes between two checkpoints, from which the same command goes on if the run is cut off; 0 keeps none",
        number(positive=False),
    )
    checkpoint_dir: str | None = run_option(
        None, "folder of checkpoints, which end with their run; checkpoints below --results_dir if not given"
    )
    restart: bool = run_option(False, "begin anew where a checkpoint of the same run is at hand")
    save_model: bool = run_option(False, "keep the trained parameters in the run's folder")


@dataclass(frozen=True, kw_only=True)
class CommonSettings(RunOptions, TrainingSettings, MethodSettings, ModelSettings):
    """What every experiment has. A task's configuration adds its own fields, and its checks to :meth:`problems`.

    Raises:
        ConfigError: naming every field whose value, alone or with the others, cannot be run.
    """

    TASK: ClassVar[str]  # the name of the task; empty for the first one, whose hashes are older than tasks
    LEADING_FIELDS: ClassVar[tuple[str, ...]] = ()  # stand before all others in flags and columns
    NO_EFFECT: ClassVar[Mapping[str, Callable[[Any], str]]] = {}  # of settings of its own: see effects.py
    OF_OTHERS: ClassVar[tuple[str, ...]] = ()  # settings of which no value but the default can be had; no help has them
    SPARES_MEMORY: ClassVar = "or a smaller --model_size"  # what to type besides a smaller --batch_size

    def __post_init__(self) -> None:
        if self.demo and self.results_dir == RESULTS_DIR:  # never among the real results
            object.__setattr__(self, "results_dir", DEMO_RESULTS_DIR)
        usual = {name: field.metadata["usual"] for name, field in fields_of(type(self)).items()}
        for name, value in (usual | self.method_defaults).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        problems = self.problems()
        if problems:
            raise ConfigError(problems)

    @property
    def own_data(self) -> bool:
        """Whether the examples are the user's own; they are where a task takes such."""
        return False

    def own_data_settings(self) -> dict[str, Any]:
        """What was given of the settings that name them, by name."""
        return {}

    @property
    def needed_data(self) -> str | None:
        """Which published data a run needs; None where the demo's or own ones take their place."""
        return None if self.demo or self.own_data else MESSAGES

    @property
    def reads_data_dir(self) -> bool:
        """Whether anything is read from ``--data_dir``."""
        return self.needed_data is not None

    def problems(self) -> list[str]:
        """What is wrong with values that are each fine by themselves, one line per problem."""
        problems: list[str] = []
        if self.weights == PRETRAINED:
            problems.extend(
                f"--{name} {value}: pretrained weights have a fixed shape; add --weights random"
                for name, value in self.shape_overrides.items()
            )
        if self.weights == LANGUAGE_MODEL and self.model_in_use not in (NANO, type(self).model_size):
            problems.append(
                f"--model_size {self.model_size}: a language model's run has a shape of its own; leave it out"
            )
        shape = self.shape
        if shape.emb_dim % shape.n_heads:
            problems.append(
                f"--n_heads {shape.n_heads}: does not divide the width {shape.emb_dim};"
                " give a divisor of it, or another --emb_dim"
            )
        if self.weights_path is not None and self.weights == RANDOM:
            problems.append(
                f"--weights_path {self.weights_path}: contradicts --weights random; add --weights pretrained, or leave"
                " one of the two out"
            )
        if self.method == "dylora" and self.execution == "recorded":
            problems.append("--execution recorded: DyLoRA's steps differ in rank; leave it out, or give planned")
        return [*problems, *self.method_problems(shape.n_layers)]


def fields_of(config_class: type[CommonSettings]) -> dict[str, dataclasses.Field[Any]]:
    """The settings of a task by name, in the order of flags and columns."""
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    return {name: fields[name] for name in dict.fromkeys([*config_class.LEADING_FIELDS, *fields])}
