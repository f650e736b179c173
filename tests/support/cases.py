"""Configurations that between them go every way through the plan: the rows, and combinations that no row has."""

from __future__ import annotations

from typing import Any

import pytest

from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import ROW_SETS, ROWS
from tests.support.tiny import SHAPE, tiny_config

# Methods as large as in the rows would not fit the tiny model, or take their time.
SMALL: dict[str, Any] = {"bottleneck": 3, "prefix_length": 4, "prompt_length": 3}
ROW_SETTINGS: dict[str, dict[str, Any]] = {
    f"row {row}": {
        name: 7 if (name, value) == ("context_length", 32) else SMALL.get(name, value)
        for name, value in overrides.items()
        if name not in ("model_size", "weights")
    }
    for row, overrides in ROWS.items()
}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "two blocks, pooled": {"trainable_layers": "last_two_blocks", "average_embeddings": True},
    "two blocks, flexible": {"trainable_layers": "last_two_blocks", "trainable_token_pos": "flexible"},
    "classifier, first": {"trainable_layers": "last_layer", "trainable_token_pos": "first"},
    "classifier, flexible": {"trainable_layers": "last_layer", "trainable_token_pos": "flexible"},
    "classifier, pooled": {"trainable_layers": "last_layer", "average_embeddings": True},
    "flexible, pooled": {"trainable_token_pos": "flexible", "average_embeddings": True},
    "flexible, no mask": {"trainable_token_pos": "flexible", "disable_causal_mask": True},
    "first, no mask": {"trainable_token_pos": "first", "disable_causal_mask": True},
    "flexible, pooled, no mask": {
        "trainable_token_pos": "flexible", "average_embeddings": True, "disable_causal_mask": True,
    },
    "unpadded, accumulated, no mask": {
        "no_padding": True, "batch_size": 1, "accumulation_steps": 4, "disable_causal_mask": True,
    },
    "unpadded, accumulated, pooled, all": {
        "no_padding": True, "batch_size": 1, "accumulation_steps": 4, "average_embeddings": True,
        "trainable_layers": "all",
    },
    "unpadded, accumulated, two blocks, no mask": {
        "no_padding": True, "batch_size": 1, "accumulation_steps": 3, "disable_causal_mask": True,
        "trainable_layers": "last_two_blocks",
    },
    "accumulated": {"accumulation_steps": 3},
    "all, flexible": {"trainable_layers": "all", "trainable_token_pos": "flexible"},
    "LoRA, first": {"trainable_layers": "lora", "trainable_token_pos": "first"},
    "LoRA, no mask, flexible": {
        "trainable_layers": "lora_alternative", "disable_causal_mask": True, "trainable_token_pos": "flexible",
    },
    "cut to 5": {"context_length": 5, "trainable_token_pos": "flexible"},
}  # fmt: skip
CASES = {**ROW_SETTINGS, **COMBINATIONS}
QUICK_METHODS = (20, 22, 28, 29)  # one of each kind of part; the other methods' rows are for the slow tests
QUICK_PADDING = 35  # the others have tests of their own, or combinations above


def as_parameters(cases: dict[str, dict[str, Any]]) -> list[Any]:
    """For ``parametrize``."""
    quick = {f"row {row}" for row in QUICK_METHODS}
    slow = {name for name, case in cases.items() if "method" in case and name not in quick}
    slow |= {f"row {row}" for row in ROW_SETS["padding"] if row != QUICK_PADDING}
    return [
        pytest.param(case, id=name, marks=[pytest.mark.slow] if name in slow else []) for name, case in cases.items()
    ]


def config_of(case: dict[str, Any]) -> ExperimentConfig:
    width = SHAPE.context_length if case.get("context_length") == "model_context_length" else 12
    return tiny_config(**{"batch_size": 4, **case, "context_length": case.get("context_length", width)
                          if isinstance(case.get("context_length"), int) else width})  # fmt: skip
