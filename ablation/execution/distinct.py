"""The messages of all splits without repetitions: what the frozen prefix has to see."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ablation.data.encode import EncodedMessages
from ablation.execution.setup import Reach


@dataclass(frozen=True)
class DistinctMessages:
    """Attributes:
    tokens: (U, W) token ids.
    visible, taken_in, attended: (U,) as :class:`Reach` has them.
    ids: per split, (N,) which distinct message each message is.
    """

    tokens: Tensor
    visible: Tensor
    taken_in: Tensor
    attended: Tensor
    ids: dict[str, Tensor]

    def digest(self) -> str:
        """SHA-256 (hex) of the visible token ids: pads are among them where they can be seen."""
        ids = hashlib.sha256()
        for row, end in zip(self.tokens, self.visible.tolist(), strict=True):
            ids.update(end.to_bytes(8, "little") + row[:end].numpy().tobytes())
        return ids.hexdigest()


def find_distinct(messages: Mapping[str, EncodedMessages], reach: Reach) -> DistinctMessages:
    """Two messages are the same to the model if their visible tokens, and the position read, are the same."""
    seen: dict[tuple[int, bytes], int] = {}
    tokens, places, ids = [], [], {}
    for name, split in messages.items():
        split_ids = []
        split_places = torch.stack([reach.visible[name], reach.taken_in[name], reach.attended[name]], dim=1)
        for row, place in zip(split.tokens, split_places.tolist(), strict=True):
            end, read_end, _ = place
            key = (read_end, row[:end].numpy().tobytes())
            if key not in seen:
                seen[key] = len(seen)
                tokens.append(row)
                places.append(place)
            split_ids.append(seen[key])
        ids[name] = torch.tensor(split_ids)
    visible, taken_in, attended = torch.tensor(places).unbind(1)
    return DistinctMessages(torch.stack(tokens), visible, taken_in, attended, ids)
