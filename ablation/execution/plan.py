"""What has to be computed, how often, and at which positions: the plan of a run, from its configuration alone.

Three facts make the plan, none of which changes the mathematics. Frozen blocks give the same states in every epoch.
With the causal mask, positions behind the one that is read cannot influence it. And the last block is needed only
where it is read. This module needs no torch and no model. Blocks count from 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ablation.config.experiment import RANDOM, ExperimentConfig, identity
from ablation.config.padding import FIRST, LAST, LEFT, PADDING
from ablation.words import plural


class Start(Enum):
    """What a training step starts from: what it has of each message."""

    TOKENS = "its token ids"
    STATES = "the states that enter the first trained block"
    NORMALISED = "the normalised states that the last block attends to, and its input where it is read"
    VECTOR = "the classifier's input"


class Seen(Enum):
    """On which positions of each message the classifier's answer can depend."""

    FIRST = "the first"
    OWN = "as many as its own length says"
    ALL = "all, pads included"


class Thrift(Enum):
    """What a training step does to take less memory, in the order in which it is tried; its numbers stay the same."""

    NONE = ""
    GRADIENTS = "each parameter updated in the backward pass, once its gradient is there"
    ACTIVATIONS = f"{GRADIENTS}; blocks computed again there"

    @property
    def updates_early(self) -> bool:
        """Whether the optimizer steps inside the backward pass, so that a gradient lives but shortly."""
        return self is not Thrift.NONE

    @property
    def recomputes(self) -> bool:
        """Whether of a block nothing but its input is kept for the backward pass."""
        return self is Thrift.ACTIVATIONS


@dataclass(frozen=True)
class ExecutionPlan:
    """What of the model is frozen, and what of each message matters.

    Attributes:
        n_blocks: blocks of the model.
        first_block: the first with anything trained or added in it; ``n_blocks`` if there is none.
        embeddings_train: so that nothing can be computed once.
        pooled: the readout is a mean, so that the last block is needed at every position taken in.
        causal: no position depends on later ones.
        seen: positions that matter.
        one_length: all messages are seen at the same number of positions.
        whole_last: the last block is none that can be computed at one position only.
        feature_group: equal for runs that share what is computed once, but for the messages; None if nothing is.
        thrift: for whoever knows what memory there is to choose (:func:`ablation.run.memory.estimate_memory`).
    """

    n_blocks: int
    first_block: int
    embeddings_train: bool
    pooled: bool
    causal: bool
    seen: Seen
    one_length: bool
    whole_last: bool = False
    feature_group: Hashable = None
    thrift: Thrift = Thrift.NONE

    @property
    def start(self) -> Start:
        if self.embeddings_train or self.first_block == 0:
            return Start.TOKENS
        if self.first_block == self.n_blocks:
            return Start.VECTOR
        if self.first_block == self.n_blocks - 1 and not (self.pooled or self.whole_last):
            return Start.NORMALISED
        return Start.STATES

    @property
    def keeps_features(self) -> bool:
        """Whether anything is computed once and kept; otherwise every step starts from the token ids."""
        return self.start is not Start.TOKENS

    @property
    def prefix_blocks(self) -> int:
        """Blocks at the beginning that are computed once, at every visible position."""
        whole = self.n_blocks if self.pooled else self.n_blocks - 1
        return min(self.first_block, whole) if self.keeps_features else 0

    @property
    def reads_once(self) -> bool:
        """Whether a step goes through no block at more than one position."""
        return self.start in (Start.VECTOR, Start.NORMALISED)

    @property
    def whole_blocks(self) -> int:
        """Blocks that a training step computes at every visible position."""
        if self.start is Start.VECTOR:
            return 0
        first = self.first_block if self.keeps_features else 0
        return self.n_blocks - first - (not (self.pooled or self.whole_last))

    def describe(self, lengths: Sequence[int] = ()) -> str:
        """The plan in one line; ``lengths`` are the positions at which each message is seen, where they are known."""
        last = self.n_blocks - 1
        size = "each message"
        if lengths:
            span = f"{max(lengths)}" if len(set(lengths)) == 1 else f"{min(lengths)} to {max(lengths)}"
            size = f"{plural(len(lengths), 'message')} × {span} position{'' if span == '1' else 's'}"
        if self.start is Start.VECTOR:
            return f"plan: {_blocks(0, last)} frozen, computed once over {size}; classifier on 1 vector per message"
        if self.keeps_features:
            parts = [f"{_blocks(0, self.first_block - 1)} frozen, computed once over {size}"]
        else:
            parts = [f"nothing frozen that could be computed once; {size}"]
        first = self.first_block if self.keeps_features else 0
        if first < last:
            parts.append(f"{_blocks(first, last - 1)} at every position")
        everywhere = self.pooled or self.whole_last
        parts.append(f"{_blocks(last, last)} at {'every position' if everywhere else '1 position'}")
        return "plan: " + "; ".join(filter(None, [*parts, self.thrift.value]))


