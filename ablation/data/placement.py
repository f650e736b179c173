"""Where messages stand among their pads, and what the model sees of that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ablation.config.padding import LEFT, PaddingSettings


@dataclass(frozen=True)
class Placement:
    """How N messages lie in rows of W positions; without anything, each from the first position on.

    Attributes:
        starts: (N,) pads before each message's first token; None for none.
        positions: (N, W) rows of the position embedding; None where each position has the one of its own number.
        hidden: (N, W) pads that no position attends to; None where there are none.
    """

    starts: Tensor | None = None
    positions: Tensor | None = None
    hidden: Tensor | None = None

    @property
    def is_plain(self) -> bool:
        """Whether token ids alone say all that the model sees."""
        return self.positions is None and self.hidden is None

    def of(self, messages: Tensor | slice, width: int) -> Placement:
        """The same of some messages (B,), of their first ``width`` positions."""
        starts, positions, hidden = self.starts, self.positions, self.hidden
        return Placement(
            None if starts is None else starts[messages],
            None if positions is None else positions[messages, :width],
            None if hidden is None else hidden[messages, :width],
        )

    def table(self, count: int, width: int) -> tuple[Tensor, Tensor]:
        """``positions`` and ``hidden`` (N, W) of ``count`` messages, written out."""
        positions = torch.arange(width).repeat(count, 1) if self.positions is None else self.positions
        hidden = torch.zeros(count, width, dtype=torch.bool) if self.hidden is None else self.hidden
        return positions, hidden

    def to(self, device: torch.device) -> Placement:
        """On a device, without waiting for what it still has to compute."""
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items() if value is not None}
        return Placement(**moved)

    def select(self, kept: Tensor, columns: Tensor) -> Placement:
        """What remains where of the positions only those ``kept`` (N, W) do, which stand in ``columns`` (N, K)."""
        positions, hidden = self.table(*kept.shape)
        own = torch.arange(columns.shape[1])
        filled = own < kept.sum(1, keepdim=True)
        starts = None if self.starts is None else remaining(kept, self.starts)
        positions = torch.where(filled, positions.gather(1, columns), own)
        return simplified(Placement(starts, positions, hidden.gather(1, columns) & filled))


def remaining(kept: Tensor, ends: Tensor) -> Tensor:
    """(N,) how many of the positions before ``ends`` (N,) are among those ``kept`` (N, W)."""
    return (kept & (torch.arange(kept.shape[1]) < ends[:, None])).sum(1)


def simplified(placement: Placement) -> Placement:
    """The same, without what says nothing."""
    starts, positions, hidden = placement.starts, placement.positions, placement.hidden
    if starts is not None and not starts.any():
        placement = replace(placement, starts=None)
    if positions is not None and bool((positions == torch.arange(positions.shape[1])).all()):
        placement = replace(placement, positions=None)
    if hidden is not None and not hidden.any():
        placement = replace(placement, hidden=None)
    return placement


def place(lengths: Tensor, width: int, padding: PaddingSettings) -> Placement:
    """The placement of messages of some lengths (N,) in rows of ``width`` positions.

    A pad before the first token has position 0 where positions are shifted.
    """
    starts = width - lengths if padding.padding_side == LEFT else torch.zeros_like(lengths)
    from_first = torch.arange(width) - starts[:, None]  # (N, W) 0 where a message begins
    positions = from_first.clamp(min=0) if padding.shift_positions else None
    hidden = (from_first < 0) | (from_first >= lengths[:, None]) if padding.mask_padding else None
    return simplified(Placement(starts, positions, hidden))
