"""What a reader of the book runs today: the same model composed of elementary operations, everything at every step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.execution.naive import NaiveExecution
from ablation.execution.setup import Setup
from previous_chapters import LayerNorm, MultiHeadAttention


class ElementaryLayerNorm(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=-1, keepdim=True)
        variance = x.var(dim=-1, keepdim=True, unbiased=False)
        return self.scale * ((x - mean) / torch.sqrt(variance + 1e-5)) + self.shift


class ElementaryGELU(nn.GELU):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class ElementaryAttention(MultiHeadAttention):
    """Explicit scores, a mask written into them, softmax, and the weighted sum."""

    def forward(self, x: Tensor, runs: object = None, hidden: Tensor | None = None) -> Tensor:
        query, key, value = (self.split_heads(layer(x)) for layer in (self.W_query, self.W_key, self.W_value))
        scores = query @ key.transpose(2, 3)
        if self.causal:
            later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(diagonal=1)
            scores.masked_fill_(later, -torch.inf)
        if hidden is not None:
            raise NotImplementedError("the book attends to pads")
        context = torch.softmax(scores / math.sqrt(key.shape[-1]), dim=-1) @ value
        return self.out_proj(context.transpose(1, 2).contiguous().flatten(2))


ELEMENTARY: dict[type[nn.Module], type[nn.Module]] = {
    LayerNorm: ElementaryLayerNorm,
    nn.GELU: ElementaryGELU,
    MultiHeadAttention: ElementaryAttention,
}


class BookStyleExecution(NaiveExecution):
    """``NaiveExecution`` whose modules compute as the book writes them; their parameters stay where they are."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        for module in self.model.modules():
            if type(module) in ELEMENTARY:
                module.__class__ = ELEMENTARY[type(module)]


def plain_adamw(groups: list[dict[str, Any]], config: ExperimentConfig) -> torch.optim.Optimizer:
    """AdamW as the book makes it, one operation at a time."""
    return torch.optim.AdamW(groups, lr=config.learning_rate)
