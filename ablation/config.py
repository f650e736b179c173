"""What an experiment is: every setting, its meaning, its checks, and the nineteen published configurations.

This module imports nothing heavy, so that a wrong command is refused in milliseconds. The command-line flags, the
columns of the results and the configuration hash are all derived from the fields of :class:`ExperimentConfig`.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PRETRAINED, RANDOM = "pretrained", "random"
WEIGHTS = (PRETRAINED, RANDOM)
TRAINABLE_LAYERS = ("all", "last_block", "last_two_blocks", "last_layer", "lora", "lora_alternative")
LORA_POLICIES = ("lora", "lora_alternative")
TOKEN_POSITIONS = ("first", "last", "flexible")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("fp32", "tf32", "bf16")
EXECUTIONS = ("planned", "naive")
LONGEST_TRAINING_EXAMPLE, MODEL_CONTEXT_LENGTH = "longest_training_example", "model_context_length"
NUM_CLASSES = 2  # ham, spam


@dataclass(frozen=True)
class ModelShape:
    """The dimensions of a GPT-2. Queries, keys and values have biases; dropout is 0 throughout."""

    vocab_size: int
    context_length: int
    emb_dim: int
    n_layers: int
    n_heads: int


MODEL_SHAPES: dict[str, ModelShape] = {
    "gpt2-small (124M)": ModelShape(50257, 1024, 768, 12, 12),
    "gpt2-medium (355M)": ModelShape(50257, 1024, 1024, 24, 16),
    "gpt2-large (774M)": ModelShape(50257, 1024, 1280, 36, 20),
    "gpt2-xl (1558M)": ModelShape(50257, 1024, 1600, 48, 25),
}
NANO = "gpt2-nano (demo)"  # the embedded miniature, with a vocabulary of its own; see demo/
ALL_SHAPES = {**MODEL_SHAPES, NANO: ModelShape(2000, 256, 112, 3, 4)}
RESULTS_DIR, DEMO_RESULTS_DIR = "results", "results/demo"


class ConfigError(ValueError):
    """A configuration that cannot be run; ``problems`` has one line for each thing that is wrong with it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


# ---- reading one value -----------------------------------------------------------------------------------------------


def _one_of(choices: Iterable[str]) -> Callable[[str], str]:
    names = tuple(choices)

    def parse(text: str) -> str:
        if text in names:
            return text
        close = difflib.get_close_matches(text, names, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"{hint}choose one of {', '.join(names)}")

    return parse


def _integer(minimum: int, maximum: int = 2**63 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("give a whole number") from None
        if value < minimum:
            raise ValueError(f"give a whole number of at least {minimum}")
        if value > maximum:
            raise ValueError(f"give a whole number of at most {maximum}")
        return value

    return parse


def _number(*, positive: bool) -> Callable[[str], float]:
    needed = "a positive number" if positive else "a number that is not negative"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"give {needed}") from None
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise ValueError(f"give {needed}")
        return value

    return parse


def _ignore_index(text: str) -> int:
    value = _integer(-(2**31))(text)
    if value in (0, 1):
        raise ValueError("0 and 1 are the labels ham and spam, which must count; leave the flag out, or give -100")
    return value


def _context_length(text: str) -> str | int:
    if text in (LONGEST_TRAINING_EXAMPLE, MODEL_CONTEXT_LENGTH):
        return text
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueError(f"give {LONGEST_TRAINING_EXAMPLE}, {MODEL_CONTEXT_LENGTH} or a number of tokens of at least 1")
    return value


def canonical_model_size(text: str, sizes: Iterable[str] = tuple(MODEL_SHAPES)) -> str:
    """The full name of a model size given in full or short: ``gpt2-small (124M)``, ``gpt2-small``, ``124M``.

    Args:
        sizes: the names that are known here, by default GPT-2's own.

    Raises:
        ValueError: the name is not known; the message lists those that are.
    """
    for name in sizes:
        short, _, count = name.partition(" ")
        if text.strip().lower() in (name.lower(), short.lower(), count.strip("()").lower()):
            return name
    return _one_of(sizes)(text)


def _model_size(text: str) -> str:
    return canonical_model_size(text, ALL_SHAPES)


# ---- the fields ------------------------------------------------------------------------------------------------------


