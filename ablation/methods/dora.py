"""DoRA (Liu et al. 2024, section 4.3): the direction of each row of a weight by LoRA, its length trained apart.

    y = (m / ‖W + s·(A B)ᵀ‖) ⊙ (W x + s·x A B) + b

with one trained magnitude m and one norm per output. The norm counts as a constant in the backward pass (their section
4.3). At first m is ‖W‖ and B is zero, so that the layer computes what it did, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.methods.low_rank import SCALINGS, wrap_targets
from ablation.methods.starting_values import Derived
from lora import LinearWithLoRA, LoRATerm


def row_norms(weight: Tensor) -> Tensor:
    """(out, in) -> (out,)"""
    return weight.norm(dim=1)


class LinearWithDoRA(LinearWithLoRA):
    """(…, in) -> (…, out). The magnitude (out,) has no value before the layer's weight has one."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, term: Callable[..., LoRATerm]) -> None:
        super().__init__(linear, rank, alpha, term)
        self.magnitude = nn.Parameter(torch.empty(linear.out_features, device="meta"))

    def _factor(self, directions: Tensor) -> Tensor:
        return self.magnitude / row_norms(directions.detach())

    def effective(self) -> tuple[Tensor, Tensor | None]:
        directions, bias = super().effective()
        return self._factor(directions)[:, None] * directions, bias

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            directions, _ = super().effective()
        y = self._factor(directions) * (F.linear(x, self.linear.weight) + self.lora(x))
        return y if self.linear.bias is None else y + self.linear.bias


def attach(model: nn.Module, config: ExperimentConfig) -> dict[str, Derived]:
    scale = SCALINGS[str(config.lora_scaling)](config.lora_alpha, config.lora_rank)
    term = partial(LoRATerm, scale=scale, init=str(config.lora_init))
    make = partial(LinearWithDoRA, rank=config.lora_rank, alpha=config.lora_alpha, term=term)
    return {f"{path}.magnitude": Derived(f"{path}.weight", row_norms) for path in wrap_targets(model, config, make)}
