"""Low-rank adaptation (LoRA, Hu et al. 2021): a trainable term of low rank beside every frozen linear layer.

As in the published script, the term is ``alpha · x A B`` (not divided by the rank), every ``Linear`` is wrapped, the
classifier included, and the classifier's own weights stay trainable (see ``ablation/methods/layers.py``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ablation.methods.primitives import LinearMap, merge_linear_maps


class LoRATerm(nn.Module):
    """The matrices A (in, rank) and B (rank, out) of one layer.

    A is drawn by ``kaiming_uniform_(a=√5)`` in that very shape, whose bound is 1/√rank; B starts at zero, so that the
    wrapped layer computes at first what the plain one did.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.empty(in_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros(rank, out_features))
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * (x @ self.A @ self.B)  # (…, in) -> (…, out)

    def weight(self) -> Tensor:
        """What the term adds to the layer's weight: alpha (A B)ᵀ, of shape (out, in)."""
        return self.alpha * (self.A @ self.B).T


class LinearWithLoRA(LinearMap):
    """``linear(x) + alpha · x A B``. (…, in) -> (…, out)"""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(linear)
        self.lora = LoRATerm(linear.in_features, linear.out_features, rank, alpha)

    def effective(self) -> tuple[Tensor, Tensor | None]:
        return self.linear.weight + self.lora.weight(), self.linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.lora(x)


class LinearWithMergedLoRA(LinearWithLoRA):
    """The same function with the weights merged first: ``x (W + alpha (A B)ᵀ)ᵀ + b``. (…, in) -> (…, out)"""

    def forward(self, x: Tensor) -> Tensor:
        return LinearMap.forward(self, x)


def add_lora(model: nn.Module, rank: int, alpha: float, layer_type: type[LinearWithLoRA] = LinearWithLoRA) -> None:
    """Wrap every ``Linear`` below ``model``, in the order of ``named_children`` (which is the order of the draws)."""
    for name, child in model.named_children():
        if isinstance(child, nn.Linear):
            with torch.device("cpu"):  # draws happen on the CPU, whatever the device of the model
                setattr(model, name, layer_type(child, rank, alpha))
        else:
            add_lora(child, rank, alpha, layer_type)


def merge_lora(model: nn.Module) -> None:
    """Replace every wrapped layer by a plain ``Linear`` that computes the same; a second call changes nothing."""
    merge_linear_maps(model)