def _option(default: Any, help_text: str, parse: Callable[[str], Any] = str, *, identity: bool = True) -> Any:
    """A field with its help text, the reader of its flag, and whether it is part of what defines the experiment."""
    return field(default=default, metadata={"help": help_text, "parse": parse, "identity": identity})


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment. The defaults are row 1 of the published table.

    Raises:
        ConfigError: naming every field whose value, alone or with the others, cannot be run.
    """

    model_size: str = _option(
        "gpt2-small (124M)", "which GPT-2; short names such as gpt2-small or 124M work too", _model_size
    )
    weights: str = _option(PRETRAINED, "OpenAI's weights, or random ones drawn from the seed", _one_of(WEIGHTS))
    trainable_layers: str = _option(
        "last_block", "which parameters train (lora_alternative merges its weights first)", _one_of(TRAINABLE_LAYERS)
    )
    trainable_token_pos: str = _option(
        "last",
        "which position the classifier reads: the first, the last (normally a pad), or the last real token (flexible)",
        _one_of(TOKEN_POSITIONS),
    )
    average_embeddings: bool = _option(
        False, "read the mean over all positions instead (with flexible: over the real tokens)"
    )
    context_length: str | int = _option(
        LONGEST_TRAINING_EXAMPLE,
        f"tokens every message is padded or cut to: {LONGEST_TRAINING_EXAMPLE}, {MODEL_CONTEXT_LENGTH} or a number",
        _context_length,
    )
    lora_rank: int = _option(8, "rank of the LoRA matrices", _integer(1))
    lora_alpha: int = _option(8, "factor of the LoRA term alpha·xAB (not divided by the rank)", _integer(1))
    no_padding: bool = _option(False, "neither pad nor cut messages; needs --batch_size 1")
    num_epochs: int = _option(5, "passes over the training split", _integer(1))
    batch_size: int = _option(8, "messages per batch", _integer(1))
    accumulation_steps: int = _option(1, "batches whose gradients are added up before each update", _integer(1))
    disable_causal_mask: bool = _option(False, "let every position attend to all others, later ones too")
    ignore_index: int = _option(
        -100, "label that the loss leaves out; no message has one, so any value gives the same run", _ignore_index
    )
    learning_rate: float = _option(5e-5, "AdamW's learning rate", _number(positive=True))
    weight_decay: float = _option(0.1, "AdamW's weight decay, on everything that trains", _number(positive=False))
    eval_freq: int = _option(50, "batches between two evaluations of the losses", _integer(1))
    eval_iter: int = _option(5, "batches per evaluation during training", _integer(1))
    max_steps: int | None = _option(None, "stop after exactly this many batches", _integer(1))
    seed: int = _option(123, "seed of initialisation and order (never of the split)", _integer(0))
    order_seed: int | None = _option(None, "seed of the order of batches alone, where it shall differ", _integer(0))
    n_layers: int | None = _option(None, "number of blocks; only with --weights random", _integer(1))
    emb_dim: int | None = _option(None, "width; only with --weights random", _integer(1))
    n_heads: int | None = _option(None, "attention heads; only with --weights random", _integer(1))
    precision: str = _option(
        "fp32", "arithmetic: fp32, tf32 (CUDA's faster float32 products) or bf16 (autocast)", _one_of(PRECISIONS)
    )
    demo: bool = _option(
        False, f"the embedded miniature: {NANO} and messages of its own, nothing to download, whatever the row's size"
    )

    device: str = _option(
        "auto", "where to compute; auto takes cuda if there is one, else cpu", _one_of(DEVICES), identity=False
    )
    threads: int | None = _option(
        None, "CPU threads; as many as PyTorch chooses if not given", _integer(1), identity=False
    )
    execution: str = _option(
        "planned",
        "compute only what the loss can see, or everything at every step",
        _one_of(EXECUTIONS),
        identity=False,
    )
    feature_memory: float | None = _option(
        None,
        "GB of hidden states to hold at a time, more of them go to a file in the temporary folder (TMPDIR);"
        " the smaller of 2 and a quarter of the free memory if not given",
        _number(positive=True),
        identity=False,
    )
    feature_cache: str | None = _option(
        None,
        "folder to keep features in, for later runs of this and other rows; nothing is kept if not given",
        identity=False,
    )
    feature_cache_limit: float = _option(
        20.0,
        "GB of --feature_cache; those not used for longest are deleted to make room",
        _number(positive=True),
        identity=False,
    )
    data_dir: str = _option("data", "folder of SMSSpamCollection.tsv, fetched into it if missing", identity=False)
    models_dir: str = _option("models", "folder of downloaded weights and vocabulary", identity=False)
    weights_path: str | None = _option(
        None, "weights of your own: .safetensors, .pth or .pt, or the folder of a TensorFlow checkpoint", identity=False
    )
    results_dir: str = _option(
        RESULTS_DIR,
        f"folder of results.csv and of the runs' own folders; with --demo {DEMO_RESULTS_DIR}",
        identity=False,
    )
    offline: bool = _option(False, "never open a connection; say what is missing instead", identity=False)
    trust_new_hash: bool = _option(
        False, "use data or weights whose hash is not the recorded one; the row records theirs", identity=False
    )
    save_model: bool = _option(False, "keep the trained parameters in the run's folder", identity=False)

    def __post_init__(self) -> None:
        if self.demo and self.results_dir == RESULTS_DIR:  # never among the real results
            object.__setattr__(self, "results_dir", DEMO_RESULTS_DIR)
        problems = cross_field_problems(self)
        if problems:
            raise ConfigError(problems)

    @property
    def model_in_use(self) -> str:
        """Which model gives shape, vocabulary and weights: the demo has one only, whatever size its row names."""
        return NANO if self.demo else self.model_size

    @property
    def shape(self) -> ModelShape:
        """The model's dimensions, with the overrides that random weights allow."""
        overrides = {name: getattr(self, name) for name in SHAPE_OVERRIDES if getattr(self, name) is not None}
        return dataclasses.replace(ALL_SHAPES[self.model_in_use], **overrides)

    @property
    def uses_lora(self) -> bool:
        return self.trainable_layers in LORA_POLICIES

    @property
    def effective_order_seed(self) -> int:
        """The seed set right before the optimizer is built, which decides the order of the batches."""
        return self.seed if self.order_seed is None else self.order_seed


