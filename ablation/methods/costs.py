"""What a method adds to a model and to its work, counted on the assembled model by what it is made of.

Multiply-adds are those of one token in all blocks, each product of two numbers that is summed up or kept as one. They
hold for any model made of the five primitives (``primitives.py``):

* a linear map is a plain one once it is merged; unmerged, each parameter of its own takes one (thin products, scales);
* a wrapper takes one for each entry of its own matrices (a bias is added, nothing multiplied);
* l extra keys and values, or l extra positions, take one for each of their numbers: for the scores and for the weighted
  mean, 2·l·D a block. Extra positions are computed like a message's own, too, which a count per token cannot say.

The classifier reads one position a message, and is left out.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from torch import nn

from ablation.config.settings import CommonSettings
from ablation.methods.primitives import ExtraKeysAndValues, LinearMap, SublayerWrapper
from ablation.results.costs import Costs

MOMENT_BYTES = 2 * 4  # of a parameter in AdamW, float32


def costs_of(model: Any, added: Set[str], config: CommonSettings) -> Costs:
    """The costs of a model as it was assembled.

    Args:
        model: a ``GPTModel``; its values do not matter.
        added: names of the parameters that the method attached.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    attached = sum(sizes[name] for name in added)
    merges = not config.declaration.cannot_merge
    lasting, mergeable = _multiply_adds(model)
    return Costs(
        total_parameters=sum(sizes.values()) - attached,
        trainable_parameters=trained,
        added_parameters=attached,
        optimizer_bytes=MOMENT_BYTES * trained,
        added_multiply_adds=lasting if merges else lasting + mergeable,
        unmerged_multiply_adds=lasting + mergeable,
        added_positions=model.n_extra,
        merges=merges,
    )


def _multiply_adds(model: Any) -> tuple[int, int]:
    """(those that stay, those that merging takes away), per token."""
    width, positions = model.tok_emb.embedding_dim, model.n_extra
    lasting = mergeable = 0
    for block in model.trf_blocks:
        lasting += 2 * positions * width
        for module in block.modules():
            if isinstance(module, LinearMap):
                mergeable += _size(module) - _size(module.linear)
            elif isinstance(module, SublayerWrapper):
                lasting += _matrices(module) - _matrices(module.sublayer)
            elif isinstance(module, ExtraKeysAndValues):
                lasting += _size(module)
    return lasting, mergeable


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _matrices(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() > 1)
