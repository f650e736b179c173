"""Hidden states behind the frozen blocks: computed once per message, in place, block by block.

A chunk of messages goes through block 0, then block 1, and so on. Each block's weights are read from their source when
their turn comes and dropped afterwards, so that the peak is the chunk's hidden states plus one block.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ablation.classifier import WeightSource, materialise
from previous_chapters import GPTModel, TransformerBlock

POSITIONS_PER_BATCH = 2048  # rows of a matrix product: enough for its full rate, few enough to stay in cache


def similar_lengths(lengths: Tensor, *, equal: bool, positions: int = POSITIONS_PER_BATCH) -> Iterator[Tensor]:
    """Cut messages into batches of similar length, longest first.

    Args:
        lengths: (N,) positions of each message.
        equal: whether a batch's messages must all have the same length.
        positions: a batch's messages times its longest length stays within this, unless it is a single message.

    Yields:
        (B,) indices into ``lengths``.
    """
    order = lengths.argsort(descending=True, stable=True)
    ordered = lengths[order].tolist()
    start = 0
    while start < len(ordered):
        end = start + max(1, positions // ordered[start])
        if equal:
            end = min(end, start + ordered[start:].count(ordered[start]))
        yield order[start:end]
        start = end


@dataclass(frozen=True)
class Batch:
    """Messages that go through the blocks together, and where their states lie in a table of positions.

    Attributes:
        messages: (B,) which messages.
        width: positions of each; shorter messages have meaningless states behind their own positions.
        start: first row of the table; message k of the batch begins at ``start + k * width``.
    """

    messages: Tensor
    width: int
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.messages) * self.width

    def view(self, table: Tensor, first_row: int = 0) -> Tensor:
        """This batch's part (B, T, D) of a table (rows, D) whose row 0 is row ``first_row`` of the layout."""
        return table[self.start - first_row : self.end - first_row].unflatten(0, (len(self.messages), self.width))


def lay_out(lengths: Tensor, messages: Tensor, first_row: int, *, equal: bool) -> list[Batch]:
    """Batches of similar length for some of the messages, laid one behind the other from ``first_row`` on."""
    batches = []
    for chosen in similar_lengths(lengths[messages], equal=equal):
        batch = Batch(messages[chosen], int(lengths[messages[chosen[0]]]), first_row)
        batches.append(batch)
        first_row = batch.end
    return batches


def chunks(batches: list[Batch], max_rows: int) -> Iterator[list[Batch]]:
    """Consecutive batches that together have at most ``max_rows`` rows, at least one batch each."""
    chunk: list[Batch] = []
    for batch in batches:
        if chunk and batch.end - chunk[0].start > max_rows:
            yield chunk
            chunk = []
        chunk.append(batch)
    if chunk:
        yield chunk


@torch.no_grad()
def run_frozen_blocks(
    model: GPTModel,
    weights: WeightSource,
    tokens: Tensor,
    batches: list[Batch],
    table: Tensor,
    n_blocks: int,
    advanced: Callable[[int], None],
) -> None:
    """Take the messages of some batches through the embeddings and the first blocks, in place.

    Args:
        model: the classifier, whose first ``n_blocks`` blocks are on the meta device and stay there.
        tokens: (N, W) token ids of all messages.
        table: (rows, D) where the states end up; row 0 belongs to the first batch's first position.
        advanced: told the positions that have gone through one more block.
    """
    if not batches:
        return
    device, dtype, first_row = table.device, table.dtype, batches[0].start
    token_embeddings, position_embeddings = weights.tensor("tok_emb.weight"), weights.tensor("pos_emb.weight")
    for batch in batches:
        ids = tokens[batch.messages, : batch.width]
        embedded = token_embeddings[ids] + position_embeddings[: batch.width]
        batch.view(table, first_row).copy_(embedded.to(device, dtype))
    for index in range(n_blocks):
        block = read_block(model, weights, index, device)
        for batch in batches:
            advance(block, batch.view(table, first_row))
            advanced(batch.end - batch.start)


def read_block(model: GPTModel, weights: WeightSource, index: int, device: torch.device) -> TransformerBlock:
    """A copy of one of the model's frozen blocks with its values, read from their source."""
    block = cast(TransformerBlock, copy.deepcopy(model.trf_blocks[index]))
    materialise(block, weights, device, prefix=f"trf_blocks.{index}")
    return block


def advance(block: TransformerBlock, x: Tensor) -> None:
    """``x[...] = block(x)`` for x (B, T, D)."""
    x += block.att(block.norm1(x))
    x += block.ff(block.norm2(x))
