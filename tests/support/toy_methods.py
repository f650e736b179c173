"""Ways to adapt a model that exist for tests alone: each of the primitives at work, and parts that nobody knows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ablation.config.methods import Declaration
from ablation.config.settings import CommonSettings
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


def scale(model: Any, config: CommonSettings, first: int = 0) -> None:
    for block in blocks(model)[first:]:
        for name in ("W_key", "W_value", "out_proj"):
            setattr(block.att, name, Scaled(getattr(block.att, name)))
        block.ff.layers[2] = Scaled(block.ff.layers[2])


def wrap(model: Any, config: CommonSettings, first: int = 0) -> None:
    width = model.out_head.in_features
    for block in blocks(model)[first:]:
        block.att = Adapter(Adapter(block.att, width), width)
        block.ff = Adapter(block.ff, width)


def prefix(model: Any, config: CommonSettings, first: int = 0) -> None:
    width = model.out_head.in_features
    for block in blocks(model)[first:]:
        block.att.extra = ExtraKeysAndValues(torch.randn(4, width), torch.randn(4, width))


def prompt(model: Any, config: CommonSettings) -> None:
    model.extra = ExtraPositions(torch.randn(3, model.out_head.in_features))


def everything_at_once(model: Any, config: CommonSettings) -> None:
    for attach in (scale, prefix, wrap, prompt):
        attach(model, config)


class BackwardLooking(MultiHeadAttention):
    """An attention of somebody's own: nearer positions count more, and the head of a message always."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None = None) -> Tensor:
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


def odd_in_the_middle(model: Any, config: CommonSettings) -> None:
    _replace_attention(blocks(model)[1])


def odd_at_the_end(model: Any, config: CommonSettings) -> None:
    _replace_attention(blocks(model)[-1])


def telling_nothing(model: Any, config: CommonSettings) -> None:
    last = blocks(model)[-1]
    last.att = TellsNothing(last.att)


class OwnForward(SublayerWrapper):
    """A wrapper that changes what its sublayer sees, which ``combine`` cannot say."""

    def __init__(self, sublayer: nn.Module) -> None:
        super().__init__(sublayer)
        self.factor = nn.Parameter(torch.tensor(1.7))

    def combine(self, x: Tensor, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor, *context: object) -> Tensor:
        return self.sublayer(self.factor * x, *context)


class Mixing(nn.Module):
    """A part of a block that looks at other positions, where GPT-2's does not."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        y = self.part(x)
        return y + 0.1 * y.cumsum(-2)


def own_forward(model: Any, config: CommonSettings) -> None:
    blocks(model)[-1].att = OwnForward(blocks(model)[-1].att)


def mixing_frozen(model: Any, config: CommonSettings) -> None:
    blocks(model)[0].ff = Mixing(blocks(model)[0].ff)


def mixing_last(model: Any, config: CommonSettings) -> None:
    blocks(model)[-1].att.out_proj = Mixing(blocks(model)[-1].att.out_proj)


def unmasked_frozen(model: Any, config: CommonSettings) -> None:
    blocks(model)[0].att.causal = False


def other_heads(model: Any, config: CommonSettings) -> None:
    blocks(model)[0].att.n_heads = 1


def hooked(model: Any, config: CommonSettings) -> None:
    blocks(model)[-1].att.W_query.register_full_backward_hook(lambda module, inputs, outputs: (0 * inputs[0],))


def hooked_model(model: Any, config: CommonSettings) -> None:
    model.register_forward_hook(lambda module, inputs, output: 2 * output)


def hooked_embedding(model: Any, config: CommonSettings) -> None:
    model.tok_emb.register_forward_hook(lambda module, inputs, output: 2 * output)


class OwnEmbedding(nn.Embedding):
    def forward(self, ids: Tensor) -> Tensor:
        return 2 * super().forward(ids)


def own_embedding(model: Any, config: CommonSettings) -> None:
    model.tok_emb.__class__ = OwnEmbedding


def shared(model: Any, config: CommonSettings) -> None:
    for block in blocks(model)[1:]:
        block.extra_parameter = blocks(model)[0].norm1.scale


def one_more(model: Any, config: CommonSettings) -> None:
    model.trf_blocks.append(nn.Identity())


def without_value(model: Any, config: CommonSettings) -> None:
    last = blocks(model)[-1]
    last.magnitude = nn.Parameter(last.att.W_key.weight.norm(dim=1))


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
    "final norm": (_first(1), Method(lambda name, n_blocks: name.startswith(("final_norm", "out_head")))),
    "wrapper with a forward of its own": (_first(1), Method(layers.last_layer, own_forward)),
    "frozen feed-forward mixes positions": (_first(1), Method(layers.last_block, mixing_frozen)),
    "output projection mixes positions": (_first(1), Method(layers.last_block, mixing_last)),
    "frozen block without the mask": (_first(1), Method(layers.last_block, unmasked_frozen)),
    "backward hook": (_first(1), Method(layers.last_block, hooked)),
    "unknown sublayer": (_first(1), Method(layers.last_layer, telling_nothing)),
}
REFUSED: dict[str, tuple[Declaration, Method, str]] = {
    "final norm undeclared": (
        _first(0), Method(lambda name, n_blocks: name.startswith(("final_norm", "out_head"))), "declare the last block",
    ),
    "hook on the model": (_first(1), Method(layers.last_block, hooked_model), "model has .* --execution naive"),
    "hook on the embedding": (_first(1), Method(layers.last_block, hooked_embedding), "tok_emb has .* naive"),
    "embedding of its own": (ALL, Method(layers.everything, own_embedding), "tok_emb has .* naive"),
    "shared parameter": (FROM_THE_START, Method(layers.last_layer, shared), "norm1.scale, too"),
    "one more block": (_first(1), Method(layers.last_layer, one_more), "4 blocks, the base has 3"),
    "values of the base": (_first(1), Method(layers.last_layer, without_value), "magnitude was attached without"),
}  # fmt: skip
