"""LoRA (Hu et al. 2021): which linear maps get a term, in which form. (Its mathematics: ``lora.py``.)

The published rows give a term to every linear layer, in the published order and form; ``--method lora`` has the choices
of its literature, the rank-stabilised scaling of Kalajdzievski (2023) among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import nn

from ablation.config.methods import HEAD
from ablation.config.settings import CommonSettings
from ablation.methods.primitives import LinearMap
from lora import LinearWithLoRA, LinearWithMergedLoRA, LoRATerm, add_lora

# where a block has the linear maps, by the names of ablation/config/methods.py
PLACES = {
    "query": "att.W_query", "key": "att.W_key", "value": "att.W_value", "out": "att.out_proj",
    "ff_in": "ff.layers.0", "ff_out": "ff.layers.2",
}  # fmt: skip
# --lora_scaling -> (alpha, rank) -> the factor of the term
SCALINGS: dict[str, Callable[[float, int], float]] = {
    "alpha": lambda alpha, rank: alpha,
    "alpha_over_rank": lambda alpha, rank: alpha / rank,
    "alpha_over_sqrt_rank": lambda alpha, rank: alpha / math.sqrt(rank),
}


def attach_lora(model: nn.Module, config: CommonSettings) -> None:
    if config.method is None:
        add_lora(model, config.lora_rank, config.lora_alpha, LinearWithLoRA)
        return
    wrap_targets(model, config, around_layers(config, LinearWithLoRA))


def attach_merged_lora(model: nn.Module, config: CommonSettings) -> None:
    """The published form; weights are merged at every step."""
    add_lora(model, config.lora_rank, config.lora_alpha, LinearWithMergedLoRA)


def around_layers(config: CommonSettings, kind: Callable[..., LinearMap]) -> Callable[[nn.Linear], LinearMap]:
    """What makes a layer of a kind, with a term of the configured rank, scaling and start."""
    scale = SCALINGS[str(config.lora_scaling)](config.lora_alpha, config.lora_rank)
    term = partial(LoRATerm, scale=scale, init=str(config.lora_init))
    return partial(kind, rank=config.lora_rank, alpha=config.lora_alpha, term=term)


def wrap_targets(model: nn.Module, config: CommonSettings, make: Callable[[nn.Linear], LinearMap]) -> list[str]:
    """Put a linear map around each of the layers that ``--lora_targets`` names, from ``--from_block`` on, in the order
    of ``named_modules``; the classifier comes last.

    Returns:
        The paths of the layers.
    """
    targets = str(config.lora_targets).split("+")
    blocks = range(config.first_adapted_block, len(model.trf_blocks))  # type: ignore[arg-type]
    wanted = {f"trf_blocks.{block}.{PLACES[name]}" for block in blocks for name in targets if name in PLACES}
    wanted |= {"out_head"} if HEAD in targets else set()
    layers = [(path, module) for path, module in model.named_modules() if path in wanted]
    for path, module in layers:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, make(module))
    return [path for path, _ in layers]
