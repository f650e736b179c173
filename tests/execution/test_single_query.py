"""The single-query form of a block against the block itself, plain and with LoRA."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ablation.config.shapes import ModelShape
from ablation.execution.single_query import block_at_position, normalise
from lora import LinearWithLoRA, LinearWithMergedLoRA, add_lora
from previous_chapters import TransformerBlock


def make_block(n_heads: int, head_dim: int, causal: bool, lora: type[LinearWithLoRA] | None) -> TransformerBlock:
    width = n_heads * head_dim
    block = TransformerBlock(ModelShape(7, 16, width, 1, n_heads), causal).double()
    if lora is not None:
        add_lora(block, rank=3, alpha=5, layer_type=lora)
        block.double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    return block


@settings(max_examples=40, deadline=None)
@given(
    n_heads=st.integers(1, 4),
    head_dim=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    causal=st.booleans(),
    lora=st.sampled_from([None, LinearWithLoRA, LinearWithMergedLoRA]),
    seed=st.integers(0, 2**31),
)
def test_output_and_every_gradient_equal_the_blocks(
    n_heads: int, head_dim: int, lengths: list[int], causal: bool, lora: type[LinearWithLoRA] | None, seed: int
) -> None:
    """Read at each message's last position; with the causal mask what lies behind must not matter."""
    torch.manual_seed(seed)
    block = make_block(n_heads, head_dim, causal, lora)
    if not causal:
        lengths = [max(lengths)] * len(lengths)
    visible = torch.tensor(lengths)
    x = torch.randn(len(lengths), max(lengths), n_heads * head_dim, dtype=torch.float64, requires_grad=True)
    rows = torch.arange(len(lengths))

    def gradients(output: torch.Tensor) -> dict[str, torch.Tensor]:
        weighting = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view_as(output)
        named = {"x": x, **dict(block.named_parameters())}
        found = torch.autograd.grad((output * weighting).sum(), list(named.values()))  # fails where one has none
        return dict(zip(named, found, strict=True))

    expected = block(x)[rows, visible - 1]
    attended = torch.arange(max(lengths)) < visible[:, None]
    found = block_at_position(block, x[rows, visible - 1], normalise(x), attended)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for (name, left), right in zip(gradients(expected).items(), gradients(found).values(), strict=True):
        torch.testing.assert_close(right, left, rtol=1e-9, atol=1e-9, msg=f"gradient of {name}")


@pytest.mark.parametrize("attended", [None, torch.ones(2, 1, dtype=torch.bool)])
def test_a_single_position_leaves_query_and_key_a_zero_gradient(attended: torch.Tensor | None) -> None:
    """AdamW decays what has a gradient of zero and skips what has none."""
    torch.manual_seed(0)
    block = make_block(2, 3, causal=True, lora=None)
    x = torch.randn(2, 1, 6, dtype=torch.float64)
    block_at_position(block, x[:, 0], normalise(x), attended).sum().backward()
    for layer in (block.att.W_query, block.att.W_key):
        assert layer.weight.grad is not None and not layer.weight.grad.any()
        assert layer.bias.grad is not None and not layer.bias.grad.any()
    assert block.att.W_value.weight.grad is not None and block.att.W_value.weight.grad.any()
