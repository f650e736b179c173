"""Blocks of messages of any lengths, whatever the blocks are: those that are not known go through their own forward."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ablation.execution.layout import Batch
from ablation.execution.single_query import block_at_position, is_known, normalise
from ablation.model.readout import read
from previous_chapters import Blocks, GPTModel, TransformerBlock


def advance(block: nn.Module, states: Tensor, batch: Batch, hidden: Tensor | None = None) -> None:
    """Take a batch's states (R, D) through a block, in place: packed, or run by run if the block is not known.

    Args:
        hidden: (R,) pads that no position attends to; only of a block that is known.
    """
    if is_known(block):
        states.copy_(block(states, [(len(run.messages), run.length) for run in batch.runs], hidden))
        return
    for run in batch.runs:
        own = run.view(states, batch.start)
        own.copy_(block(own))


class RecomputedBlocks(Blocks):
    """Blocks of which nothing but the inputs is kept for the backward pass, where each is computed once more."""

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x, hidden)
        context = () if hidden is None else (None, hidden)
        for block in self:
            x = checkpoint(block, x, *context, use_reentrant=False)
        return x


def logits_from_last_input(
    model: GPTModel,
    x: Tensor,
    taken_in: Tensor,
    attended: Tensor | None,
    *,
    pooled: bool,
    skipped: Tensor | None = None,
    hidden: Tensor | None = None,
) -> Tensor:
    """What the model answers, of its last block only as much as the readout needs.

    Args:
        x: (B, L + T, D) what enters the last block.
        taken_in: (B,) positions of each message up to and including the last one read.
        attended: (B, L + T) positions that the last one read attends to; None for all.
        pooled: whether the mean over the positions taken in is read, but for the first ``skipped`` (B,).
        hidden: (B, L + T) pads that no position attends to.

    Returns:
        (B, C)
    """
    last = cast(TransformerBlock, model.trf_blocks[-1])
    if pooled:
        states = model.final_norm(last(x) if hidden is None else last(x, None, hidden))
        return model.out_head(read(states[:, model.n_extra :], taken_in, pooled=True, skipped=skipped))
    return model.out_head(model.final_norm(last_block_at(last, x, taken_in + model.n_extra, attended)))


def last_block_at(block: TransformerBlock, x: Tensor, place: Tensor, attended: Tensor | None) -> Tensor:
    """The block's output (B, D) at one position of each message, (B,) counted from 1; of x (B, T, D), in full if the
    block is not known."""
    if not is_known(block):
        return read(block(x), place, pooled=False)
    return block_at_position(block, read(x, place, pooled=False), normalise(x), attended)
