"""Prefix tuning (Li & Liang 2021): trained keys and values before a block's own, seen by every query.

Drawn from N(0, 0.02), without the network that Li and Liang draw them through. The hybrid ("mix and match", He et al.
2021) adds a scaled parallel adapter at each feed-forward.
"""

from __future__ import annotations

import torch
from torch import nn

from ablation.config.settings import CommonSettings
from ablation.methods.adapters import adapted_blocks, attach_parallel, width_of
from ablation.methods.primitives import ExtraKeysAndValues

DEVIATION = 0.02


def attach(model: nn.Module, config: CommonSettings) -> None:
    size = config.prefix_length or 0, width_of(model)
    for block in adapted_blocks(model, config):
        block.att.extra = ExtraKeysAndValues(DEVIATION * torch.randn(size), DEVIATION * torch.randn(size))


def attach_hybrid(model: nn.Module, config: CommonSettings) -> None:
    attach(model, config)
    attach_parallel(model, config)
