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

from ablation.model.classifier import WeightSource, materialise
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
class Run:
    """Messages of one length, and where their states lie in a table of positions.

    Attributes:
        messages: (B,) which messages.
        length: positions of each.
        start: first row of the table; message k of the run begins at ``start + k * length``.
    """

    messages: Tensor
    length: int
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.messages) * self.length

    def view(self, table: Tensor, first_row: int = 0) -> Tensor:
        """This run's part (B, T, D) of a table (rows, D) whose row 0 is row ``first_row`` of the layout."""
        return table[self.start - first_row : self.end - first_row].unflatten(0, (len(self.messages), self.length))


@dataclass(frozen=True)
class Batch:
    """Runs, one behind the other, whose positions go through the linear layers together: nothing is padded."""

    runs: tuple[Run, ...]

    @property
    def start(self) -> int:
        return self.runs[0].start

    @property
    def end(self) -> int:
        return self.runs[-1].end

    def rows(self, table: Tensor, first_row: int = 0) -> Tensor:
        """This batch's part (R, D) of a table whose row 0 is row ``first_row`` of the layout."""
        return table[self.start - first_row : self.end - first_row]


def lay_out(lengths: Tensor, messages: Tensor, first_row: int) -> list[Batch]:
    """Batches of some of the messages, longest first, laid one behind the other from ``first_row`` on.

    A batch has at most ``POSITIONS_PER_BATCH`` positions, unless it is a single message.
    """
    order = lengths[messages].argsort(descending=True, stable=True)
    batches: list[list[list[int]]] = []  # of runs of messages
    room, previous = 0, 0
    for message, length in zip(messages[order].tolist(), lengths[messages[order]].tolist(), strict=True):
        if length > room:
            batches.append([])
            room, previous = POSITIONS_PER_BATCH, 0
        if length != previous:
            batches[-1].append([])
            previous = length
        batches[-1][-1].append(message)
        room -= length
    laid_out = []
    for batch in batches:
        runs = []
        for run in batch:
            runs.append(Run(torch.tensor(run), int(lengths[run[0]]), first_row))
            first_row = runs[-1].end
        laid_out.append(Batch(tuple(runs)))
    return laid_out


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
    for run in (run for batch in batches for run in batch.runs):
        ids = tokens[run.messages, : run.length]
        embedded = token_embeddings[ids] + position_embeddings[: run.length]
        run.view(table, first_row).copy_(embedded.to(device, dtype))
    for index in range(n_blocks):
        block = read_block(model, weights, index, device)
        for batch in batches:
            advance(block, batch.rows(table, first_row), batch)
            advanced(batch.end - batch.start)


def read_block(model: GPTModel, weights: WeightSource, index: int, device: torch.device) -> TransformerBlock:
    """A copy of one of the model's frozen blocks with its values, read from their source."""
    block = cast(TransformerBlock, copy.deepcopy(model.trf_blocks[index]))
    materialise(block, weights, device, prefix=f"trf_blocks.{index}")
    return block


def advance(block: TransformerBlock, states: Tensor, batch: Batch) -> None:
    """Take a batch's states (R, D) through a block, in place. Only attention has to know whose position is whose."""
    attention = block.att
    normalised = block.norm1(states)
    projected = [layer(normalised) for layer in (attention.W_query, attention.W_key, attention.W_value)]
    context = [
        attention.attend(*(run.view(table, batch.start) for table in projected)).flatten(0, 1) for run in batch.runs
    ]
    states += attention.out_proj(torch.cat(context))
    expand, gelu, contract = block.ff.layers
    hidden = expand(block.norm2(states))
    torch.ops.aten.gelu_(hidden, approximate=cast(torch.nn.GELU, gelu).approximate)  # spares a copy 4 times as wide
    states += contract(hidden)
