"""Adapters against their formulas written out, in a model written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from tests.support.parity import make_pair, move_what_is_added
from tests.support.same_values import BATCHES, BOUNDS
from tests.support.tiny import SHAPE, tiny_config

SMALL = {"bottleneck": 5, "context_length": 12}
ADAPTERS: dict[str, dict[str, Any]] = {
    "serial": {"method": "serial_adapter", **SMALL},
    "serial, feed-forward": {"method": "serial_adapter", "adapter_after": "feed_forward", **SMALL},
    "serial, last block": {"method": "serial_adapter", "from_block": 3, **SMALL},
    "parallel": {"method": "parallel_adapter", "adapter_scale": 1.5, **SMALL},
    "hybrid": {"method": "hybrid", "adapter_scale": 1.5, "prefix_length": 4, "from_block": 2, **SMALL},
}
Values = dict[str, Tensor]


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def linear(values: Values, name: str, x: Tensor) -> Tensor:
    return x @ values[f"{name}.weight"].T + values[f"{name}.bias"]


def norm(values: Values, name: str, x: Tensor) -> Tensor:
    deviation = (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return (x - x.mean(-1, keepdim=True)) / deviation * values[f"{name}.scale"] + values[f"{name}.shift"]


def attention(values: Values, name: str, x: Tensor) -> Tensor:
    query, key, value = (linear(values, f"{name}.W_{part}", x) for part in ("query", "key", "value"))
    extra = 0
    if f"{name}.extra.keys" in values:
        extra = len(values[f"{name}.extra.keys"])
        key, value = torch.cat([values[f"{name}.extra.keys"], key]), torch.cat([values[f"{name}.extra.values"], value])
    hidden = torch.ones(len(x), len(key)).triu(1 + extra).bool()
    width, heads = SHAPE.emb_dim // SHAPE.n_heads, []
    for q, k, v in zip(query.split(width, 1), key.split(width, 1), value.split(width, 1), strict=True):
        heads.append((q @ k.T / math.sqrt(width)).masked_fill(hidden, -math.inf).softmax(1) @ v)
    return linear(values, f"{name}.out_proj", torch.cat(heads, dim=1))


def feed_forward(values: Values, name: str, x: Tensor) -> Tensor:
    return linear(values, f"{name}.layers.2", gelu(linear(values, f"{name}.layers.0", x)))


def adapted(values: Values, name: str, sublayer: Any, x: Tensor, config: ExperimentConfig) -> Tensor:
    """``y + up(GELU(down(y)))`` or ``y + s · up(ReLU(down(x)))`` where the sublayer has an adapter."""
    if f"{name}.down.weight" not in values:
        return sublayer(values, name, x)
    y = sublayer(values, f"{name}.sublayer", x)
    if config.method == "serial_adapter":
        return y + linear(values, f"{name}.up", gelu(linear(values, f"{name}.down", y)))
    return y + config.adapter_scale * linear(values, f"{name}.up", linear(values, f"{name}.down", x).clamp(min=0))


def written_out(values: Values, tokens: Tensor, config: ExperimentConfig) -> Tensor:
    """(C,) the answer at the last of a message's tokens (T,)."""
    x = values["tok_emb.weight"][tokens] + values["pos_emb.weight"][: len(tokens)]
    for index in range(SHAPE.n_layers):
        block = f"trf_blocks.{index}"
        x = x + adapted(values, f"{block}.att", attention, norm(values, f"{block}.norm1", x), config)
        x = x + adapted(values, f"{block}.ff", feed_forward, norm(values, f"{block}.norm2", x), config)
    return linear(values, "out_head", norm(values, "final_norm", x[-1]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("settings", ADAPTERS.values(), ids=ADAPTERS)
def test_adapters_are_their_formula(settings: dict[str, Any], dtype: torch.dtype) -> None:
    config = tiny_config(**settings)
    pair = make_pair(config, dtype=dtype)
    for execution in pair:
        move_what_is_added(execution)
    naive = pair[0]
    values = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in naive.model.named_parameters()}
    split = naive._messages["train"]
    expected = torch.stack([written_out(values, split.batch(batch)[0], config) for batch in BATCHES])
    trained = {name: value for name, value in values.items() if value.requires_grad}
    gradients = torch.autograd.grad(expected.square().sum(), list(trained.values()))
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    for execution in pair:
        found = torch.cat(execution.logits("train", BATCHES))
        assert (found - expected).abs().max() <= BOUNDS[dtype] * max(1, float(expected.detach().abs().max()))
        ours = {name: p for name, p in execution.model.named_parameters() if p.requires_grad}
        assert ours.keys() == trained.keys()
        for name, other, gradient in zip(
            ours, torch.autograd.grad(found.square().sum(), list(ours.values())), gradients, strict=True
        ):
            assert gradient.abs().max() > 0, name
            assert (other - gradient).abs().max() <= BOUNDS[dtype] * max(1, largest), name
