"""What has to be computed, how often, and at which positions: the plan of a run.

Three facts make the plan, none of which changes the mathematics. Frozen blocks give the same states in every epoch.
With the causal mask, positions behind the one that is read cannot influence it. And the last block is needed only
where it is read.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.data.encode import EncodedMessages
from ablation.methods.layers import first_trainable_block
from ablation.model.classifier import WeightSource, build_classifier
from ablation.model.readout import READOUTS
from ablation.words import plural
from previous_chapters import GPTModel


@dataclass(frozen=True)
class ExecutionPlan:
    """What of the model is frozen, and what of each message matters.

    Attributes:
        n_blocks: blocks of the model.
        first_block: first block with a trainable parameter; ``n_blocks`` if none, -1 if the embeddings train.
        pooled: the readout is a mean, so that the last block is needed at every position taken in.
        causal: no position depends on later ones.
        taken_in: per split, (N,) positions up to and including the last one read.
        visible: per split, (N,) positions on which the readout can depend.
    """

    n_blocks: int
    first_block: int
    pooled: bool
    causal: bool
    taken_in: dict[str, Tensor]
    visible: dict[str, Tensor]

    @property
    def keeps_features(self) -> bool:
        """Whether anything is computed once and kept; otherwise every step starts from the token ids."""
        return self.first_block > 0

    @property
    def prefix_blocks(self) -> int:
        """Blocks at the beginning that are computed once, at every visible position."""
        whole = self.n_blocks if self.pooled else self.n_blocks - 1
        return max(0, min(self.first_block, whole))

    def describe(self) -> str:
        """The plan in one line."""
        last = self.n_blocks - 1
        lengths = torch.cat(list(self.visible.values())).tolist()
        span = f"{max(lengths)}" if len(set(lengths)) == 1 else f"{min(lengths)} to {max(lengths)}"
        size = f"{plural(len(lengths), 'message')} × {span} position{'' if span == '1' else 's'}"
        read_at = "every position" if self.pooled else "1 position"
        if self.first_block == self.n_blocks:
            return f"plan: {_blocks(0, last)} frozen, computed once over {size}; classifier on 1 vector per message"
        if self.keeps_features:
            parts = [f"{_blocks(0, self.first_block - 1)} frozen, computed once over {size}"]
        else:
            parts = [f"nothing frozen that could be computed once; {size}"]
        first = max(0, self.first_block)
        if first < last:
            parts.append(f"{_blocks(first, last - 1)} at every position")
        parts.append(f"{_blocks(last, last)} at {read_at}")
        return "plan: " + "; ".join(parts)


def _blocks(first: int, last: int) -> str:
    return f"block {first}" if first == last else f"blocks {first}–{last}"


def make_plan(config: ExperimentConfig, model: GPTModel, messages: dict[str, EncodedMessages]) -> ExecutionPlan:
    """Derive the plan from what trains, what is read, and whether positions can look ahead."""
    causal = not config.disable_causal_mask
    readout = READOUTS[config.trainable_token_pos]
    taken_in = {name: readout(split.lengths, split.widths()) for name, split in messages.items()}
    return ExecutionPlan(
        n_blocks=len(model.trf_blocks),
        first_block=first_trainable_block(model),
        pooled=config.average_embeddings,
        causal=causal,
        taken_in=taken_in,
        visible=taken_in if causal else {name: split.widths() for name, split in messages.items()},
    )


@dataclass(frozen=True)
class Setup:
    """What an execution works on.

    Attributes:
        model: the classifier; its values are still in ``weights``.
        messages: per split.
    """

    config: ExperimentConfig
    weights: WeightSource
    messages: dict[str, EncodedMessages]
    device: torch.device
    model: GPTModel
    plan: ExecutionPlan


def make_setup(
    config: ExperimentConfig,
    weights: WeightSource,
    messages: dict[str, EncodedMessages],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Setup:
    """Build the classifier that the configuration names, in the weights' shape, and plan its execution."""
    model = build_classifier(config, weights.shape).to(dtype)
    return Setup(config, weights, messages, device, model, make_plan(config, model, messages))


def arithmetic(config: ExperimentConfig, device: torch.device) -> AbstractContextManager:
    """The context in which hidden states and logits are computed at the configured precision."""
    if config.precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
