"""Low-rank adaptation (LoRA, Hu et al. 2021): a trainable term of low rank beside a frozen linear layer.

As in the published script, :func:`add_lora` gives the term ``alpha · x A B`` (not divided by the rank) to every
``Linear``, the classifier included, whose own weights stay trainable (see ``ablation/methods/layers.py``). The other
forms of the term are chosen in ``ablation/methods/low_rank.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ablation.methods.primitives import LinearMap, merge_linear_maps


def _uniform_inputs(matrix: Tensor) -> None:
    drawn = torch.empty(*reversed(matrix.shape))  # (rank, in), in the order of Hu's code
    nn.init.kaiming_uniform_(drawn, a=math.sqrt(5))  # within 1/√in in this shape
    with torch.no_grad():
        matrix.copy_(drawn.T)


# how A (in, rank) is drawn
INITS: dict[str, Callable[[Tensor], object]] = {
    "uniform_rank": lambda matrix: nn.init.kaiming_uniform_(matrix, a=math.sqrt(5)),  # within 1/√rank in this shape
    "uniform_inputs": _uniform_inputs,
    "normal_rank": lambda matrix: nn.init.normal_(matrix, std=1 / math.sqrt(matrix.shape[1])),
}


class LoRATerm(nn.Module):
    """The matrices A (in, rank) and B (rank, out) of one layer; the term is ``scale · x A B``.

    B starts at zero, so that the wrapped layer computes at first what the plain one did.

    Args:
        scale: alpha if not given, as published.
        init: how A is drawn, one of ``INITS``; as published if not given.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        alpha: float,
        *,
        scale: float | None = None,
        init: str = "uniform_rank",
    ) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.empty(in_features, rank))
        INITS[init](self.A)
        self.B = nn.Parameter(torch.zeros(rank, out_features))
        self.scale = alpha if scale is None else scale

    def in_use(self) -> tuple[float, Tensor, Tensor]:
        """The scale, A (in, rank) and B (rank, out) that count at present."""
        return self.scale, self.A, self.B

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """What the layer gives, (N, out), where the plain one made y (N, out) of x (N, in).

        The term is added to y itself, within the last of its products, which saves passes over memory: y must be a
        layer's own fresh output, in which nobody else reads.
        """
        scale, a, b = self.in_use()
        return y.addmm_((x @ a).to(y.dtype), b.to(y.dtype), alpha=scale)

    def weight(self) -> Tensor:
        """What the term adds to the layer's weight: scale (A B)ᵀ, of shape (out, in)."""
        scale, a, b = self.in_use()
        return scale * (a @ b).T


class LinearWithLoRA(LinearMap):
    """``linear(x) + scale · x A B``. (…, in) -> (…, out)

    Args:
        term: what makes the term: in, out, rank, alpha -> a module; as published if not given.
    """

    def __init__(
        self, linear: nn.Linear, rank: int, alpha: float, term: Callable[..., LoRATerm] = LoRATerm
    ) -> None:
        super().__init__(linear)
        self.lora = term(linear.in_features, linear.out_features, rank, alpha)

    def effective(self) -> tuple[Tensor, Tensor | None]:
        return self.linear.weight + self.lora.weight(), self.linear.bias

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        return self.lora(rows, self.linear(rows)).view(*x.shape[:-1], -1)


class LinearWithMergedLoRA(LinearWithLoRA):
    """The same function with the weights merged first: ``x (W + scale (A B)ᵀ)ᵀ + b``. (…, in) -> (…, out)"""

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
