"""What is kept of the frozen prefix: computed once per distinct message, then looked up at every step.

Depending on the plan, a message leaves behind

* ``VECTORS``: the classifier's input, one vector (all blocks are frozen);
* ``NORMALISED``: the normalised states that the last block attends to, and its input where it is read;
* ``STATES``: the states that enter the first trainable block.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor

from ablation.classifier import WeightSource
from ablation.execution_plan import ExecutionPlan, arithmetic
from ablation.frozen_prefix import Batch, chunks, lay_out, read_block, run_frozen_blocks
from ablation.listener import Listener
from ablation.single_query import block_at_position, normalise
from ablation.spam_data import EncodedMessages
from ablation.token_position import read
from previous_chapters import GPTModel, TransformerBlock


class Kind(Enum):
    """What the features of a message are."""

    VECTORS = "vectors"
    NORMALISED = "normalised"
    STATES = "states"


def kind_of_features(plan: ExecutionPlan) -> Kind:
    if plan.first_block == plan.n_blocks:
        return Kind.VECTORS
    if plan.first_block == plan.n_blocks - 1 and not plan.pooled:
        return Kind.NORMALISED
    return Kind.STATES


@dataclass(frozen=True)
class DistinctMessages:
    """The messages of all splits without repetitions: what the frozen prefix has to see.

    Attributes:
        tokens: (U, W) token ids.
        visible, taken_in: (U,) as in the plan.
        ids: per split, (N,) which distinct message each message is.
    """

    tokens: Tensor
    visible: Tensor
    taken_in: Tensor
    ids: dict[str, Tensor]


def find_distinct(messages: dict[str, EncodedMessages], plan: ExecutionPlan) -> DistinctMessages:
    """Two messages are the same to the model if their visible tokens, and the position read, are the same."""
    seen: dict[tuple[int, bytes], int] = {}
    tokens, visible, taken_in, ids = [], [], [], {}
    for name, split in messages.items():
        split_ids = []
        for row, end, read_end in zip(split.tokens, plan.visible[name].tolist(), plan.taken_in[name].tolist(), strict=True):
            key = (read_end, row[:end].numpy().tobytes())
            if key not in seen:
                seen[key] = len(seen)
                tokens.append(row)
                visible.append(end)
                taken_in.append(read_end)
            split_ids.append(seen[key])
        ids[name] = torch.tensor(split_ids)
    return DistinctMessages(torch.stack(tokens), torch.tensor(visible), torch.tensor(taken_in), ids)


class PrefixFeatures:
    """The features of all messages, computed stage by stage.

    Args:
        stages: for each stage, the messages it is the first to need: per split, indices.
        memory: bytes of hidden states to hold at a time; a larger table is kept in a mapped temporary file.
    """

    def __init__(
        self,
        model: GPTModel,
        weights: WeightSource,
        plan: ExecutionPlan,
        messages: dict[str, EncodedMessages],
        stages: list[dict[str, Tensor]],
        device: torch.device,
        memory: int,
    ) -> None:
        self.kind = kind_of_features(plan)
        self._model, self._weights, self._plan, self._device = model, weights, plan, device
        self.messages = find_distinct(messages, plan)
        self._dtype = model.final_norm.scale.dtype
        width = weights.shape.emb_dim
        self._chunk_rows = max(1, memory // (width * self._dtype.itemsize))
        self.stages = self._lay_out(stages)
        self._starts = torch.zeros(len(self.messages.visible), dtype=torch.long)
        for batch in self._batches():
            self._starts[batch.messages] = batch.start + torch.arange(len(batch.messages)) * batch.width
        rows = max((batch.end for batch in self._batches()), default=0)
        count = len(self.messages.visible)
        self._table = self._allocate(0 if self.kind is Kind.VECTORS else rows, width, memory)
        # Where the classifier's input, or the last block's input at the position read, is kept.
        self._at_readout = self._allocate(0 if self.kind is Kind.STATES else count, width, memory)

    def _batches(self) -> list[Batch]:
        return [batch for stage in self.stages for batch in stage]

    def _lay_out(self, stages: list[dict[str, Tensor]]) -> list[list[Batch]]:
        placed: set[int] = set()
        layouts: list[list[Batch]] = []
        first_row = 0
        for stage in stages:
            wanted = torch.cat([self.messages.ids[split][indices] for split, indices in stage.items()]).tolist()
            new = [message for message in dict.fromkeys(wanted) if message not in placed]
            placed.update(new)
            batches = lay_out(
                self.messages.visible, torch.tensor(new, dtype=torch.long), first_row, equal=not self._plan.causal
            )
            layouts.append(batches)
            first_row = batches[-1].end if batches else first_row
        return layouts

    def _allocate(self, rows: int, width: int, memory: int) -> Tensor:
        if self._device.type != "cpu" or rows * width * self._dtype.itemsize <= memory:
            return torch.empty(rows, width, dtype=self._dtype, device=self._device)
        with tempfile.TemporaryDirectory(prefix="prefix-features-") as folder:  # the mapping outlives the name
            file = str(Path(folder) / "table")
            return torch.from_file(file, shared=True, size=rows * width, dtype=self._dtype).view(rows, width)

    @torch.no_grad()
    def compute(self, stage: int, listener: Listener) -> None:
        """Run the frozen blocks over the messages of one stage and keep what the trainable suffix will need."""
        plan, batches = self._plan, self.stages[stage]
        positions = sum(batch.end - batch.start for batch in batches)
        listener.work_started("frozen prefix", positions * plan.prefix_blocks, "position×block")
        for chunk in chunks(batches, self._chunk_rows):
            rows = slice(chunk[0].start, chunk[-1].end)
            if self.kind is Kind.VECTORS:
                states = torch.empty(rows.stop - rows.start, self._at_readout.shape[1], dtype=self._dtype, device=self._device)
            else:
                states = self._table[rows]
            run_frozen_blocks(
                self._model, self._weights, self.messages.tokens, chunk, states, plan.prefix_blocks, listener.work_advanced
            )
            self._finish(chunk, states)
        listener.work_ended()

    def _finish(self, chunk: list[Batch], states: Tensor) -> None:
        """Turn the states behind the frozen blocks into the features of the plan's kind."""
        if self.kind is Kind.STATES:
            return
        one_position = not self._plan.pooled
        last_index = self._plan.n_blocks - 1
        block: TransformerBlock | None = None
        if self.kind is Kind.VECTORS and one_position:
            block = read_block(self._model, self._weights, last_index, self._device)
        for batch in chunk:
            x = batch.view(states, chunk[0].start)
            taken_in = self.messages.taken_in[batch.messages].to(self._device)
            if self.kind is Kind.NORMALISED:
                kept = read(x, taken_in, pooled=False)
                x.copy_(normalise(x))
            elif block is not None:
                attended = attended_positions(self.messages.visible[batch.messages], batch.width)
                kept = self._model.final_norm(
                    block_at_position(block, read(x, taken_in, pooled=False), normalise(x), attended)
                )
            else:
                kept = read(self._model.final_norm(x), taken_in, pooled=True)
            self._at_readout[batch.messages.to(self._device)] = kept

    def at_readout(self, messages: Tensor) -> Tensor:
        """(B, D) classifier inputs (VECTORS) or last-block inputs at the position read (NORMALISED)."""
        return self._at_readout[messages.to(self._device)]

    def states(self, messages: Tensor, width: int) -> Tensor:
        """(B, width, D) states of some messages; behind its visible positions a message's last one is repeated."""
        own = torch.minimum(torch.arange(width), self.messages.visible[messages][:, None] - 1)
        rows = self._starts[messages][:, None] + own  # (B, width)
        return self._table[rows.to(self._device)]


def attended_positions(visible: Tensor, width: int) -> Tensor | None:
    """(B, width) which positions a message's readout attends to; None if all messages see the full width."""
    if bool((visible == width).all()):
        return None
    return torch.arange(width) < visible[:, None]
