"""The plain way to logits: all blocks over all positions at every step, through ``GPTModel.forward``. The oracle."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ablation.data.encode import send
from ablation.execution.base import Execution, at_least_float32
from ablation.execution.blocks import RecomputedBlocks
from ablation.execution.setup import Setup, arithmetic
from ablation.model.classifier import materialise
from ablation.model.readout import read


class NaiveExecution(Execution):
    """Everything at every step, batch by batch."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._read = setup.reach.taken_in, setup.reach.skipped
        materialise(setup.model, setup.weights, setup.device, setup.sources)
        if setup.plan.thrift.recomputes:
            self.model.trf_blocks = RecomputedBlocks(*self.model.trf_blocks)

    def logits(self, split: str, batches: Sequence[Tensor]) -> list[Tensor]:
        return [self._batch_logits(split, batch) for batch in batches]

    def _batch_logits(self, split: str, indices: Tensor) -> Tensor:
        tokens, placement = self._messages[split].batch(indices), self._messages[split].placement
        placed = placement.of(indices, tokens.shape[1]).to(self._device)
        taken_in, skipped = (send(part[split][indices], self._device) for part in self._read)
        with arithmetic(self._config, self._device):
            logits = self.model(send(tokens, self._device), placed.positions, placed.hidden)
            return at_least_float32(read(logits, taken_in, self.plan.pooled, skipped))
