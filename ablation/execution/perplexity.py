"""GPT-2 as a language model, with little memory: a block at a time, nothing padded, few rows of logits at once.

Shapes: R rows (positions of several texts, one behind the other), D width, V vocabulary, L extra positions.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablation.data.encode import send
from ablation.execution.blocks import advance
from ablation.execution.layout import Batch, lay_out
from ablation.execution.vocabulary_loss import weighted_loss
from ablation.model.classifier import WeightSource, materialise
from previous_chapters import GPTModel


@dataclass(frozen=True)
class Trunk:
    """A GPT-2 but for its head; its parts get their values when their turn comes.

    Attributes:
        model: has values where there are others than the base's; the rest is on the meta device. It is used up.
        weights: the base's.
        sources: as :func:`ablation.model.classifier.materialise` takes them.
    """

    model: GPTModel
    weights: WeightSource
    sources: Mapping[str, str] | None = None

    def block(self, index: int, device: torch.device) -> nn.Module:
        """A copy of one of the blocks, with its values."""
        block = copy.deepcopy(self.model.trf_blocks[index])
        materialise(block, self.weights, device, self.sources, prefix=f"trf_blocks.{index}")
        return block

    def part(self, name: str, device: torch.device) -> nn.Module:
        """A part of the model, with its values."""
        part = self.model.get_submodule(name)
        materialise(part, self.weights, device, self.sources, prefix=name)
        return part


@torch.no_grad()
def token_losses(
    trunk: Trunk,
    head: Tensor,
    sequences: Sequence[Sequence[int]],
    device: torch.device,
    advanced: Callable[[int], None] = lambda blocks: None,
) -> list[Tensor]:
    """Negative log-likelihood, in nats, of each token of some texts but the first, given those before it.

    Args:
        head: (V, D) the vocabulary head's weight.
        sequences: token ids of each text, at least two. Of one that is longer than the model's context, the end is
            left out.
        advanced: told after each block that one more is done.

    Returns:
        For each text (tokens - 1,), in float64 on the CPU.
    """
    n_extra = trunk.model.n_extra
    room = trunk.model.pos_emb.num_embeddings - n_extra
    texts = [torch.tensor(ids[: room + 1]) for ids in sequences]
    lengths = torch.tensor([len(text) - 1 for text in texts])
    batches = lay_out(lengths + n_extra, torch.arange(len(texts)), first_row=0)
    states = _embedded(trunk, texts, batches, device)
    for index in range(len(trunk.model.trf_blocks)):
        block = trunk.block(index, device)
        for batch in batches:
            advance(block, batch.rows(states), batch)
        advanced(1)
    norm, losses = trunk.part("final_norm", device), list[Tensor]([torch.empty(0)] * len(texts))
    head = head.to(device, states.dtype)
    for batch in batches:
        messages = torch.cat([run.messages for run in batch.runs]).tolist()
        hidden = norm(torch.cat([run.view(states)[:, n_extra:].flatten(0, 1) for run in batch.runs]))  # (R, D)
        targets = send(torch.cat([texts[message][1:] for message in messages]), device)
        _, own = weighted_loss(hidden, head, targets, torch.ones_like(hidden[:, 0]))
        for message, part in zip(messages, own.cpu().double().split(lengths[messages].tolist()), strict=True):
            losses[message] = part
    return losses


def _embedded(trunk: Trunk, texts: list[Tensor], batches: list[Batch], device: torch.device) -> Tensor:
    """(R, D) what enters the first block."""
    model = trunk.model
    for name in ("tok_emb", "pos_emb", *(["extra"] if model.extra is not None else [])):
        trunk.part(name, device)
    weight = model.tok_emb.weight
    states = torch.empty(batches[-1].end, weight.shape[1], device=device, dtype=weight.dtype)
    for run in (run for batch in batches for run in batch.runs):
        tokens = torch.stack([texts[message][:-1] for message in run.messages.tolist()])
        run.view(states).copy_(model.embed(send(tokens, device)))
    return states


def perplexity(losses: Sequence[Tensor]) -> float | None:
    """exp of the mean over all tokens; None if that is no finite number."""
    try:
        found = math.exp(float(torch.cat(list(losses)).mean()))
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
