"""The messages of all splits without repetitions: what the frozen prefix has to see."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ablation.data.encode import EncodedMessages
from ablation.data.placement import Placement, simplified
from ablation.execution.reach import Reach


@dataclass(frozen=True)
class DistinctMessages:
    """Attributes:
    tokens: (U, W) token ids.
    placement: where the messages stand in it.
    visible, taken_in, skipped, attended: (U,) as :class:`Reach` has them.
    ids: per split, (N,) which distinct message each message is.
    """

    tokens: Tensor
    placement: Placement
    visible: Tensor
    taken_in: Tensor
    skipped: Tensor
    attended: Tensor
    ids: dict[str, Tensor]

    def digest(self) -> str:
        """SHA-256 (hex) of the visible token ids: pads are among them where they can be seen."""
        ids = hashlib.sha256()
        for row, end in zip(self.tokens, self.visible.tolist(), strict=True):
            ids.update(end.to_bytes(8, "little") + row[:end].numpy().tobytes())
        return ids.hexdigest()

    def placement_digest(self) -> str:
        """The same of where the visible tokens stand; empty where each has the position of its own number, and is
        attended to."""
        if self.placement.is_plain:
            return ""
        digest = hashlib.sha256()
        table = torch.stack(self.placement.table(*self.tokens.shape), dim=1)
        for row, end in zip(table, self.visible.tolist(), strict=True):
            digest.update(row[:, :end].numpy().tobytes())
        return digest.hexdigest()


def find_distinct(messages: Mapping[str, EncodedMessages], reach: Reach) -> DistinctMessages:
    """Two messages are the same to the model if their visible tokens, where these stand, and what is read of them are
    the same."""
    seen: dict[tuple[int, int, bytes], int] = {}
    rows, places, ids = [], [], {}
    for name, split in messages.items():
        split_ids = []
        parts = (reach.visible, reach.taken_in, reach.skipped, reach.attended)
        split_places = torch.stack([part[name] for part in parts], dim=1).tolist()
        table = torch.stack([split.tokens, *split.placement.table(*split.tokens.shape)], dim=1)  # (N, 3, W)
        for row, place in zip(table, split_places, strict=True):
            end, read_end, skipped, _ = place
            key = (read_end, skipped, row[:, :end].numpy().tobytes())
            if key not in seen:
                seen[key] = len(seen)
                rows.append(row)
                places.append(place)
            split_ids.append(seen[key])
        ids[name] = torch.tensor(split_ids)
    visible, taken_in, skipped, attended = torch.tensor(places).unbind(1)
    tokens, positions, hidden = torch.stack(rows).unbind(1)
    placement = simplified(Placement(None, positions, hidden.bool()))
    return DistinctMessages(tokens.contiguous(), placement, visible, taken_in, skipped, attended, ids)
