"""What an experiment is: every setting, its meaning and its checks.

This module imports nothing heavy, so that a wrong command is refused in milliseconds. The command-line flags, the
columns of the results and the configuration hash are all derived from the fields of :class:`ExperimentConfig`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablation.config.shapes import ALL_SHAPES, MODEL_SHAPES, NANO, ModelShape, canonical_model_size
from ablation.config.values import integer, number, one_of

PRETRAINED, RANDOM = "pretrained", "random"
WEIGHTS = (PRETRAINED, RANDOM)
TRAINABLE_LAYERS = ("all", "last_block", "last_two_blocks", "last_layer", "lora", "lora_alternative")
LORA_POLICIES = ("lora", "lora_alternative")
TOKEN_POSITIONS = ("first", "last", "flexible")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("fp32", "tf32", "bf16")
EXECUTIONS = ("planned", "recorded", "naive")
LONGEST_TRAINING_EXAMPLE, MODEL_CONTEXT_LENGTH = "longest_training_example", "model_context_length"
NUM_CLASSES = 2  # ham, spam


RESULTS_DIR, DEMO_RESULTS_DIR = "results", "results/demo"


class ConfigError(ValueError):
    """A configuration that cannot be run; ``problems`` has one line for each thing that is wrong with it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


# ---- values of some fields -------------------------------------------------------------------------------------------


def _ignore_index(text: str) -> int:
    value = integer(-(2**31))(text)
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


def _model_size(text: str) -> str:
    return canonical_model_size(text, ALL_SHAPES)


# ---- the fields ------------------------------------------------------------------------------------------------------


def _option(
    default: Any,
    help_text: str,
    parse: Callable[[str], Any] = str,
    *,
    choices: tuple[str, ...] = (),
    identity: bool = True,
) -> Any:
    """A field with its help text, the reader of its flag, and whether it is part of what defines the experiment; or
    with ``choices`` in place of a reader."""
    metadata = {"help": help_text, "choices": choices, "identity": identity}
    return field(default=default, metadata={**metadata, "parse": one_of(choices) if choices else parse})


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment. The defaults are row 1 of the published table.

    Raises:
        ConfigError: naming every field whose value, alone or with the others, cannot be run.
    """

    model_size: str = _option(
        "gpt2-small (124M)", f"which GPT-2: {', '.join(MODEL_SHAPES)}; short names work too (124M)", _model_size
    )
    weights: str = _option(PRETRAINED, "OpenAI's weights, or random ones drawn from the seed", choices=WEIGHTS)
    trainable_layers: str = _option(
        "last_block", "which parameters train (lora_alternative merges its weights first)", choices=TRAINABLE_LAYERS
    )
    trainable_token_pos: str = _option(
        "last",
        "which position the classifier reads: the first, the last (normally a pad), or the last real token (flexible)",
        choices=TOKEN_POSITIONS,
    )
    average_embeddings: bool = _option(
        False, "read the mean over all positions instead (with flexible: over the real tokens)"
    )
    context_length: str | int = _option(
        LONGEST_TRAINING_EXAMPLE,
        f"tokens every message is padded or cut to: {LONGEST_TRAINING_EXAMPLE}, {MODEL_CONTEXT_LENGTH} or a number",
        _context_length,
    )
    lora_rank: int = _option(8, "rank of the LoRA matrices", integer(1))
    lora_alpha: int = _option(8, "factor of the LoRA term alpha·xAB (not divided by the rank)", integer(1))
    no_padding: bool = _option(False, "neither pad nor cut messages; needs --batch_size 1")
    num_epochs: int = _option(5, "passes over the training split", integer(1))
    batch_size: int = _option(8, "messages per batch", integer(1))
    accumulation_steps: int = _option(1, "batches whose gradients are added up before each update", integer(1))
    disable_causal_mask: bool = _option(False, "let every position attend to all others, later ones too")
    ignore_index: int = _option(
        -100, "label that the loss leaves out; no message has one, so any value gives the same run", _ignore_index
    )
    learning_rate: float = _option(5e-5, "AdamW's learning rate", number(positive=True))
    weight_decay: float = _option(0.1, "AdamW's weight decay, on everything that trains", number(positive=False))
    eval_freq: int = _option(50, "batches between two evaluations of the losses", integer(1))
    eval_iter: int = _option(5, "batches per evaluation during training", integer(1))
    max_steps: int | None = _option(None, "stop after exactly this many batches", integer(1))
    seed: int = _option(123, "seed of initialisation and order (never of the split)", integer(0))
    order_seed: int | None = _option(None, "seed of the order of batches alone, where it shall differ", integer(0))
    n_layers: int | None = _option(None, "number of blocks; only with --weights random", integer(1))
    emb_dim: int | None = _option(None, "width; only with --weights random", integer(1))
    n_heads: int | None = _option(None, "attention heads; only with --weights random", integer(1))
    precision: str = _option(
        "fp32", "arithmetic: fp32, tf32 (CUDA's faster float32 products) or bf16 (autocast)", choices=PRECISIONS
    )
    demo: bool = _option(
        False, f"the embedded miniature: {NANO} and messages of its own, nothing to download, whatever the row's size"
    )

    device: str = _option(
        "auto", "where to compute; auto takes cuda if there is one, else cpu", choices=DEVICES, identity=False
    )
    threads: int | None = _option(
        None, "CPU threads; as many as PyTorch chooses if not given", integer(1, 1024), identity=False
    )
    execution: str = _option(
        "planned",
        "planned: compute what the loss can see; recorded: the same, steps as CUDA graphs; naive: everything, always",
        choices=EXECUTIONS,
        identity=False,
    )
    feature_memory: float | None = _option(
        None,
        "GB of hidden states to hold at a time, more of them go to a file in the temporary folder (TMPDIR);"
        " the smaller of 2 and a quarter of the free memory if not given",
        number(positive=True),
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
        number(positive=True),
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


# ---- what defines an experiment --------------------------------------------------------------------------------------


def identity(config: ExperimentConfig, foreign: Mapping[str, str] = {}) -> dict[str, Any]:
    """The settings that define the experiment and differ from row 1 with seed 123, by field name, and the digests of
    weights and data that are ``foreign`` (see :func:`config_hash`).

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
    settings = {
        name: getattr(config, name)
        for name, f in FIELDS.items()
        if f.metadata["identity"] and name not in without_effect and getattr(config, name) != f.default
    }
    return {**settings, **foreign}


def config_hash(config: ExperimentConfig, foreign: Mapping[str, str] = {}) -> str:
    """SHA-256 (hex) of what defines the experiment, seeds included; no paths, device, execution or output options.

    Args:
        foreign: ``weights_digest`` and ``data_digest`` of base weights and data, each only where it is not what was
            published (or belongs to the demo).
    """
    return hashlib.sha256(json.dumps(identity(config, foreign), sort_keys=True).encode()).hexdigest()


def variant_settings(config: ExperimentConfig, foreign: Mapping[str, str] = {}) -> dict[str, Any]:
    """:func:`identity` without the seeds: what a variant is, whichever seed it ran with."""
    return {name: value for name, value in identity(config, foreign).items() if name not in ("seed", "order_seed")}
