"""The rows: the nineteen published ones, ways of parameter-efficient fine-tuning and of padding beside them, and which
of them a configuration repeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablation.config.experiment import MODEL_CONTEXT_LENGTH, RANDOM, ExperimentConfig, variant_settings
from ablation.config.methods import HEAD, LINEAR_MAPS
from ablation.config.settings import CommonSettings

_LORA_16 = {"trainable_layers": "lora", "lora_rank": 16, "lora_alpha": 16}
_RANK_16 = {"lora_targets": "+".join(LINEAR_MAPS), "lora_rank": 16, "lora_alpha": 16}
# "Mix and match" (He et al. 2021) is rows 26 and 28 together.
_PARALLEL = {"bottleneck": 512, "adapter_scale": 4.0}
_LEFT = {"padding_side": "left"}

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
    20: {
        "method": "lora", "lora_targets": "query+value", "lora_rank": 8, "lora_alpha": 16,
        "lora_scaling": "alpha_over_rank",
    },
    21: {"method": "lora", **_RANK_16, "lora_scaling": "alpha_over_sqrt_rank"},
    22: {"method": "dora", **_RANK_16, "lora_scaling": "alpha_over_rank"},
    23: {"method": "dylora", **_RANK_16},
    24: {"method": "serial_adapter", "bottleneck": 64, "adapter_after": "both"},
    25: {"method": "serial_adapter", "bottleneck": 64, "adapter_after": "feed_forward"},
    26: {"method": "parallel_adapter", **_PARALLEL},
    27: {"method": "hybrid", "prefix_length": 30, **_PARALLEL},
    28: {"method": "prefix_tuning", "prefix_length": 30},
    29: {"method": "soft_prompt", "prompt_length": 20},
    30: {"method": "ia3"},
    31: {"method": "bitfit"},
    32: {"method": "norms"},
    33: {  # published: another edition's own run
        "method": "lora", "lora_targets": "+".join((*LINEAR_MAPS, HEAD)), "lora_rank": 8, "lora_alpha": 8,
        "lora_scaling": "alpha", "lora_init": "normal_rank", "lora_head": "frozen", "learning_rate": 5e-5,
        "decayed": "everything",
    },
    34: {**_LEFT},
    35: {**_LEFT, "mask_padding": True},
    36: {**_LEFT, "mask_padding": True, "shift_positions": True},
    37: {"context_length": 32},
    38: {"context_length": 32, "truncation_side": "left"},
    39: {"disable_causal_mask": True, "trainable_token_pos": "first"},
}  # fmt: skip
# What --rows of a sweep takes besides numbers.
ROW_SETS: dict[str, tuple[int, ...]] = {
    "all": tuple(range(1, 20)), "methods": tuple(range(20, 34)), "padding": tuple(range(34, 40)),
}  # fmt: skip


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
