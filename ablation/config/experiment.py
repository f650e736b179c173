"""What an experiment of message classification is: its settings, and what makes two of them the same one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ablation.config.classifier_settings import ClassifierSettings
from ablation.config.effects import why_no_effect
from ablation.config.own_data import OwnDataSettings
from ablation.config.padding import TOKEN_POSITIONS, WITHOUT_EFFECT, PaddingSettings
from ablation.config.settings import (
    DEMO_RESULTS_DIR,
    PRETRAINED,
    RANDOM,
    RESULTS_DIR,
    TRAINABLE_LAYERS,
    CommonSettings,
    ConfigError,
    fields_of,
    option,
)
from ablation.config.shapes import NANO
from ablation.config.values import integer

# What is declared in settings is had from here, too: most modules know this configuration alone.
__all__ = [
    "DEMO_RESULTS_DIR", "PRETRAINED", "RANDOM", "RESULTS_DIR", "TOKEN_POSITIONS", "TRAINABLE_LAYERS", "ConfigError",
]  # fmt: skip

LONGEST_TRAINING_EXAMPLE, MODEL_CONTEXT_LENGTH = "longest_training_example", "model_context_length"


def _ignore_index(text: str) -> int:
    value = integer(-(2**31))(text)
    if value in (0, 1):
        raise ValueError("0 and 1 are labels (ham and spam), which must count; leave the flag out, or give -100")
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


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(PaddingSettings, OwnDataSettings, ClassifierSettings):
    """One experiment: what all experiments have, whose messages, and how they are read. The defaults are row 1 of the
    published table."""

    TASK: ClassVar = ""
    NO_EFFECT: ClassVar = WITHOUT_EFFECT
    # The order that flags and results had before their fields were grouped, without the options of a run.
    LEADING_FIELDS: ClassVar = (
        "model_size", "weights", "trainable_layers", "trainable_token_pos", "average_embeddings", "context_length",
        "lora_rank", "lora_alpha", "no_padding", "num_epochs", "batch_size", "accumulation_steps",
        "disable_causal_mask", "ignore_index", "learning_rate", "weight_decay", "eval_freq", "eval_iter", "max_steps",
        "seed", "order_seed", "n_layers", "emb_dim", "n_heads", "precision", "demo",
    )  # fmt: skip

    n_train: int | None = option(
        None, "train on the first so many messages of the training split; all if not given", integer(1)
    )
    trainable_token_pos: str = option(
        "last",
        "which position the classifier reads: the first, the last (normally a pad), or the last real token (flexible)",
        choices=TOKEN_POSITIONS,
    )
    average_embeddings: bool = option(
        False, "read the mean over all positions instead (with flexible: over the real tokens)"
    )
    context_length: str | int = option(
        LONGEST_TRAINING_EXAMPLE,
        f"tokens every message is padded or cut to: {LONGEST_TRAINING_EXAMPLE}, {MODEL_CONTEXT_LENGTH} or a number",
        _context_length,
    )
    no_padding: bool = option(False, "neither pad nor cut messages; needs --batch_size 1")
    disable_causal_mask: bool = option(False, "let every position attend to all others, later ones too")
    ignore_index: int = option(
        -100, "label that the loss leaves out; no message has one, so any value gives the same run", _ignore_index
    )

    def problems(self) -> list[str]:
        problems = []
        if self.no_padding and self.batch_size != 1:
            problems.append(
                f"--no_padding with --batch_size {self.batch_size}: unpadded messages differ in length;"
                " give --batch_size 1 (and --accumulation_steps for larger effective batches)"
            )
        if self.average_embeddings and self.trainable_token_pos == "first":
            problems.append(
                "--average_embeddings with --trainable_token_pos first: a mean reads more than the first position;"
                " give last (all positions) or flexible (the real tokens)"
            )
        if isinstance(self.context_length, int) and self.context_length > self.shape.context_length:
            problems.append(
                f"--context_length {self.context_length}: the model has {self.shape.context_length} positions;"
                f" give 1 to {self.shape.context_length}"
            )
        problems.extend(self._prompt_problems())
        if self.measure_forgetting and self.disable_causal_mask:
            problems.append(
                "--measure_forgetting with --disable_causal_mask: without the mask a position sees the token that it"
                " should predict; leave one of the two out"
            )
        if 0 <= self.ignore_index < len(self.label_names):
            label = self.label_names[self.ignore_index]
            problems.append(
                f"--ignore_index {self.ignore_index}: is the label {label}, which must count; leave the flag out"
            )
        return [*problems, *self.own_data_problems(), *super().problems()]

    def _prompt_problems(self) -> list[str]:
        """A prompt and the message behind it have to fit the model; of the longest message only its data tell."""
        prompt, room = self.prompt_length or 0, self.shape.context_length
        known = {LONGEST_TRAINING_EXAMPLE: 1, MODEL_CONTEXT_LENGTH: room}
        message = 1 if self.no_padding else int(known.get(str(self.context_length), self.context_length))
        if not prompt or prompt + message <= room:
            return []
        if message == 1:
            return [
                f"--prompt_length {prompt}: leaves no room for a message, the model has {room} positions; give fewer"
            ]
        shorter = f", or --context_length {room - prompt}" if prompt < room else ""
        return [
            f"--prompt_length {prompt}: with --context_length {self.context_length} that makes {prompt + message}"
            f" positions, the model has {room}; give fewer{shorter}"
        ]


FIELDS = fields_of(ExperimentConfig)


# ---- what makes two experiments the same -----------------------------------------------------------------------------


def identity(config: CommonSettings, foreign: Mapping[str, str] = {}) -> dict[str, Any]:
    """The settings that define the experiment and differ from row 1 with seed 123, by field name, and the digests of
    weights and data that are ``foreign`` (see :func:`config_hash`).

    Settings without effect in this configuration are left out. Leaving out defaults keeps hashes stable when a later
    version adds a field whose default is what was done before.
    """
    settings = {
        name: getattr(config, name)
        for name, field in fields_of(type(config)).items()
        if field.metadata["identity"] and not _is_left_out(name, field.metadata["usual"], config)
    }
    return {**settings, **foreign}


def _is_left_out(name: str, usual: Any, config: CommonSettings) -> bool:
    """A method's own settings always count, so that what ran is known whatever its defaults are by then."""
    given_by_method = name in config.method_defaults
    return (getattr(config, name) == usual and not given_by_method) or not _counts(name, config)


def _counts(name: str, config: CommonSettings) -> bool:
    if name == "model_size" and config.demo:  # computes nothing, but tells a demo's row 6 from its row 1
        return config.model_size != NANO
    return not why_no_effect(name, config)


def config_hash(config: CommonSettings, foreign: Mapping[str, str] = {}) -> str:
    """SHA-256 (hex) of what defines the experiment, seeds included; no paths, device, execution or output options.

    Args:
        foreign: ``weights_digest`` and ``data_digest`` of base weights and data, each only where it is not what was
            published (or belongs to the demo).
    """
    settings = identity(config, foreign) | ({"task": config.TASK} if config.TASK else {})
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def variant_settings(config: CommonSettings, foreign: Mapping[str, str] = {}) -> dict[str, Any]:
    """:func:`identity` without the seeds: what a variant is, whichever seed it ran with."""
    return {name: value for name, value in identity(config, foreign).items() if name not in ("seed", "order_seed")}
