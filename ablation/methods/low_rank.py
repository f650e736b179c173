"""LoRA in every linear layer, in the published order, and back into plain weights. (Its mathematics: ``lora.py``.)"""

from __future__ import annotations

from torch import nn

from ablation.config.experiment import ExperimentConfig
from lora import LinearWithLoRA, LinearWithMergedLoRA, add_lora, merge_lora

merge = merge_lora


def attach_lora(model: nn.Module, config: ExperimentConfig) -> None:
    add_lora(model, config.lora_rank, config.lora_alpha, LinearWithLoRA)


def attach_merged_lora(model: nn.Module, config: ExperimentConfig) -> None:
    """The same function; weights are merged at every step."""
    add_lora(model, config.lora_rank, config.lora_alpha, LinearWithMergedLoRA)
