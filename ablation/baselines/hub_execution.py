"""Logits of another pretrained model, so that the published loop trains and evaluates it like any row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ablation.baselines.hf_models import HubModel, is_encoder
from ablation.config.baseline import HEAD, BaselineConfig
from ablation.execution.base import Execution, at_least_float32
from ablation.execution.plan import make_plan
from ablation.execution.setup import arithmetic
from ablation.listener import Listener
from ablation.words import messages_cut

PLAIN_SEEDS = 1 << 31  # those below stand for themselves, with the number of the update beside them
AT_A_TIME = 32  # messages that are evaluated together, those of similar length


class HubExecution(Execution):
    """A model of ``transformers`` over messages in its own tokens; pads are not attended to.

    In training its dropout is what its own configuration says. The masks follow from the seed and the number of the
    update alone: drawn from the global generator, they would change the order of the batches, which is published.

    Args:
        loaded: moved to the device, and trained in place.
        texts, labels: of each split.
    """

    def __init__(
        self,
        loaded: HubModel,
        texts: Mapping[str, Sequence[str]],
        labels: Mapping[str, Tensor],
        config: BaselineConfig,
        device: torch.device,
    ) -> None:
        self.model: Any = loaded.model.to(device)
        self.plan = make_plan(config, n_blocks=1)  # of which the loop asks only whether memory is to be saved
        self._loaded, self._config, self._device = loaded, config, device
        read = {split: loaded.token_lists(own) for split, own in texts.items()}
        self._tokens = {split: lists for split, (lists, _) in read.items()}
        self._cut = sum(cut for _, cut in read.values())
        self._lengths = {split: torch.tensor([len(own) for own in lists]) for split, lists in self._tokens.items()}
        self._labels = {split: own.to(device) for split, own in labels.items()}
        if config.trainable_layers == HEAD:
            self.model.base_model.requires_grad_(False)

    # ---- what the loop asks for --------------------------------------------------------------------------------------

    def logits(self, split: str, batches: Sequence[Tensor]) -> list[Tensor]:
        found = self._computed(split, torch.cat(list(batches)), self._batch_logits)
        return list(found.split([len(batch) for batch in batches]))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Everything that trains is decayed, as in row 1."""
        return [{"params": self.trainable_parameters(), "weight_decay": self._config.weight_decay}]

    @contextmanager
    def updating(self, number: int) -> Iterator[None]:
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(seed_of_update(self._config.seed, number))
            self.model.train()
            try:
                yield
            finally:
                self.model.eval()

    def uses(self) -> Mapping[str, None]:
        return {}

    def tell_what_is_cut(self, listener: Listener) -> None:
        if self._cut:
            listener.message(messages_cut(self._loaded.room, self._cut, sum(map(len, self._tokens.values()))))

    def count_parameters(self) -> tuple[int, int]:
        """(all, trainable)"""
        return sum(p.numel() for p in self.model.parameters()), sum(p.numel() for p in self.trainable_parameters())

    # ---- what a frozen model knows -----------------------------------------------------------------------------------

    @torch.no_grad()
    def vectors(self, split: str) -> Tensor:
        """(N, D) the last hidden states where they are read, see :meth:`_read`."""
        return self._computed(split, torch.arange(len(self._tokens[split])), self._batch_vectors)

    def _batch_vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        return self._read(at_least_float32(states), mask)

    def _read(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, D): the first real token, the last one, or the mean over all of them.

        ``last``, which for GPT-2 is a pad, is here what the model's own classifier reads: the first token of an encoder
        such as BERT, the last real one of a causal model.
        """
        if self._config.average_embeddings:
            return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        position = self._config.trainable_token_pos
        if position == "first" or (position == "last" and is_encoder(self.model)):
            read = mask.argmax(1)
        else:
            read = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        return states[torch.arange(len(states), device=states.device), read]

    # ---- computing ---------------------------------------------------------------------------------------------------

    def _batch_logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        return at_least_float32(self.model(input_ids=ids, attention_mask=mask).logits)

    def _computed(self, split: str, indices: Tensor, compute: Any) -> Tensor:
        """What ``compute`` makes of ids and mask, for each of some messages; many of them go by length."""
        order = torch.arange(len(indices))
        if len(indices) > AT_A_TIME:
            order = self._lengths[split][indices].argsort(stable=True)
        parts = []
        with arithmetic(self._config, self._device):
            for chosen in indices[order].split(AT_A_TIME):
                batch = self._loaded.batch([self._tokens[split][i] for i in chosen.tolist()])
                parts.append(compute(*(part.to(self._device) for part in batch)))
        return torch.cat(parts)[order.argsort().to(self._device)]


def seed_of_update(seed: int, number: int) -> int:
    """What the generator of an update is set to: 63 bits, which a large seed leaves no room for beside the number."""
    if seed < PLAIN_SEEDS:
        return (seed << 32) + number
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:8]) >> 1
