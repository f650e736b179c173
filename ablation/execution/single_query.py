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

from ablation.methods.primitives import (
    SublayerWrapper,
    effective_weight_and_bias,
    has_hooks,
    is_linear_map,
    unwrapped,
)
from previous_chapters import LAYER_NORM_EPS, FeedForward, LayerNorm, MultiHeadAttention, TransformerBlock

# What is computed in another way here, or of one position only: a block that replaced one of these is not known.
_OWN = {
    TransformerBlock: ("forward",),
    MultiHeadAttention: ("forward", "attend", "seen", "split_heads"),
    FeedForward: ("forward",),
    LayerNorm: ("forward",),
    SublayerWrapper: ("forward",),
}
_FUNCTIONS = {kind: tuple(getattr(kind, name) for name in names) for kind, names in _OWN.items()}


def is_known(block: nn.Module) -> bool:
    """Whether :func:`block_at_position` computes what the block does: it is GPT-2's, adapted by primitives alone.

    Any other has to be computed in full, through its own ``forward``.
    """
    if not isinstance(block, TransformerBlock) or any(map(has_hooks, block.modules())):
        return False
    attention, around_attention = unwrapped(block.att)
    feed_forward, around_feed_forward = unwrapped(block.ff)
    parts = [block, attention, feed_forward, block.norm1, block.norm2, *around_attention, *around_feed_forward]
    kinds = [TransformerBlock, MultiHeadAttention, FeedForward, LayerNorm, LayerNorm]
    kinds += [SublayerWrapper] * (len(parts) - len(kinds))
    if not all(_is_own(part, kind) for part, kind in zip(parts, kinds, strict=True)):
        return False
    layers = list(cast(FeedForward, feed_forward).layers)
    linear = (*cast(MultiHeadAttention, attention).projections(), *layers[::2])
    return len(layers) == 3 and type(layers[1]) is nn.GELU and all(map(is_linear_map, linear))


def is_causal(block: nn.Module) -> bool:
    """Whether no position depends on later ones; of a block that is not known nobody can say so."""
    return is_known(block) and cast(MultiHeadAttention, unwrapped(cast(TransformerBlock, block).att)[0]).causal


def is_plain(block: nn.Module, n_heads: int, causal: bool) -> bool:
    """Whether the block is GPT-2's as it stands: besides its weights, number of heads and mask say all about it."""
    if not (is_known(block) and isinstance(block, TransformerBlock) and type(block.att) is MultiHeadAttention):
        return False
    kinds = {type(module) for module in block.modules()}
    made_of = {TransformerBlock, MultiHeadAttention, FeedForward, LayerNorm, nn.Sequential, nn.Linear, nn.GELU}
    own = block.att.n_heads, block.att.causal
    return kinds == made_of and own == (n_heads, causal) and not list(block.buffers())


def _is_own(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module does what its kind does, and neither its class nor the module itself replaced that."""
    found = (getattr(getattr(module, name, None), "__func__", None) for name in _OWN[kind])
    return isinstance(module, kind) and tuple(found) == _FUNCTIONS[kind]


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
