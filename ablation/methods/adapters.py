"""Adapters: a small network of two projections beside, or behind, a sublayer of a block.

Serial ones (Houlsby et al. 2019; Pfeiffer et al. 2020) work on the sublayer's output y, before the residual sum:
``y + up(GELU(down(y)))``. Parallel ones (He et al. 2021) work on its input x: ``y + s · up(ReLU(down(x)))``. Both
projections have biases; ``up`` starts at zero, so that the block computes at first what it did.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ablation.config.settings import CommonSettings
from ablation.methods.primitives import SublayerWrapper


class Adapter(SublayerWrapper):
    """The two projections: ``down`` (D -> m) as PyTorch draws it, ``up`` (m -> D) at zero."""

    def __init__(self, sublayer: nn.Module, width: int, bottleneck: int) -> None:
        super().__init__(sublayer)
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)


class SerialAdapter(Adapter):
    def combine(self, x: Tensor, y: Tensor) -> Tensor:
        return y + self.up(F.gelu(self.down(y), approximate="tanh"))


class ParallelAdapter(Adapter):
    def __init__(self, sublayer: nn.Module, width: int, bottleneck: int, scale: float) -> None:
        super().__init__(sublayer, width, bottleneck)
        self.scale = scale

    def combine(self, x: Tensor, y: Tensor) -> Tensor:
        return y + self.scale * self.up(F.relu(self.down(x)))


def adapted_blocks(model: Any, config: CommonSettings) -> list[Any]:
    """The blocks from ``--from_block`` on."""
    return list(model.trf_blocks)[config.first_adapted_block :]


def width_of(model: Any) -> int:
    return int(model.tok_emb.embedding_dim)


def attach_serial(model: nn.Module, config: CommonSettings) -> None:
    width, bottleneck = width_of(model), config.bottleneck or 0
    for block in adapted_blocks(model, config):
        if config.adapter_after == "both":
            block.att = SerialAdapter(block.att, width, bottleneck)
        block.ff = SerialAdapter(block.ff, width, bottleneck)


def attach_parallel(model: nn.Module, config: CommonSettings) -> None:
    for block in adapted_blocks(model, config):
        block.ff = ParallelAdapter(block.ff, width_of(model), config.bottleneck or 0, config.adapter_scale or 0.0)
