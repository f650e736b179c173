"""Which messages are computed together, and where their states lie: batches of similar length, without padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

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
class PackedRun:
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

    runs: tuple[PackedRun, ...]

    @property
    def start(self) -> int:
        return self.runs[0].start

    @property
    def end(self) -> int:
        return self.runs[-1].end

    def packed(self, table: Tensor) -> Tensor:
        """What a table (N, W) has of the positions of these messages, (R,), in the layout of their states."""
        return torch.cat([table[run.messages, : run.length].flatten() for run in self.runs])

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
            runs.append(PackedRun(torch.tensor(run), int(lengths[run[0]]), first_row))
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
