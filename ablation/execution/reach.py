"""How far the messages of a run matter to what is read of them, and the messages without the pads that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.config.padding import LAST
from ablation.data.encode import EncodedMessages
from ablation.data.placement import remaining
from ablation.execution.single_query import is_causal
from ablation.model.readout import READOUTS
from previous_chapters import GPTModel

PerSplit = dict[str, Tensor]


@dataclass(frozen=True)
class Reach:
    """How far messages matter; positions count from a message's first, be it a token or a pad.

    Attributes:
        taken_in: per split, (N,) positions up to and including the last one read.
        skipped: per split, (N,) how many of them stand before the first one that a mean takes in.
        attended: per split, (N,) positions that the last one read attends to, if they are not hidden.
        visible: per split, (N,) positions on which the readout can depend, and that must be computed.
        equal: whether messages may be computed together only where they have the same number of positions.
    """

    taken_in: PerSplit
    skipped: PerSplit
    attended: PerSplit
    visible: PerSplit
    equal: bool

    def lengths(self) -> list[int]:
        """Visible positions of all messages."""
        return torch.cat(list(self.visible.values())).tolist()


def find_reach(config: ExperimentConfig, model: GPTModel, messages: Mapping[str, EncodedMessages]) -> Reach:
    """A block that is not known may look anywhere: then every position of a message has to be there, as it would be
    without a plan."""
    readout, takes_in_pads = READOUTS[config.trainable_token_pos], config.trainable_token_pos == LAST
    widths, taken_in, skipped = PerSplit(), PerSplit(), PerSplit()
    for name, split in messages.items():
        starts, widths[name] = split.starts, split.widths()
        taken_in[name] = starts + readout(split.lengths, widths[name] - starts)
        skipped[name] = torch.zeros_like(starts) if takes_in_pads else starts
    attended = taken_in if is_causal(model.trf_blocks[-1]) else widths
    looks_ahead = not all(map(is_causal, model.trf_blocks))
    return Reach(taken_in, skipped, attended, widths if looks_ahead else taken_in, equal=looks_ahead)


def without_unread_pads(
    messages: Mapping[str, EncodedMessages], reach: Reach, *, pooled: bool
) -> tuple[dict[str, EncodedMessages], Reach]:
    """The same messages without the hidden pads that are not read: nothing depends on them.

    Args:
        pooled: whether the mean over the positions taken in is read, not the last of them.
    """
    if all(split.placement.hidden is None for split in messages.values()):
        return dict(messages), reach
    kept = {name: _kept(split, reach, name, pooled=pooled) for name, split in messages.items()}
    width = max(int(split.sum(1).max()) for split in kept.values())
    fewer = {}
    for name, split in messages.items():
        columns = kept[name].int().argsort(dim=1, descending=True, stable=True)[:, :width]
        placement = split.placement.select(kept[name], columns)
        fewer[name] = replace(split, tokens=split.tokens.gather(1, columns), placement=placement)

    def counted(ends: PerSplit) -> PerSplit:
        return {name: remaining(kept[name], end) for name, end in ends.items()}

    taken_in, skipped, attended, visible = map(counted, (reach.taken_in, reach.skipped, reach.attended, reach.visible))
    return fewer, Reach(taken_in, skipped, attended, visible, reach.equal)


def _kept(split: EncodedMessages, reach: Reach, name: str, *, pooled: bool) -> Tensor:
    """(N, W) which positions something depends on: those that are not hidden, and those that are read."""
    _, hidden = split.placement.table(*split.tokens.shape)
    positions, taken_in = torch.arange(hidden.shape[1]), reach.taken_in[name]
    first_read = reach.skipped[name] if pooled else taken_in - 1
    is_read = (positions >= first_read[:, None]) & (positions < taken_in[:, None])
    return (positions < reach.visible[name][:, None]) & (~hidden | is_read)


def attended_positions(
    attended: Tensor, width: int, device: torch.device, hidden: Tensor | None = None
) -> Tensor | None:
    """(B, width) which positions a message's readout attends to; None if all messages attend to the full width.

    Args:
        attended: (B,) how many, but for those that are ``hidden`` (B, width).
    """
    if hidden is None and bool((attended == width).all()):
        return None
    seen = torch.arange(width) < attended[:, None]
    return (seen if hidden is None else seen & ~hidden).to(device, non_blocking=True)
