"""What a trained model answers, with as little as the answers need: packed messages, no pad that nothing depends on."""

from __future__ import annotations

import torch
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.data.encode import EncodedMessages, send
from ablation.execution.blocks import advance, logits_from_last_input
from ablation.execution.layout import Batch, PackedRun, lay_out
from ablation.execution.reach import attended_positions, find_reach, without_unread_pads
from ablation.execution.setup import arithmetic
from previous_chapters import GPTModel


class Answering:
    """Computes the logits of some messages.

    Args:
        model: with all its values, on the device.
    """

    def __init__(
        self, config: ExperimentConfig, model: GPTModel, messages: EncodedMessages, device: torch.device
    ) -> None:
        self._config, self._model, self._device = config, model, device
        pooled, whole = config.average_embeddings, {"": messages}
        fewer, self._reach = without_unread_pads(whole, find_reach(config, model, whole), pooled=pooled)
        self._messages = fewer[""]
        hidden = self._messages.placement.hidden
        self._hidden = None if hidden is None else model.with_extra(hidden)

    @torch.inference_mode()
    def logits(self, classes: int) -> Tensor:
        """(N, C) on the CPU, computed in batches of similar length."""
        model, device = self._model, self._device
        dtype = model.final_norm.scale.dtype  # not that of half-precision arithmetic
        logits = torch.empty(len(self._messages), classes, device=device, dtype=dtype)
        lengths = self._reach.visible[""] + model.n_extra
        with arithmetic(self._config, device):
            for batch in lay_out(lengths, torch.arange(len(self._messages)), first_row=0):
                states = self._before_the_last_block(batch)
                for run in batch.runs:
                    answers = self._answers(run, run.view(states, batch.start))
                    logits[send(run.messages, device)] = answers.to(dtype)
        return logits.cpu()

    def _before_the_last_block(self, batch: Batch) -> Tensor:
        """(R, D) of a batch's positions."""
        states = torch.cat([self._embedded(run).flatten(0, 1) for run in batch.runs])
        hidden = None if self._hidden is None else send(batch.packed(self._hidden), self._device)
        for block in list(self._model.trf_blocks)[:-1]:
            advance(block, states, batch, hidden)
        return states

    def _embedded(self, run: PackedRun) -> Tensor:
        """(B, T, D) what enters the first block, of the messages of a run."""
        own = run.length - self._model.n_extra
        positions = self._messages.placement.of(run.messages, own).positions
        tokens = send(self._messages.tokens[run.messages, :own], self._device)
        return self._model.embed(tokens, None if positions is None else send(positions, self._device))

    def _answers(self, run: PackedRun, x: Tensor) -> Tensor:
        """(B, C) from what enters the last block (B, T, D)."""
        reach, hidden = self._reach, self._hidden
        hidden = None if hidden is None else hidden[run.messages, : run.length]
        ends = reach.attended[""][run.messages] + self._model.n_extra
        return logits_from_last_input(
            self._model,
            x,
            send(reach.taken_in[""][run.messages], self._device),
            attended_positions(ends, run.length, self._device, hidden),
            pooled=self._config.average_embeddings,
            skipped=send(reach.skipped[""][run.messages], self._device),
            hidden=None if hidden is None else send(hidden, self._device),
        )
