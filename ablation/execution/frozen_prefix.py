"""Hidden states behind the frozen blocks: computed once per message, in place, block by block.

A chunk of messages goes through block 0, then block 1, and so on. Each block's weights are read from their source when
their turn comes and dropped afterwards, so that the peak is the chunk's hidden states plus one block.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from ablation.data.encode import send
from ablation.execution.blocks import advance
from ablation.execution.distinct import DistinctMessages
from ablation.execution.layout import Batch
from ablation.execution.setup import Setup
from ablation.model.classifier import materialise
from previous_chapters import TransformerBlock


@torch.no_grad()
def run_frozen_blocks(
    setup: Setup,
    messages: DistinctMessages,
    batches: list[Batch],
    table: Tensor,
    advanced: Callable[[int], None],
    *,
    done: int = 0,
    block_ended: Callable[[int], None] = lambda blocks: None,
) -> None:
    """Take the messages of some batches through the embeddings and the plan's prefix blocks, in place.

    Args:
        setup: its model's prefix blocks are on the meta device and stay there.
        table: (rows, D) where the states end up; row 0 belongs to the first batch's first position.
        advanced: told the positions that have gone through one more block.
        done: how many blocks the states in the table have gone through already; with 0 it holds nothing yet.
        block_ended: told how many they have gone through, after each.
    """
    if not batches:
        return
    first_row = batches[0].start
    if done == 0:
        _embed(setup, messages, batches, table)
    hidden = messages.placement.hidden
    packed = [None if hidden is None else send(batch.packed(hidden), setup.device) for batch in batches]
    for index in range(done, setup.plan.prefix_blocks):
        block = read_block(setup, index)
        for batch, own_hidden in zip(batches, packed, strict=True):
            advance(block, batch.rows(table, first_row), batch, own_hidden)
            advanced(batch.end - batch.start)
        block_ended(index + 1)


def _embed(setup: Setup, messages: DistinctMessages, batches: list[Batch], table: Tensor) -> None:
    weights, first_row = setup.weights, batches[0].start
    token_embeddings, position_embeddings = weights.tensor("tok_emb.weight"), weights.tensor("pos_emb.weight")
    for run in (run for batch in batches for run in batch.runs):
        ids = messages.tokens[run.messages, : run.length]
        positions = messages.placement.of(run.messages, run.length).positions
        positions = setup.model.positions(run.length) if positions is None else positions
        embedded = token_embeddings[ids] + position_embeddings[positions]
        run.view(table, first_row).copy_(embedded.to(table.device, table.dtype))


def read_block(setup: Setup, index: int) -> TransformerBlock:
    """A copy of one of the model's frozen blocks with its values, read from their source."""
    block = cast(TransformerBlock, copy.deepcopy(setup.model.trf_blocks[index]))
    materialise(block, setup.weights, setup.device, setup.sources, prefix=f"trf_blocks.{index}")
    return block
