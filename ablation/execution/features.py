"""What is kept of the frozen prefix: computed once per distinct message, then looked up at every step.

Depending on the plan, a message leaves behind

* ``VECTORS``: the classifier's input, one vector (all blocks are frozen);
* ``NORMALISED``: the normalised states that the last block attends to, and its input where it is read;
* ``STATES``: the states that enter the first trainable block.

All three follow quickly from the states behind the prefix blocks, which cost nearly all of the time. So these are what
a feature cache keeps, and plans of different kinds share them (of the published table, rows 1, 3, 18 and 19 do, and
rows 14, 15 and 16, where the same tokens can be seen).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from ablation.data.encode import EncodedMessages, send
from ablation.execution.feature_cache import Entry, FeatureCache
from ablation.execution.feature_file import temporary_table
from ablation.execution.frozen_prefix import Batch, Run, chunks, lay_out, read_block, run_frozen_blocks
from ablation.execution.plan import ExecutionPlan, Setup
from ablation.execution.single_query import block_at_position, normalise
from ablation.listener import Listener
from ablation.model.readout import read
from previous_chapters import TransformerBlock

ALGORITHM = 2  # raised whenever the frozen prefix is computed in another way, so that older entries are left alone


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
        ends, read_ends = plan.visible[name].tolist(), plan.taken_in[name].tolist()
        for row, end, read_end in zip(split.tokens, ends, read_ends, strict=True):
            key = (read_end, row[:end].numpy().tobytes())
            if key not in seen:
                seen[key] = len(seen)
                tokens.append(row)
                visible.append(end)
                taken_in.append(read_end)
            split_ids.append(seen[key])
        ids[name] = torch.tensor(split_ids)
    return DistinctMessages(torch.stack(tokens), torch.tensor(visible), torch.tensor(taken_in), ids)


@dataclass(frozen=True)
class FeatureOptions:
    """When features are computed, and where they are kept.

    Attributes:
        stages: for each stage, the messages it is the first to need: per split, indices. Computed in this order.
        memory: bytes of hidden states to hold at a time; a larger table is kept in a mapped temporary file.
        cache: where the states behind the prefix blocks are looked up, and kept if they are not there.
        run_key: what they depend on besides model and messages: the weights' digest, the precision, the tokenizer.
    """

    stages: list[dict[str, Tensor]]
    memory: int
    cache: FeatureCache | None = None
    run_key: Mapping[str, str] = field(default_factory=dict)


class PrefixFeatures:
    """The features of all messages, computed stage by stage or taken from a cache.

    Attributes:
        reused: whether they were there; known when the first stage has been computed.

    Raises:
        FeatureStorageError: no room for the temporary file, or the cache cannot be locked.
    """

    def __init__(self, setup: Setup, options: FeatureOptions) -> None:
        self.kind = kind_of_features(setup.plan)
        self.reused = False
        self._model, self._weights, self._plan, self._device = setup.model, setup.weights, setup.plan, setup.device
        self.messages = find_distinct(setup.messages, setup.plan)
        self._dtype, self._width = setup.model.final_norm.scale.dtype, setup.weights.shape.emb_dim
        self._memory = options.memory
        self._entry: Entry | None = None
        if options.cache is not None:
            self._entry = options.cache.open({**options.run_key, **self._key()})
        self._place(self._lay_out(options.stages))

    def _key(self) -> dict[str, Any]:
        """What the states behind the prefix blocks depend on, besides the run's key.

        The visible token ids say it all of the messages: pads are among them where they can be seen.
        """
        ids = hashlib.sha256()
        for row, end in zip(self.messages.tokens, self.messages.visible.tolist(), strict=True):
            ids.update(end.to_bytes(8, "little") + row[:end].numpy().tobytes())
        return {
            "algorithm": ALGORITHM,
            "torch": torch.__version__,
            "device": self._device.type,
            "dtype": str(self._dtype),
            "model": dataclasses.asdict(self._weights.shape),
            "blocks": self._plan.prefix_blocks,
            "causal_mask": self._plan.causal,
            "messages": ids.hexdigest(),
        }

    def _lay_out(self, stages: list[dict[str, Tensor]]) -> list[list[Batch]]:
        placed: set[int] = set()
        layouts: list[list[Batch]] = []
        first_row = 0
        for stage in stages:
            wanted = torch.cat([self.messages.ids[split][indices] for split, indices in stage.items()]).tolist()
            new = [message for message in dict.fromkeys(wanted) if message not in placed]
            placed.update(new)
            batches = lay_out(self.messages.visible, torch.tensor(new, dtype=torch.long), first_row)
            layouts.append(batches)
            first_row = batches[-1].end if batches else first_row
        return layouts

    def _place(self, stages: list[list[Batch]]) -> None:
        """Settle which rows of the table are whose."""
        self.stages = stages
        self._rows = 0
        self._starts = torch.zeros(len(self.messages.visible), dtype=torch.long)
        for run in (run for stage in stages for batch in stage for run in batch.runs):
            self._starts[run.messages] = run.start + torch.arange(len(run.messages)) * run.length
            self._rows = run.end

    @torch.no_grad()
    def compute(self, stage: int, listener: Listener) -> None:
        """Get the features of one stage: run its messages through the frozen blocks, unless the cache has them."""
        if stage == 0:
            if self._entry is not None and self._load(self._entry):
                return
            self._table = self._allocate(0 if self.kind is Kind.VECTORS else self._rows)
            self._at_readout = self._allocate(0 if self.kind is Kind.STATES else len(self._starts))
        elif self.reused:
            return
        batches = self.stages[stage]
        positions = sum(batch.end - batch.start for batch in batches)
        listener.work_started("frozen prefix", positions * self._plan.prefix_blocks, "position×block")
        for chunk in self._chunks(batches):
            states = self._workspace(chunk)
            run_frozen_blocks(
                self._model,
                self._weights,
                self.messages.tokens,
                chunk,
                states,
                self._plan.prefix_blocks,
                listener.work_advanced,
            )
            if self._entry is not None:
                self._entry.append(states)
            self._derive(chunk, states)
        listener.work_ended()
        if self._entry is not None and stage == len(self.stages) - 1:
            runs = (run for stage in self.stages for batch in stage for run in batch.runs)
            layout = [(run.length, run.messages.tolist()) for run in runs]
            self._entry.finish(layout, self._width, self._dtype)

    def _load(self, entry: Entry) -> bool:
        """Take all features from the cache's entry, or begin to write it."""
        stored = entry.load()
        if stored is None:
            entry.start(self._rows * self._width * self._dtype.itemsize)
            return False
        self.reused = True
        batches, first_row = [], 0
        for length, messages in stored.layout:  # maybe by a run whose stages were cut elsewhere
            batches.append(Batch((Run(torch.tensor(messages), length, first_row),)))
            first_row = batches[-1].end
        self._place([batches])
        if self.kind is Kind.STATES:
            self._table = stored.table.to(self._device)
            return True
        self._table = self._allocate(0 if self.kind is Kind.VECTORS else self._rows)
        self._at_readout = self._allocate(len(self._starts))
        for chunk in self._chunks(batches):
            self._derive(chunk, stored.table[chunk[0].start : chunk[-1].end].to(self._device))
        return True

    def _allocate(self, rows: int) -> Tensor:
        if self._in_memory(rows):
            return torch.empty(rows, self._width, dtype=self._dtype, device=self._device)
        return temporary_table(rows, self._width, self._dtype)

    def _in_memory(self, rows: int) -> bool:
        return self._device.type != "cpu" or rows * self._width * self._dtype.itemsize <= self._memory

    def _chunks(self, batches: list[Batch]) -> Iterator[list[Batch]]:
        return chunks(batches, max(1, self._memory // (self._width * self._dtype.itemsize)))

    def _workspace(self, chunk: list[Batch]) -> Tensor:
        """Where the blocks work on a chunk: in place if the table is in memory. A mapped one is written just once."""
        rows = slice(chunk[0].start, chunk[-1].end)
        if self.kind is not Kind.VECTORS and self._in_memory(self._rows):
            return self._table[rows]
        return torch.empty(rows.stop - rows.start, self._width, dtype=self._dtype, device=self._device)

    def _derive(self, chunk: list[Batch], states: Tensor) -> None:
        """Turn the states behind the prefix blocks into the features of the plan's kind.

        Args:
            states: (rows, D) of the chunk; may be its part of the table.
        """
        if self.kind is Kind.STATES:
            part = self._table[chunk[0].start : chunk[-1].end]
            if part.data_ptr() != states.data_ptr():
                part.copy_(states)
            return
        one_position = not self._plan.pooled
        block: TransformerBlock | None = None
        if self.kind is Kind.VECTORS and one_position:
            block = read_block(self._model, self._weights, self._plan.n_blocks - 1, self._device)
        for run in (run for batch in chunk for run in batch.runs):
            x = run.view(states, chunk[0].start)
            taken_in = send(self.messages.taken_in[run.messages], self._device)
            if self.kind is Kind.NORMALISED:
                kept = read(x, taken_in, pooled=False)
                run.view(self._table).copy_(normalise(x))
            elif block is not None:
                at_position = block_at_position(block, read(x, taken_in, pooled=False), normalise(x), attended=None)
                kept = self._model.final_norm(at_position)
            else:
                kept = read(self._model.final_norm(x), taken_in, pooled=True)
            self._at_readout[send(run.messages, self._device)] = kept

    def rows(self, messages: Tensor, width: int) -> Tensor:
        """(B, width) where the states of some messages stand; behind its visible positions a message's last one is
        repeated."""
        own = torch.minimum(torch.arange(width), self.messages.visible[messages][:, None] - 1)
        return self._starts[messages][:, None] + own

    def at_readout(self, messages: Tensor) -> Tensor:
        """(B, D) classifier inputs (VECTORS) or last-block inputs at the position read (NORMALISED); of message numbers
        on the device."""
        return self._at_readout[messages]

    def states(self, rows: Tensor) -> Tensor:
        """(B, width, D) states that stand in these rows, given on the device."""
        return self._table[rows]


def attended_positions(visible: Tensor, width: int) -> Tensor | None:
    """(B, width) which positions a message's readout attends to; None if all messages see the full width."""
    if bool((visible == width).all()):
        return None
    return torch.arange(width) < visible[:, None]
