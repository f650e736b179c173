"""The primitives against their formulas written out, and packed messages against batches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablation.config.shapes import ModelShape
from ablation.methods.primitives import (
    ExtraKeysAndValues,
    ExtraPositions,
    LinearMap,
    effective_weight_and_bias,
    merge_linear_maps,
    unwrapped,
)
from previous_chapters import FeedForward, GPTModel, MultiHeadAttention, TransformerBlock
from tests.support.toy_methods import Adapter, Scaled

SHAPE = ModelShape(vocab_size=31, context_length=12, emb_dim=8, n_layers=2, n_heads=2)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(3)


def attention(causal: bool, n_extra: int) -> MultiHeadAttention:
    module = MultiHeadAttention(8, 2, causal).double()
    if n_extra:
        module.extra = ExtraKeysAndValues(torch.randn(n_extra, 8).double(), torch.randn(n_extra, 8).double())
    return module


def per_head(module: MultiHeadAttention, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Of each head: query, key, value (T, 4), extra keys and extra values (L, 4)."""
    assert module.extra is not None
    tables = (module.W_query(x), module.W_key(x), module.W_value(x), module.extra.keys, module.extra.values)
    return list(zip(*(table.split(4, dim=-1) for table in tables), strict=True))


@pytest.mark.parametrize("causal", [True, False])
def test_a_prefix_is_the_mixture_of_two_attentions(causal: bool) -> None:
    """He et al. 2021: (1 − λ) · attention without it + λ · attention to it alone, λ its share of the softmax sum."""
    module, x = attention(causal, n_extra=3), torch.randn(5, 8).double()
    contexts = []
    for query, key, value, extra_keys, extra_values in per_head(module, x):
        own = query @ key.T / math.sqrt(4)
        if causal:
            own = own.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf)
        extra = query @ extra_keys.T / math.sqrt(4)
        share = extra.exp().sum(1, keepdim=True) / (extra.exp().sum(1, keepdim=True) + own.exp().sum(1, keepdim=True))
        contexts.append((1 - share) * own.softmax(1) @ value + share * extra.softmax(1) @ extra_values)
    expected = module.out_proj(torch.cat(contexts, dim=1))
    torch.testing.assert_close(module(x[None])[0], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n_extra", [0, 3])
@pytest.mark.parametrize("causal", [True, False])
def test_packed_messages_are_those_of_a_batch(causal: bool, n_extra: int) -> None:
    block = TransformerBlock(SHAPE, causal).double()
    if n_extra:
        block.att.extra = attention(causal, n_extra).extra
    short, long = torch.randn(3, 2, 8).double(), torch.randn(2, 5, 8).double()
    packed = block(torch.cat([short.flatten(0, 1), long.flatten(0, 1)]), [(3, 2), (2, 5)])
    expected = torch.cat([block(short).flatten(0, 1), block(long).flatten(0, 1)])
    torch.testing.assert_close(packed, expected, rtol=1e-12, atol=1e-12)


def test_extra_positions_come_first_and_move_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    model = GPTModel(SHAPE).double()
    model.extra = ExtraPositions(torch.randn(4, 8).double())
    ids = torch.tensor([[5, 7, 9]])
    x = torch.cat([model.extra.embeddings, model.tok_emb(ids[0])]) + model.pos_emb.weight[:7]
    torch.testing.assert_close(model.embed(ids)[0], x, rtol=0, atol=0)
    expected = model.out_head(model.final_norm(model.trf_blocks(x[None])))[:, 4:]
    assert model(ids).shape == (1, 3, 31)
    torch.testing.assert_close(model(ids), expected, rtol=1e-12, atol=1e-12)


def test_a_linear_map_is_its_effective_weight_and_merges_into_it() -> None:
    model = nn.Sequential(Scaled(nn.Linear(6, 4)), nn.Linear(4, 2)).double()
    x = torch.randn(3, 6).double()
    layer = model[0]
    assert isinstance(layer, Scaled)
    by_hand = layer.outputs * ((x * layer.inputs) @ layer.linear.weight.T + layer.linear.bias)
    torch.testing.assert_close(layer(x), by_hand, rtol=1e-12, atol=1e-12)
    expected = model(x)
    merge_linear_maps(model)
    assert [type(child) for child in model] == [nn.Linear, nn.Linear]
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


def test_a_map_without_bias_has_a_bias_of_zeros() -> None:
    class Doubled(LinearMap):
        def effective(self) -> tuple[Tensor, Tensor | None]:
            return 2 * self.linear.weight, None

    weight, bias = effective_weight_and_bias(Doubled(nn.Linear(3, 2, bias=False)))
    assert weight.shape == (2, 3) and bias.tolist() == [0, 0]


def test_wrappers_are_undone_from_the_outside_in() -> None:
    sublayer = nn.Linear(8, 8)
    inner = Adapter(sublayer, 8)
    outer = Adapter(inner, 8)
    assert unwrapped(outer) == (sublayer, [inner, outer])
    x = torch.randn(2, 8)
    assert torch.equal(outer(x), outer.combine(x, inner.combine(x, sublayer(x))))


def test_gelu_in_place_is_seen_by_nobody() -> None:
    """It happens only to what the first layer made, where no gradient needs it and nothing looks at it."""
    module, x = FeedForward(4), torch.randn(3, 4)
    expected = module.layers(x)
    kept = x.clone()
    with torch.no_grad():
        assert torch.equal(module(x), expected) and torch.equal(x, kept)
    assert torch.equal(module(x), expected)
    seen: list[Tensor] = []
    first: Any = module.layers[0]
    first.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    with torch.no_grad():
        module(x)
        assert torch.equal(seen[0], nn.functional.linear(x, first.weight, first.bias))
    gated = FeedForward(4)
    kept_by: Any = Keeping(gated.layers[0])
    gated.layers[0] = kept_by
    with torch.no_grad():
        gated(x)
        assert torch.equal(kept_by.output, kept_by.linear(x))


class Keeping(nn.Module):
    """A first layer that still needs what it gave away."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        self.output = self.linear(x)
        return self.output
