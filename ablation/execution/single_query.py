"""A transformer block whose output is needed at one position per message.

Only that position's query, output projection and feed-forward are computed, and keys and values are never formed. Per
head, with h_t = x̂_t ⊙ γ + β the normalised inputs (x̂ without the norm's scale γ and shift β):

    score_t = q·(W_k h_t + b_k) = (γ ⊙ W_kᵀ q)·x̂_t + q·(W_k β + b_k)
    Σ_t a_t (W_v h_t + b_v)     = W_v (γ ⊙ Σ_t a_t x̂_t + β) + b_v,     because the attention weights a_t sum to 1

so the work per message falls from O(T·D²) to O(D² + H·T·D). With extra keys P_k and values P_v, which take the share
λ = Σ_p a_p of the attention, the constant of the scores no longer cancels, and the values are
W_v (γ ⊙ Σ_t a_t x̂_t + (1−λ) β) + (1−λ) b_v + Σ_p a_p P_v.

Shapes: B messages, T positions, L extra keys, D width, H heads.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablation.methods.primitives import effective_weight_and_bias, is_linear_map, unwrapped
from previous_chapters import LAYER_NORM_EPS, LayerNorm, MultiHeadAttention, TransformerBlock

# What is computed here in another way. A block in which one of these was replaced is not known.
_BLOCK_FORWARD, _LAYER_NORM = TransformerBlock.forward, LayerNorm.forward
_ATTENTION = (MultiHeadAttention.forward, MultiHeadAttention.attend, MultiHeadAttention.split_heads)


def is_known(block: nn.Module) -> bool:
    """Whether :func:`block_at_position` computes what the block itself does: it is GPT-2's, of plain or adapted parts.

    Any other has to be computed in full, through its own ``forward``.
    """
    if not isinstance(block, TransformerBlock) or _functions(block, "forward") != (_BLOCK_FORWARD,):
        return False
    attention, wrappers = unwrapped(block.att)
    if not isinstance(attention, MultiHeadAttention):
        return False
    replaced = (attention, *wrappers, block.norm1, attention.W_query, attention.W_key, attention.W_value)
    return (
        _functions(attention, "forward", "attend", "split_heads") == _ATTENTION
        and _functions(block.norm1, "forward") == (_LAYER_NORM,)
        and all(map(is_linear_map, replaced[-3:]))
        and not any(module._forward_hooks or module._forward_pre_hooks for module in (block, *replaced))
    )


def _functions(module: nn.Module, *names: str) -> tuple[object, ...]:
    """What these methods of a module really are, whether its class or the module itself replaced them."""
    return tuple(getattr(getattr(module, name), "__func__", None) for name in names)


def normalise(x: Tensor) -> Tensor:
    """Layer normalisation without scale and shift. (…, D) -> (…, D)"""
    return F.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)


def block_at_position(block: TransformerBlock, x: Tensor, normalised: Tensor, attended: Tensor | None) -> Tensor:
    """The block's output at one position of each message.

    Args:
        block: one that :func:`is_known`.
        x: (B, D) the block's input at that position.
        normalised: (B, T, D) the block's inputs at all positions that it may attend to, by :func:`normalise`.
        attended: (B, T) which of those positions it attends to; None for all.

    Returns:
        (B, D)
    """
    sublayer, wrappers = unwrapped(block.att)
    attention = cast(MultiHeadAttention, sublayer)
    h = normalise(x) * block.norm1.scale + block.norm1.shift
    y = attention.out_proj(_context(attention, block.norm1, h, normalised, attended))
    for wrapper in wrappers:
        y = wrapper.combine(h, y)
    x = x + y
    return x + block.ff(block.norm2(x))


def _context(
    attention: MultiHeadAttention, norm: LayerNorm, h: Tensor, normalised: Tensor, attended: Tensor | None
) -> Tensor:
    """What attention takes from the values, before its output projection: (B, D) from h (B, D), the query's input."""
    weight_q, bias_q = effective_weight_and_bias(attention.W_query)
    weight_k, bias_k = effective_weight_and_bias(attention.W_key)
    weight_v, bias_v = effective_weight_and_bias(attention.W_value)
    heads, extra = (attention.n_heads, -1), attention.extra

    query = F.linear(h, weight_q, bias_q).unflatten(-1, heads)  # (B, H, D/H)
    key_side = torch.einsum("bhe,hed->bhd", query, weight_k.unflatten(0, heads)) * norm.scale  # (B, H, D)
    # Without extra keys, what is the same for every t drops out of the softmax. q·b_k stays only so that b_k gets its
    # gradient, which is zero: AdamW decays what has a gradient and skips what has none.
    constant = bias_k if extra is None else F.linear(norm.shift, weight_k, bias_k)
    scores = key_side @ normalised.transpose(1, 2) + (query * constant.view(heads)).sum(-1, keepdim=True)  # (B, H, T)
    scores = scores / math.sqrt(query.shape[-1])
    if attended is not None:
        scores = scores.masked_fill(~attended[:, None], -torch.inf)
    if extra is None:
        mean_input = (scores.softmax(-1) @ normalised) * norm.scale + norm.shift  # (B, H, D)
        return torch.einsum("bhd,hed->bhe", mean_input, weight_v.unflatten(0, heads)).flatten(1) + bias_v  # (B, D)
    extra_keys, extra_values = (table.unflatten(-1, heads) for table in (extra.keys, extra.values))  # (L, H, D/H)
    extra_scores = torch.einsum("bhe,lhe->bhl", query, extra_keys.to(query.dtype)) / math.sqrt(query.shape[-1])
    weights = torch.cat([extra_scores, scores], dim=-1).softmax(-1)
    extra_weights, weights = weights.split([len(extra_keys), scores.shape[-1]], dim=-1)
    own_share = weights.sum(-1, keepdim=True)  # (B, H, 1): 1 − λ
    mean_input = (weights @ normalised) * norm.scale + own_share * norm.shift
    context = torch.einsum("bhd,hed->bhe", mean_input, weight_v.unflatten(0, heads)) + own_share * bias_v.view(heads)
    return (context + torch.einsum("bhl,lhe->bhe", extra_weights, extra_values.to(context.dtype))).flatten(1)
