"""DoRA (Liu et al. 2024, section 4.3): the direction of each row of a weight by LoRA, its length trained apart.

    y = (m / ‖W + s·(A B)ᵀ‖) ⊙ (W x + s·x A B) + b

with one trained magnitude m and one norm per output. The norm counts as a constant in the backward pass (their section
4.3). At first m is ‖W‖ and B is zero, so that the layer computes what it did, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablation.config.settings import CommonSettings
from ablation.methods.low_rank import around_layers, wrap_targets
from ablation.methods.starting_values import Derived
from lora import LinearWithLoRA, LoRATerm


def row_norms(weight: Tensor) -> Tensor:
    """(out, in) -> (out,)"""
    return weight.norm(dim=1)


class LinearWithDoRA(LinearWithLoRA):
    """(…, in) -> (…, out). The magnitude (out,) has no value as long as the layer's weight has none."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, term: Callable[..., LoRATerm]) -> None:
        super().__init__(linear, rank, alpha, term)
        self.magnitude = nn.Parameter(row_norms(linear.weight.detach()))

    def effective(self) -> tuple[Tensor, Tensor | None]:
        directions, bias = super().effective()
        return (self.magnitude / row_norms(directions.detach()))[:, None] * directions, bias

    @torch.no_grad()
    def _norms(self) -> Tensor:
        """Of the rows of W + s·(A B)ᵀ, (out,), without that matrix: to form it would take several passes over one as
        large as W at every step. With b one of the columns of B and w its row of W:

            ‖w + s·A b‖² = ‖w‖² + 2s·(w A)·b + s²·b·(AᵀA) b
        """
        weight = self.linear.weight
        # In full precision: of a difference of squares little would be left. (The meta device knows no autocast.)
        with nullcontext() if weight.is_meta else torch.autocast(weight.device.type, enabled=False):
            scale, a, b = self.lora.in_use()
            change = 2 * scale * (weight @ a) + scale**2 * (b.T @ (a.T @ a))  # (out, rank)
            return (row_norms(weight) ** 2 + (change * b.T).sum(1)).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        y = self.lora(rows, F.linear(rows, self.linear.weight))
        factor, bias = self.magnitude / self._norms(), self.linear.bias
        y = (factor * y if bias is None else torch.addcmul(bias, factor, y)).to(y.dtype)
        return y.view(*x.shape[:-1], -1)


def attach(model: nn.Module, config: CommonSettings) -> dict[str, Derived]:
    layers = wrap_targets(model, config, around_layers(config, LinearWithDoRA))
    magnitudes = {path: model.get_parameter(f"{path}.magnitude") for path in layers}
    return {f"{path}.magnitude": Derived(f"{path}.weight", row_norms) for path, m in magnitudes.items() if m.is_meta}
