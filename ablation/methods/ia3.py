"""IA3 (Liu et al. 2022): keys, values and the feed-forward's inner activation, each scaled element by element.

The scales start at one. Each is a part of a linear map: they scale the outputs of keys and values, and the inputs of
the second feed-forward layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ablation.config.settings import CommonSettings
from ablation.methods.adapters import adapted_blocks
from ablation.methods.primitives import LinearMap


class ScaledOutputs(LinearMap):
    """``l ⊙ (W x + b)``. (…, in) -> (…, out)"""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.scales = nn.Parameter(torch.ones(linear.out_features))

    def effective(self) -> tuple[Tensor, Tensor | None]:
        bias = self.linear.bias
        return self.scales[:, None] * self.linear.weight, None if bias is None else self.scales * bias

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return (self.scales * y).to(y.dtype)  # of half precision, what is beside it may be, too


class ScaledInputs(LinearMap):
    """``W (l ⊙ x) + b``. (…, in) -> (…, out)"""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.scales = nn.Parameter(torch.ones(linear.in_features))

    def effective(self) -> tuple[Tensor, Tensor | None]:
        return self.linear.weight * self.scales, self.linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.scales * x)


def attach(model: nn.Module, config: CommonSettings) -> None:
    for block in adapted_blocks(model, config):
        block.att.W_key = ScaledOutputs(block.att.W_key)
        block.att.W_value = ScaledOutputs(block.att.W_value)
        block.ff.layers[2] = ScaledInputs(block.ff.layers[2])
