"""A model's next-token logits, one position at a time: keys and values of earlier positions are kept.

One new position of B sentences costs O(B·D²) for the projections and the feed-forward of a block, O(B·T·D) for its
attention to T kept positions, and O(B·D·V) for the head, which is applied to the last position only.

Shapes: B sentences, T positions, D width, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablation.methods.primitives import SublayerWrapper, has_hooks, unwrapped
from previous_chapters import FeedForward, GPTModel, MultiHeadAttention, TransformerBlock

# Scores lie with a row for each sentence, where one product over the whole vocabulary gets two thirds of the rate on a
# CPU. Of 256 to 50,257 tokens a product, measured with 16 to 256 sentences, this many are the fastest or nearly so.
TOKENS_OF_A_PRODUCT = 512


def check_model(model: GPTModel) -> None:
    """See that :class:`KeyValueCache` computes what the model does.

    Raises:
        ValueError: the model is in training mode, or has extra positions.
        TypeError: one of its blocks does something else than GPT-2's block with adapted linear maps and wrappers.
    """
    if model.training:
        raise ValueError("the model is in training mode, where dropout is active: call model.eval() first")
    if model.extra is not None:
        raise ValueError("the model has extra positions before its tokens: sentences are drawn from models without")
    for number, block in enumerate(model.trf_blocks):
        problem = _unknown_in(block)
        if problem:
            raise TypeError(f"block {number} cannot keep keys and values: {problem}; use previous_chapters.generate")


def _unknown_in(block: nn.Module) -> str:
    """What in a block :meth:`KeyValueCache.step` would leave out; empty if nothing."""
    if type(block) is not TransformerBlock:
        return f"it is a {type(block).__name__}, not a TransformerBlock"
    attention, around = unwrapped(block.att)
    feed_forward, around_feed_forward = unwrapped(block.ff)
    if type(attention) is not MultiHeadAttention:
        return f"its attention is a {type(attention).__name__}, not a MultiHeadAttention"
    if type(feed_forward) is not FeedForward:
        return f"its feed-forward is a {type(feed_forward).__name__}, not a FeedForward"
    for wrapper in (*around, *around_feed_forward):
        if type(wrapper).forward is not SublayerWrapper.forward:
            return f"its wrapper {type(wrapper).__name__} has a forward of its own"
    if not attention.causal:
        return "its attention sees later positions (it is not causal)"
    if attention.extra is not None:
        return "its attention has extra keys and values"
    if any(has_hooks(module) for module in (block, attention, *around)):
        return "hooks hang on it or on its attention"
    return ""


class KeyValueCache:
    """Keys and values of the positions that have been read, of sentences that are all equally long.

    Args:
        model: with its vocabulary head, in evaluation mode, such that :func:`check_model` accepts it.
        beginning: the tokens with which every sentence starts, at least one; they are read once, for all.
        count: how many sentences, B.
        limit: how many positions are read at most; no more than the model's context.

    Attributes:
        logits: (B, V) for the next token of each sentence. The next step overwrites them; after :meth:`keep` there are
            none before it.
        rows: how many sentences are still here.
        length: how many positions have been read.
    """

    @torch.no_grad()
    def __init__(self, model: GPTModel, beginning: Sequence[int], count: int, limit: int) -> None:
        self._model = model
        self._blocks = [cast(TransformerBlock, block) for block in model.trf_blocks]
        self.rows, self.length = count, len(beginning)
        x = model.embed(torch.tensor([list(beginning)], device=model.pos_emb.weight.device))  # (1, T, D)
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        for block in self._blocks:
            x = self._read_beginning(block, x, limit)
        self._scores: Tensor | None = None  # where logits are put: new memory would have to be zeroed at each step
        self.logits = self._head(x[:, -1]).expand(count, -1)

    def _read_beginning(self, block: TransformerBlock, x: Tensor, limit: int) -> Tensor:
        """(1, T, D) -> (1, T, D), and the block's keys and values for all sentences."""
        sublayer, wrappers = unwrapped(block.att)
        attention = cast(MultiHeadAttention, sublayer)
        h = block.norm1(x)
        query, key, value = (project(h) for project in attention.projections()[:3])
        for kept, new in ((self._keys, key), (self._values, value)):
            heads = attention.split_heads(new)  # (1, H, T, D/H)
            table = heads.new_empty(self.rows, heads.shape[1], limit, heads.shape[3])
            table[:, :, : self.length] = heads
            kept.append(table)
        return _rest(block, x, h, attention.out_proj(attention.attend(query, key, value)), wrappers)

    @torch.no_grad()
    def step(self, tokens: Tensor) -> None:
        """Read one more token (B,) of each sentence; ``logits`` are then those of the token after it."""
        model, position = self._model, self.length
        self.length += 1
        x = model.tok_emb(tokens) + model.pos_emb.weight[position]  # (B, D)
        for block, keys, values in zip(self._blocks, self._keys, self._values, strict=True):
            x = self._at_position(block, x, keys[: self.rows], values[: self.rows])
        self.logits = self._head(x)

    def _at_position(self, block: TransformerBlock, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, D) -> (B, D), with the kept keys and values (B, H, limit, D/H) to which the new ones are added."""
        sublayer, wrappers = unwrapped(block.att)
        attention = cast(MultiHeadAttention, sublayer)
        h = block.norm1(x)
        heads = (attention.n_heads, -1)
        query, key, value = (project(h).unflatten(-1, heads) for project in attention.projections()[:3])
        keys[:, :, self.length - 1], values[:, :, self.length - 1] = key, value
        context = self._attend(query, keys[:, :, : self.length], values[:, :, : self.length])
        return _rest(block, x, h, attention.out_proj(context), wrappers)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Queries (B, H, D/H) of the last position, which sees all keys and values (B, H, T, D/H) -> (B, D)."""
        return F.scaled_dot_product_attention(query.unsqueeze(2), keys, values).flatten(1)

    def _head(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, V)"""
        head, x = self._model.out_head, self._model.final_norm(x)
        if type(head) is not nn.Linear or head.bias is not None or has_hooks(head) or x.device.type != "cpu":
            return head(x)
        if self._scores is None or len(self._scores) < len(x):
            self._scores = x.new_empty(self.rows, len(head.weight))
        scores = self._scores[: len(x)]
        for start in range(0, len(head.weight), TOKENS_OF_A_PRODUCT):
            tokens = slice(start, start + TOKENS_OF_A_PRODUCT)
            torch.mm(x, head.weight[tokens].t(), out=scores[:, tokens])
        return scores

    def keep(self, kept: Tensor) -> Tensor:
        """Let the other sentences leave.

        Those behind move into the gaps, so that only as many are copied as have left.

        Args:
            kept: (B,) whether each sentence stays.

        Returns:
            (sentences that stay,) where each of them stood before.
        """
        staying = int(kept.sum())
        order = torch.arange(staying, device=kept.device)
        gaps = (~kept[:staying]).nonzero().flatten()
        order[gaps] = staying + kept[staying:].nonzero().flatten()
        for table in (*self._keys, *self._values):
            table[gaps, :, : self.length] = table[order[gaps], :, : self.length]
        self.logits, self.rows = self.logits[:0], staying
        return order


def _rest(block: TransformerBlock, x: Tensor, h: Tensor, y: Tensor, wrappers: list[SublayerWrapper]) -> Tensor:
    """What a block does after its attention made ``y`` of the normalised ``h``."""
    for wrapper in wrappers:
        y = wrapper.combine(h, y)
    x = x + y
    return x + block.ff(block.norm2(x))
