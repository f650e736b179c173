"""What is kept of the frozen prefix: computed once per distinct message, then looked up at every step.

Depending on where a step starts (:class:`ablation.execution.plan.Start`), a message leaves behind one vector, the
normalised states that the last block attends to, or the states that enter the first trained block. All three follow
quickly from the states behind the prefix blocks, which cost nearly all of the time. So these are what a feature cache
keeps, and plans of different kinds share them (of the published table, rows 1, 3, 18 and 19 do, and rows 14, 15 and 16,
where the same tokens can be seen).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ablation.data.encode import send
from ablation.execution.blocks import last_block_at
from ablation.execution.distinct import find_distinct
from ablation.execution.feature_cache import FeatureCache
from ablation.execution.feature_file import Layout, StoredFeatures, temporary_table
from ablation.execution.frozen_prefix import read_block, run_frozen_blocks
from ablation.execution.layout import Batch, PackedRun, chunks, lay_out
from ablation.execution.plan import Start
from ablation.execution.reach import attended_positions
from ablation.execution.setup import Setup
from ablation.execution.single_query import is_plain, normalise
from ablation.files.snapshots import Snapshots
from ablation.listener import FROZEN_PASS, Listener
from ablation.model.readout import read

ALGORITHM = 2  # raised whenever the frozen prefix is computed in another way, so that older entries are left alone


@dataclass(frozen=True)
class FeatureOptions:
    """When features are computed, and where they are kept.

    Attributes:
        stages: for each stage, the messages it is the first to need: per split, indices. Computed in this order.
        memory: bytes of hidden states to hold at a time; a larger table is kept in a mapped temporary file.
        cache: where the states behind the prefix blocks are looked up, and kept if they are not there.
        run_key: what they depend on besides model and messages: the weights' digest, the precision, the tokenizer.
        snapshots: what a run that was cut off has computed, and where this one keeps it.
    """

    stages: list[dict[str, Tensor]]
    memory: int
    cache: FeatureCache | None = None
    run_key: Mapping[str, str] = field(default_factory=dict)
    snapshots: Snapshots | None = None


class PrefixFeatures:
    """The features of all messages, computed stage by stage or taken from a cache.

    Attributes:
        reused: whether they were there; known when the first stage has been computed.

    Raises:
        FeatureStorageError: no room for the temporary file, or the cache cannot be locked.
    """

    def __init__(self, setup: Setup, options: FeatureOptions) -> None:
        self._setup, self._memory, self._snapshots = setup, options.memory, options.snapshots
        self._start = setup.plan.start
        self._dtype, self._width = setup.model.final_norm.scale.dtype, setup.weights.shape.emb_dim
        self.messages = find_distinct(setup.messages, setup.reach)
        self.reused = False
        self._entry = None
        # Of blocks that a method has changed a key could not say what they compute.
        prefix = list(setup.model.trf_blocks)[: setup.plan.prefix_blocks]
        expected = setup.weights.shape.n_heads, setup.plan.causal
        if options.cache is not None and all(is_plain(block, *expected) for block in prefix):
            self._entry = options.cache.open({**options.run_key, **self._key()})
        self.stages = self._lay_out(options.stages)
        self._stages_done = 0
        self._place(self.stages)

    def _key(self) -> dict[str, Any]:
        """What the states behind the prefix blocks depend on, besides the run's key."""
        setup, longest = self._setup, int(self.messages.visible.max())
        key = {
            "algorithm": ALGORITHM,
            "torch": torch.__version__,
            "device": setup.device.type,
            "dtype": str(self._dtype),
            "model": dataclasses.asdict(setup.weights.shape),
            "blocks": setup.plan.prefix_blocks,
            "causal_mask": setup.plan.causal,
            "messages": self.messages.digest(),
        }
        if placement := self.messages.placement_digest():
            key["placement"] = placement
        positions = setup.model.positions(longest)
        if not torch.equal(positions, torch.arange(longest)):
            key["positions"] = hashlib.sha256(positions.numpy().tobytes()).hexdigest()
        return key

    # ---- where whose states lie --------------------------------------------------------------------------------------

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
        self._rows = 0
        self._starts = torch.zeros(len(self.messages.visible), dtype=torch.long)
        for run in _runs(stages):
            self._starts[run.messages] = run.start + torch.arange(len(run.messages)) * run.length
            self._rows = run.end

    # ---- computing or reading ----------------------------------------------------------------------------------------

    @torch.no_grad()
    def compute(self, stage: int, listener: Listener) -> None:
        """Get the features of one stage: run its messages through the frozen blocks, unless the cache has them.

        Raises:
            ValueError: stages are computed in their order, each once.
        """
        if stage != self._stages_done:
            raise ValueError(f"stage {stage} of the features asked for, stage {self._stages_done} is next")
        self._stages_done += 1
        if stage == 0:
            stored = None if self._entry is None else self._entry.load()
            if stored is not None:
                self._take(stored)
            else:
                self._begin()
        if not self.reused:
            self._run(self.stages[stage], listener)
            if self._stages_done == len(self.stages) and self._entry is not None:
                layout: Layout = [(run.length, run.messages.tolist()) for run in _runs(self.stages)]
                self._entry.finish(layout, self._width, self._dtype)

    def _begin(self) -> None:
        """Make room for the features; in the cache for the states."""
        if self._entry is not None:
            self._entry.start(self._rows * self._width * self._dtype.itemsize)
        self._table = self._allocate(0 if self._start is Start.VECTOR else self._rows)
        self._at_readout = self._allocate(0 if self._start is Start.STATES else len(self._starts))

    def _run(self, batches: list[Batch], listener: Listener) -> None:
        """Take messages through the frozen blocks, chunk by chunk, and keep what is wanted of them."""
        messages = sum(len(run.messages) for run in _runs([batches]))
        listener.work_started(FROZEN_PASS, messages, "messages")
        positions = sum(batch.end - batch.start for batch in batches)
        done = _MessagesDone(listener, messages, positions * self._setup.plan.prefix_blocks)
        for chunk in self._chunks(batches):
            states = self._workspace(chunk)
            self._through_frozen_blocks(chunk, states, done.advance)
            if self._entry is not None:
                self._entry.append(states)
            self._derive(chunk, states)
        listener.work_ended()

    def _through_frozen_blocks(self, chunk: list[Batch], states: Tensor, advanced: Callable[[int], None]) -> None:
        """The states of one chunk, from its snapshot on if there is one. While it is computed, a new one is kept after
        a block whenever it is time, and of a run that is old enough for any, all that is finished."""
        snapshots, blocks = self._snapshots, self._setup.plan.prefix_blocks
        name, rows = f"features.{chunk[0].start}", chunk[-1].end - chunk[0].start
        done = 0
        if snapshots is not None and (kept := snapshots.read(name)) is not None and kept.facts["rows"] == rows:
            states.copy_(kept.tensors["states"])
            done = kept.facts["blocks"]
            advanced(rows * done)

        def keep(blocks_done: int) -> None:
            finished = blocks_done == blocks
            if snapshots is not None and (snapshots.is_due or (finished and snapshots.has_begun)):
                snapshots.write(name, {"states": states}, {"blocks": blocks_done, "rows": rows})

        run_frozen_blocks(self._setup, self.messages, chunk, states, advanced, done=done, block_ended=keep)

    def _take(self, stored: StoredFeatures) -> None:
        """All features from the states that the cache has, in the layout of the run that kept them."""
        self.reused = True
        batches, first_row = [], 0
        for length, messages in stored.layout:
            batches.append(Batch((PackedRun(torch.tensor(messages), length, first_row),)))
            first_row = batches[-1].end
        self._place([batches])
        if self._start is Start.STATES:
            self._table = stored.table.to(self._setup.device)
            return
        self._table = self._allocate(0 if self._start is Start.VECTOR else self._rows)
        self._at_readout = self._allocate(len(self._starts))
        for chunk in self._chunks(batches):
            self._derive(chunk, stored.table[chunk[0].start : chunk[-1].end].to(self._setup.device))

    def _allocate(self, rows: int) -> Tensor:
        if self._in_memory(rows):
            return torch.empty(rows, self._width, dtype=self._dtype, device=self._setup.device)
        return temporary_table(rows, self._width, self._dtype)

    def _in_memory(self, rows: int) -> bool:
        return self._setup.device.type != "cpu" or rows * self._width * self._dtype.itemsize <= self._memory

    def _chunks(self, batches: list[Batch]) -> Iterator[list[Batch]]:
        return chunks(batches, max(1, self._memory // (self._width * self._dtype.itemsize)))

    def _workspace(self, chunk: list[Batch]) -> Tensor:
        """Where the blocks work on a chunk: in place if the table is in memory. A mapped one is written just once."""
        rows = slice(chunk[0].start, chunk[-1].end)
        if self._start is not Start.VECTOR and self._in_memory(self._rows):
            return self._table[rows]
        return torch.empty(rows.stop - rows.start, self._width, dtype=self._dtype, device=self._setup.device)

    def _derive(self, chunk: list[Batch], states: Tensor) -> None:
        """Turn the states (rows, D) behind the prefix blocks, which may be the chunk's part of the table, into what a
        step starts from."""
        if self._start is Start.STATES:
            part = self._table[chunk[0].start : chunk[-1].end]
            if part.data_ptr() != states.data_ptr():
                part.copy_(states)
            return
        setup = self._setup
        last = None
        if self._start is Start.VECTOR and not setup.plan.pooled:
            last = read_block(setup, setup.plan.n_blocks - 1)
        for run in (run for batch in chunk for run in batch.runs):
            x = run.view(states, chunk[0].start)
            taken_in = send(self.messages.taken_in[run.messages], setup.device)
            skipped = send(self.messages.skipped[run.messages], setup.device)
            if self._start is Start.NORMALISED:
                kept = read(x, taken_in, pooled=False)
                run.view(self._table).copy_(normalise(x))
            elif last is None:
                kept = read(setup.model.final_norm(x), taken_in, pooled=True, skipped=skipped)
            else:
                hidden = self.messages.placement.of(run.messages, run.length).hidden
                ends = self.messages.attended[run.messages]
                attended = attended_positions(ends, run.length, setup.device, hidden)
                kept = setup.model.final_norm(last_block_at(last, x, taken_in, attended))
            self._at_readout[send(run.messages, setup.device)] = kept

    # ---- looking up --------------------------------------------------------------------------------------------------

    def rows(self, messages: Tensor, width: int) -> Tensor:
        """(B, width) where the states of some messages stand; behind its visible positions a message's last one is
        repeated."""
        own = torch.minimum(torch.arange(width), self.messages.visible[messages][:, None] - 1)
        return self._starts[messages][:, None] + own

    def at_readout(self, messages: Tensor) -> Tensor:
        """(B, D) what is kept of the position read; of message numbers on the device."""
        return self._at_readout[messages]

    def states(self, rows: Tensor) -> Tensor:
        """(B, width, D) states that stand in these rows, given on the device."""
        return self._table[rows]


class _MessagesDone:
    """Tells of the frozen pass in messages. It goes block by block, so a message counts by its share of what is done.

    Args:
        messages: of the pass.
        work: positions of the pass times blocks.
    """

    def __init__(self, listener: Listener, messages: int, work: int) -> None:
        self._listener, self._messages, self._work, self._done = listener, messages, work, 0

    def advance(self, positions: int) -> None:
        """So many positions have gone through one more block."""
        before = self._done * self._messages // self._work
        self._done += positions
        self._listener.work_advanced(self._done * self._messages // self._work - before)


def _runs(stages: list[list[Batch]]) -> Iterator[PackedRun]:
    return (run for stage in stages for batch in stage for run in batch.runs)
