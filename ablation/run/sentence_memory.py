"""Whether the training of a language model fits into memory, before anything is loaded."""

from __future__ import annotations

from functools import cache

import torch

from ablation.config.generation import LanguageModelConfig
from ablation.config.settings import ConfigError
from ablation.execution.plan import Thrift
from ablation.execution.vocabulary_loss import ROWS_OF_LOGITS
from ablation.methods.costs import costs_of
from ablation.model.language_model import build_language_model
from ablation.results.costs import Costs
from ablation.run.memory import GIGABYTE, KEPT_OF_A_BLOCK, MemoryEstimate, free_memory

COPIES = 4  # of what trains, besides the weights: gradients, two moments, and the best epoch's parameters
DROPPED_OF_A_BLOCK = 4  # per position and unit of width: what both sublayers add, once more, and which entries stay
TABLES_OF_ATTENTION = 3  # with dropout, per head: the weights, those that stay, and what is left of them
TABLES_OF_LOGITS = 3  # naive: scores, their logarithmic shares, and the gradient


@cache
def model_costs(config: LanguageModelConfig) -> Costs:
    """What the model of a configuration has and trains; its weights are not made."""
    built = build_language_model(config)
    return costs_of(built.model, built.added, config)


def estimate_memory(config: LanguageModelConfig, device: torch.device, free: int | None = None) -> MemoryEstimate:
    """Estimate without loading anything.

    Args:
        free: bytes, if not what the device has free now.
    """
    costs = model_costs(config)
    held = costs.total_parameters + costs.added_parameters
    return MemoryEstimate(
        needed=4 * (held + COPIES * costs.trainable_parameters),
        activations=4 * (_values_of_blocks(config) + _values_of_logits(config)),
        free=free_memory(device) if free is None else free,
        thrift=Thrift.NONE,
    )


def _values_of_blocks(config: LanguageModelConfig) -> int:
    """What the blocks keep of a batch of sentences of the greatest length."""
    shape, sentences = config.shape, config.batch_size
    positions = sentences * config.max_len
    of_a_block = KEPT_OF_A_BLOCK * positions * shape.emb_dim
    if config.dropout:
        of_a_block += DROPPED_OF_A_BLOCK * positions * shape.emb_dim
        of_a_block += TABLES_OF_ATTENTION * sentences * shape.n_heads * config.max_len**2
    return shape.n_layers * of_a_block


def _values_of_logits(config: LanguageModelConfig) -> int:
    if config.execution == "naive":
        return TABLES_OF_LOGITS * config.batch_size * config.max_len * config.shape.vocab_size
    return ROWS_OF_LOGITS * config.shape.vocab_size


def check_memory(config: LanguageModelConfig, device: torch.device) -> None:
    """Refuse a run that cannot fit.

    Raises:
        ConfigError: with the estimate and what would reduce it.
    """
    estimate = estimate_memory(config, device)
    if estimate.needed > estimate.free:
        blocks, needed, free = config.shape.n_layers, estimate.needed / GIGABYTE, estimate.free / GIGABYTE
        raise ConfigError(
            [
                f"--model_size {config.model_size} with {blocks} blocks and {config.adaptation_flag}: weights,"
                f" gradients, moments and the best epoch's copy take about {needed:.1f} GB, {free:.1f} GB are free;"
                " take fewer blocks or a smaller model, train fewer layers, or try all the same with --force"
            ]
        )
