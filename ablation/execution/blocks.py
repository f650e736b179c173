"""Blocks of messages of any lengths, whatever the blocks are: those that are not known go through their own forward."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ablation.execution.layout import Batch
from ablation.execution.single_query import block_at_position, is_known, normalise
from ablation.model.readout import read
from previous_chapters import GPTModel, TransformerBlock


def advance(block: nn.Module, states: Tensor, batch: Batch) -> None:
    """Take a batch's states (R, D) through a block, in place: packed, or run by run if the block is not known."""
    if is_known(block):
        states.copy_(block(states, [(len(run.messages), run.length) for run in batch.runs]))
        return
    for run in batch.runs:
        own = run.view(states, batch.start)
        own.copy_(block(own))


class RecomputedBlocks(nn.Sequential):
    """Blocks of which nothing but the inputs is kept for the backward pass, where each is computed once more."""

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = checkpoint(block, x, use_reentrant=False) if torch.is_grad_enabled() else block(x)
        return x


def logits_from_last_input(
    model: GPTModel, x: Tensor, taken_in: Tensor, attended: Tensor | None, *, pooled: bool
) -> Tensor:
    """What the model answers, of its last block only as much as the readout needs.

    Args:
        x: (B, L + T, D) what enters the last block.
        taken_in: (B,) tokens of each message up to and including the last one read.
        attended: (B, L + T) positions that the last one read attends to; None for all.
        pooled: whether the mean over the tokens taken in is read.

    Returns:
        (B, C)
    """
    last = cast(TransformerBlock, model.trf_blocks[-1])
    if pooled:
        return model.out_head(read(model.final_norm(last(x))[:, model.n_extra :], taken_in, pooled=True))
    return model.out_head(model.final_norm(last_block_at(last, x, taken_in + model.n_extra, attended)))


def last_block_at(block: TransformerBlock, x: Tensor, place: Tensor, attended: Tensor | None) -> Tensor:
    """The block's output (B, D) at one position of each message, (B,) counted from 1; of x (B, T, D), in full if the
    block is not known."""
    if not is_known(block):
        return read(block(x), place, pooled=False)
    return block_at_position(block, read(x, place, pooled=False), normalise(x), attended)
