"""A transformer block whose output is needed at one position per message.

Only that position's query, output projection and feed-forward are computed, and keys and values are never formed. Per
head, with h_t = x̂_t ⊙ γ + β the normalised inputs (x̂ without the norm's scale γ and shift β):

    score_t = q·(W_k h_t + b_k) = (γ ⊙ W_kᵀ q)·x̂_t + q·(W_k β + b_k)
    Σ_t a_t (W_v h_t + b_v)     = W_v (γ ⊙ Σ_t a_t x̂_t + β) + b_v,     because the attention weights a_t sum to 1

so the work per message falls from O(T·D²) to O(D² + H·T·D). Shapes: B messages, T positions, D width, H heads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lora import effective_weight_and_bias
from previous_chapters import LAYER_NORM_EPS, TransformerBlock


def normalise(x: Tensor) -> Tensor:
    """Layer normalisation without scale and shift. (…, D) -> (…, D)"""
    return F.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)


def block_at_position(block: TransformerBlock, x: Tensor, normalised: Tensor, attended: Tensor | None) -> Tensor:
    """The block's output at one position of each message.

    Args:
        block: plain or with LoRA in its linear layers.
        x: (B, D) the block's input at that position.
        normalised: (B, T, D) the block's inputs at all positions that it may attend to, by :func:`normalise`.
        attended: (B, T) which of those positions it attends to; None for all.

    Returns:
        (B, D)
    """
    attention, norm = block.att, block.norm1
    weight_q, bias_q = effective_weight_and_bias(attention.W_query)
    weight_k, bias_k = effective_weight_and_bias(attention.W_key)
    weight_v, bias_v = effective_weight_and_bias(attention.W_value)
    heads = (attention.n_heads, -1)

    query = F.linear(normalise(x) * norm.scale + norm.shift, weight_q, bias_q).unflatten(-1, heads)  # (B, H, D/H)
    key_side = torch.einsum("bhe,hed->bhd", query, weight_k.unflatten(0, heads)) * norm.scale  # (B, H, D)
    # What is the same for every t drops out of the softmax. q·b_k stays only so that b_k gets its gradient, which is
    # zero: AdamW decays what has a gradient and skips what has none.
    scores = key_side @ normalised.transpose(1, 2) + (query * bias_k.view(heads)).sum(-1, keepdim=True)  # (B, H, T)
    scores = scores / math.sqrt(query.shape[-1])
    if attended is not None:
        scores = scores.masked_fill(~attended[:, None], -torch.inf)
    mean_input = (scores.softmax(-1) @ normalised) * norm.scale + norm.shift  # (B, H, D)
    context = torch.einsum("bhd,hed->bhe", mean_input, weight_v.unflatten(0, heads)).flatten(1) + bias_v  # (B, D)
    x = x + attention.out_proj(context)
    return x + block.ff(block.norm2(x))
