"""Ways to adapt a model that exist for tests alone: each of the primitives at work, and parts that nobody knows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.config.methods import Declaration
from ablation.methods import layers
from ablation.methods.primitives import ExtraKeysAndValues, ExtraPositions, LinearMap, SublayerWrapper
from ablation.methods.registry import Method
from previous_chapters import MultiHeadAttention


def blocks(model: Any) -> list[Any]:
    return list(model.trf_blocks)


class Scaled(LinearMap):
    """Each output and each input scaled."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.outputs = nn.Parameter(torch.randn(linear.out_features))
        self.inputs = nn.Parameter(torch.randn(linear.in_features))

    def effective(self) -> tuple[Tensor, Tensor | None]:
        return self.outputs[:, None] * self.linear.weight * self.inputs, self.outputs * self.linear.bias


class Adapter(SublayerWrapper):
    """Something of the output and of the input."""

    def __init__(self, sublayer: nn.Module, width: int) -> None:
        super().__init__(sublayer)
        self.down, self.up = nn.Linear(width, 3), nn.Linear(3, width)

    def combine(self, x: Tensor, y: Tensor) -> Tensor:
        return y + self.up(torch.tanh(self.down(y))) + 0.5 * self.up(torch.relu(self.down(x)))


def scale(model: Any, config: ExperimentConfig, first: int = 0) -> None:
    for block in blocks(model)[first:]:
        for name in ("W_key", "W_value", "out_proj"):
            setattr(block.att, name, Scaled(getattr(block.att, name)))
        block.ff.layers[2] = Scaled(block.ff.layers[2])


def wrap(model: Any, config: ExperimentConfig, first: int = 0) -> None:
    width = model.out_head.in_features
    for block in blocks(model)[first:]:
        block.att = Adapter(Adapter(block.att, width), width)
        block.ff = Adapter(block.ff, width)


def prefix(model: Any, config: ExperimentConfig, first: int = 0) -> None:
    width = model.out_head.in_features
    for block in blocks(model)[first:]:
        block.att.extra = ExtraKeysAndValues(torch.randn(4, width), torch.randn(4, width))


def prompt(model: Any, config: ExperimentConfig) -> None:
    model.extra = ExtraPositions(torch.randn(3, model.out_head.in_features))


def everything_at_once(model: Any, config: ExperimentConfig) -> None:
    for attach in (scale, prefix, wrap, prompt):
        attach(model, config)


class BackwardLooking(MultiHeadAttention):
    """An attention of somebody's own: nearer positions count more, and the head of a message always."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (self.split_heads(x) for x in (query, key, value))
        places = torch.arange(query.shape[2])
        distance = (places[:, None] - places).abs()
        context = (query @ key.transpose(2, 3) - 0.3 * distance).softmax(-1) @ value
        return context.transpose(1, 2).flatten(2)


class TellsNothing(nn.Module):
    """An attention that takes a batch, and nothing else is known of it; with a part that trains."""

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention
        self.gate = nn.Parameter(torch.randn(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.gate * self.attention(x).cumsum(1)


def _replace_attention(block: Any) -> None:
    block.att.__class__ = BackwardLooking


def odd_in_the_middle(model: Any, config: ExperimentConfig) -> None:
    _replace_attention(blocks(model)[1])


def odd_at_the_end(model: Any, config: ExperimentConfig) -> None:
    _replace_attention(blocks(model)[-1])


def telling_nothing(model: Any, config: ExperimentConfig) -> None:
    last = blocks(model)[-1]
    last.att = TellsNothing(last.att)


def _first(count: int) -> Declaration:
    return Declaration(first_block=lambda n_blocks: max(0, n_blocks - count))


FROM_THE_START = Declaration(first_block=lambda n_blocks: 0)
EMBEDDINGS = Declaration(first_block=lambda n_blocks: n_blocks, embeddings_train=True)
ALL = Declaration(first_block=lambda n_blocks: 0, embeddings_train=True)
TOY_METHODS: dict[str, tuple[Declaration, Method]] = {
    "linear maps": (FROM_THE_START, Method(layers.last_layer, scale)),
    "linear maps in the last block": (_first(1), Method(layers.last_layer, lambda m, c: scale(m, c, -1))),
    "wrappers": (FROM_THE_START, Method(layers.last_layer, wrap)),
    "wrappers in the last block": (_first(1), Method(layers.last_layer, lambda m, c: wrap(m, c, -1))),
    "extra keys": (FROM_THE_START, Method(layers.last_layer, prefix)),
    "extra keys from the second block": (_first(2), Method(layers.last_layer, lambda m, c: prefix(m, c, 1))),
    "extra keys in the last block": (_first(1), Method(layers.last_layer, lambda m, c: prefix(m, c, -1))),
    "extra positions": (EMBEDDINGS, Method(layers.last_layer, prompt)),
    "all of them": (ALL, Method(layers.everything, everything_at_once)),
    "token embedding": (EMBEDDINGS, Method(lambda name, n_blocks: name.startswith(("tok_emb", "out_head")))),
    "position embedding": (EMBEDDINGS, Method(lambda name, n_blocks: name.startswith(("pos_emb", "out_head")))),
    "unknown frozen block": (_first(1), Method(layers.last_block, odd_in_the_middle)),
    "unknown last block": (_first(1), Method(layers.last_block, odd_at_the_end)),
    "unknown last block, frozen": (_first(0), Method(layers.last_layer, odd_at_the_end)),
    "unknown last block, all train": (ALL, Method(layers.everything, odd_at_the_end)),
    "unknown sublayer": (_first(1), Method(layers.last_layer, telling_nothing)),
}