def _blocks(first: int, last: int) -> str:
    """For a person, who counts them from 1 as in ``--from_block``."""
    return f"block {first + 1}" if first == last else f"blocks {first + 1}–{last + 1}"


def make_plan(config: ExperimentConfig, n_blocks: int | None = None) -> ExecutionPlan:
    """Derive the plan from what trains, what is read, and whether positions can look ahead.

    Args:
        n_blocks: blocks of the model, where it is not of the configuration's shape.
    """
    method, n_blocks = config.declaration, n_blocks or config.shape.n_layers
    first_block = max(method.first_block(n_blocks), config.first_adapted_block)
    seen = _seen(config)
    plan = ExecutionPlan(
        n_blocks=n_blocks,
        first_block=first_block,
        embeddings_train=method.embeddings_train,
        pooled=config.average_embeddings,
        causal=not config.disable_causal_mask,
        seen=seen,
        one_length=seen is Seen.FIRST or (seen is Seen.ALL and not config.no_padding),
    )
    if config.execution == "naive" or not plan.keeps_features:
        return plan
    return replace(plan, feature_group=_feature_group(config, plan))


def _seen(config: ExperimentConfig) -> Seen:
    """With the causal mask, what is read decides; without, every position sees all others, but no pad that is
    hidden."""
    read, before = config.trainable_token_pos, config.padding_side == LEFT and not config.no_padding
    no_pads = config.no_padding or config.mask_padding
    if read == LAST and config.average_embeddings and not config.no_padding:
        return Seen.ALL  # a mean takes in the pads, whoever else sees them
    everything = Seen.OWN if no_pads else Seen.ALL
    if config.disable_causal_mask or read == LAST:
        return everything
    if read == FIRST:
        return Seen.OWN if before and not no_pads else Seen.FIRST
    return everything if before else Seen.OWN


def _feature_group(config: ExperimentConfig, plan: ExecutionPlan) -> Hashable:
    """What the states behind the prefix depend on, besides the messages. (A feature's own key knows these, too; this
    serves the order of runs alone: were it wrong, runs would be slower, not different.)"""
    weights = (RANDOM, config.seed) if config.weights == RANDOM else config.weights_path
    settings = identity(config)
    placed = {name: settings[name] for name in PADDING if name in settings}
    if {"mask_padding", "shift_positions"} <= placed.keys() and plan.seen is not Seen.ALL:  # as without padding
        placed = {name: value for name, value in placed.items() if name == "truncation_side"}
    padded = config.context_length if plan.seen is Seen.ALL or placed else None
    used = config.n_train if config.feature_cache is None else None  # what is kept is kept of all training messages
    model = config.model_in_use, config.shape, weights, config.precision
    return (*model, plan.prefix_blocks, plan.causal, plan.seen, padded, used, *placed.items())