SHAPE_OVERRIDES = ("n_layers", "emb_dim", "n_heads")
FIELDS = {f.name: f for f in dataclasses.fields(ExperimentConfig)}


def cross_field_problems(config: ExperimentConfig) -> list[str]:
    """What is wrong with values that are each fine by themselves, one line per problem."""
    problems = []
    if config.no_padding and config.batch_size != 1:
        problems.append(
            f"--no_padding with --batch_size {config.batch_size}: unpadded messages differ in length;"
            " give --batch_size 1 (and --accumulation_steps for larger effective batches)"
        )
    if config.average_embeddings and config.trainable_token_pos == "first":
        problems.append(
            "--average_embeddings with --trainable_token_pos first: a mean reads more than the first position;"
            " give last (all positions) or flexible (the real tokens)"
        )
    given = [name for name in SHAPE_OVERRIDES if getattr(config, name) is not None]
    if given and config.weights != RANDOM:
        problems.extend(
            f"--{name} {getattr(config, name)}: pretrained weights have a fixed shape; add --weights random"
            for name in given
        )
    shape = config.shape
    if shape.emb_dim % shape.n_heads:
        problems.append(
            f"--n_heads {shape.n_heads}: does not divide the width {shape.emb_dim};"
            " give a divisor of it, or another --emb_dim"
        )
    if isinstance(config.context_length, int) and config.context_length > shape.context_length:
        problems.append(
            f"--context_length {config.context_length}: the model has {shape.context_length} positions;"
            f" give 1 to {shape.context_length}"
        )
    if config.weights_path is not None and config.weights == RANDOM:
        problems.append(f"--weights_path {config.weights_path}: contradicts --weights random; give one of the two")
    return problems


# ---- the published rows ----------------------------------------------------------------------------------------------

_LORA_16 = {"trainable_layers": "lora", "lora_rank": 16, "lora_alpha": 16}

ROWS: dict[int, dict[str, Any]] = {
    1: {},
    2: {"trainable_token_pos": "first"},
    3: {"trainable_layers": "last_layer"},
    4: {"trainable_layers": "last_two_blocks"},
    5: {"trainable_layers": "all"},
    6: {"model_size": "gpt2-medium (355M)"},
    7: {"model_size": "gpt2-large (774M)"},
    8: {"model_size": "gpt2-xl (1558M)"},
    9: {"model_size": "gpt2-xl (1558M)", "trainable_layers": "all"},
    10: {"weights": RANDOM, "trainable_layers": "all"},
    11: {**_LORA_16},
    12: {**_LORA_16, "lora_alpha": 8, "model_size": "gpt2-xl (1558M)"},
    13: {"context_length": MODEL_CONTEXT_LENGTH},
    14: {"no_padding": True, "batch_size": 1},
    15: {"no_padding": True, "batch_size": 1, "accumulation_steps": 8},
    16: {"trainable_token_pos": "flexible"},
    17: {"disable_causal_mask": True},
    18: {"ignore_index": 50256},
    19: {"average_embeddings": True},
}


def row_config(row: int, **overrides: Any) -> ExperimentConfig:
    """Row ``row`` of the published table, with fields of one's own choice on top."""
    return ExperimentConfig(**{**ROWS[row], **overrides})


# ---- from flags to a configuration -----------------------------------------------------------------------------------


