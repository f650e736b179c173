"""The nineteen published configurations, and which of them a configuration repeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablation.config.experiment import MODEL_CONTEXT_LENGTH, RANDOM, ExperimentConfig, variant_settings
from ablation.config.settings import CommonSettings

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


def find_row(
    rows: Mapping[int, Mapping[str, Any]], config: CommonSettings, foreign: Mapping[str, str] = {}
) -> int | None:
    """Which of a task's rows this configuration repeats, in the real size or as a demo and whatever its seed; None if
    it is a variant of its own, as all with ``foreign`` weights or data are."""
    settings = {name: value for name, value in variant_settings(config, foreign).items() if name != "demo"}
    return next((row for row, own in rows.items() if variant_settings(type(config)(**own)) == settings), None)