def config_from_flags(flags: Mapping[str, str | bool], row: str | None = None) -> tuple[ExperimentConfig, list[str]]:
    """Build the configuration of one command.

    Args:
        flags: the flags that were given, by field name; strings as typed, ``True`` for a switch.
        row: the value of ``--row`` as typed; the given flags override the row's.

    Returns:
        The configuration, and one line for each setting that was given but has no effect.

    Raises:
        ConfigError: all problems of the command together.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    if row is not None:
        if row.isdecimal() and int(row) in ROWS:
            values.update(ROWS[int(row)])
        else:
            problems.append(f"--row {row}: the published table has rows {min(ROWS)} to {max(ROWS)}; give one of them")
    unreadable = set()
    for name, text in flags.items():
        if isinstance(text, bool):
            values[name] = text
            continue
        try:
            values[name] = FIELDS[name].metadata["parse"](text)
        except ValueError as error:
            problems.append(f"--{name} {shlex.quote(text)}: {error}")
            unreadable.add(name)
            values.pop(name, None)  # checked on with the default, so that the other problems are found too
    try:
        config = ExperimentConfig(**values)
    except ConfigError as error:
        problems.extend(error.problems)
    default_dir = DEMO_RESULTS_DIR if values.get("demo") else RESULTS_DIR
    problems.extend(path_problems(values.get("results_dir", default_dir), values.get("weights_path")))
    if problems:
        raise ConfigError(problems)
    return config, ineffective_settings(config, given=flags.keys())


def path_problems(results_dir: str, weights_path: str | None) -> list[str]:
    """What is wrong with the paths of a command, one line per problem."""
    problems = []
    folder = Path(results_dir).absolute()
    obstacle = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if obstacle is not None and not obstacle.is_dir():
        problems.append(f"--results_dir {results_dir}: {obstacle} is a file; give a folder")
    if weights_path is not None and not Path(weights_path).exists():
        problems.append(f"--weights_path {weights_path}: no such file or folder; check the path")
    return problems


def ineffective_settings(config: ExperimentConfig, given: Iterable[str]) -> list[str]:
    """One line for each setting among ``given`` that changes nothing in this configuration."""
    given = set(given)
    lines = []
    for name in ("lora_rank", "lora_alpha"):
        if name in given and not config.uses_lora:
            lines.append(
                f"--{name} has no effect with --trainable_layers {config.trainable_layers}; add --trainable_layers lora"
            )
    if "context_length" in given and config.no_padding:
        lines.append("--context_length has no effect with --no_padding, which pads and cuts nothing")
    if config.execution == "naive":
        lines.extend(
            f"--{name} has no effect with --execution naive, which keeps no features"
            for name in ("feature_cache", "feature_memory")
            if name in given
        )
    if "feature_cache_limit" in given and config.feature_cache is None:
        lines.append("--feature_cache_limit has no effect without --feature_cache")
    if "weights_path" in given and "model_size" not in given and not config.demo:
        lines.append(f"--weights_path is read as {config.model_size}; give --model_size if it is another size")
    if config.demo and config.model_size != NANO and "model_size" in given:
        lines.append(f"--model_size has no effect with --demo, which uses {NANO}")
    return lines


# ---- what defines an experiment --------------------------------------------------------------------------------------


def identity(config: ExperimentConfig) -> dict[str, Any]:
    """The settings that define the experiment and differ from row 1 with seed 123, by field name.

    Settings without effect in this configuration are left out. Leaving out defaults keeps hashes stable when a later
    version adds a field whose default is what was done before.
    """
    without_effect = set()
    if not config.uses_lora:
        without_effect |= {"lora_rank", "lora_alpha"}
    if config.no_padding:
        without_effect.add("context_length")
    if config.order_seed == config.seed:
        without_effect.add("order_seed")
    if config.demo and config.model_size == NANO:  # as without it
        without_effect.add("model_size")
    return {
        name: getattr(config, name)
        for name, f in FIELDS.items()
        if f.metadata["identity"] and name not in without_effect and getattr(config, name) != f.default
    }


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def config_hash(config: ExperimentConfig) -> str:
    """SHA-256 (hex) of what defines the experiment, seeds included; no paths, device, execution or output options."""
    return _digest(identity(config))


def variant_settings(config: ExperimentConfig) -> dict[str, Any]:
    """:func:`identity` without the seeds: what a variant is, whichever seed it ran with."""
    return {name: value for name, value in identity(config).items() if name not in ("seed", "order_seed")}


def row_number(config: ExperimentConfig) -> int | None:
    """The published row that this configuration repeats, in the real size or as a demo and whatever its seed; None if
    it is a variant of its own."""
    settings = {name: value for name, value in variant_settings(config).items() if name != "demo"}
    return next((row for row in ROWS if variant_settings(row_config(row)) == settings), None)
