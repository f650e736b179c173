"""How many operations a training step cannot do without: its matrix products, from the configuration alone.

A frozen weight needs its product forward and, where what enters it depends on something that trains, the product that
takes the gradient back to its input: two thirds of what training the weight would take. What a method adds has a third
product, for its own gradient. Nothing below the first trained part needs a gradient, and the last block is needed at
one position. Elementwise work (norms, activations, sums, the optimizer) is not counted.

Shapes: N positions of all messages of a batch, D width. All counts are multiplications and additions.
"""

from __future__ import annotations

from dataclasses import dataclass

from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import ModelShape

LOW_RANK = ("lora", "dora", "dylora")
ALL_MAPS = ("query", "key", "value", "out", "ff_in", "ff_out")


@dataclass(frozen=True)
class Batch:
    """What a step works on: so many messages of one number of positions, without what a method adds to them."""

    messages: int
    length: int


@dataclass
class Products:
    """Operations of one block at N positions, added up in the order of its computation."""

    positions: int
    total: float = 0

    def frozen(self, inputs: int, outputs: int, *, backward: bool) -> None:
        """A frozen weight; ``backward``: its input depends on something that trains."""
        self.total += 2 * self.positions * inputs * outputs * (2 if backward else 1)

    def trained(self, inputs: int, outputs: int, *, backward: bool) -> None:
        """A weight that trains: one product more, for its gradient."""
        self.total += 2 * self.positions * inputs * outputs * (3 if backward else 2)

    def pair(self, inputs: int, inner: int, outputs: int, *, backward: bool) -> None:
        """Two weights that train, one behind the other."""
        self.trained(inputs, inner, backward=backward)
        self.trained(inner, outputs, backward=True)


def targets(config: ExperimentConfig) -> tuple[str, ...]:
    """The linear maps that have a low-rank term."""
    if config.adaptation not in LOW_RANK:
        return ()
    return ALL_MAPS if config.method is None else tuple(str(config.lora_targets).split("+"))


def block_products(config: ExperimentConfig, width: int, positions: int, *, reached: bool) -> float:
    """Operations of an adapted block at all positions, those between queries, keys and values not counted.

    Args:
        reached: whether what enters the block depends on something that trains.
    """
    name, low_rank, made = config.adaptation, targets(config), Products(positions)
    biases = name == "bitfit"
    has_prefix, parallel = name in ("prefix_tuning", "hybrid"), name in ("parallel_adapter", "hybrid")

    def linear(place: str, inputs: int, outputs: int, backward: bool) -> bool:
        """Add a layer's products; returns whether what leaves it depends on something that trains."""
        made.frozen(inputs, outputs, backward=backward)
        if place in low_rank:
            made.pair(inputs, config.lora_rank, outputs, backward=backward)
            if name == "dora":  # the product of this size, for the norms
                made.total += 2 * inputs * config.lora_rank * outputs
        return backward or biases or place in low_rank or (name == "ia3" and place in ("key", "value"))

    def serial(backward: bool, here: bool) -> bool:
        if here:
            made.pair(width, config.bottleneck or 0, width, backward=backward)
        return backward or here

    own_norm = name in ("bitfit", "norms")
    projected = [linear(place, width, width, reached or own_norm) for place in ("query", "key", "value")]
    context = any(projected) or has_prefix
    after_attention = serial(linear("out", width, width, context), name == "serial_adapter" and both(config))
    between = reached or after_attention or own_norm
    if parallel:
        made.pair(width, config.bottleneck or 0, width, backward=between)
    inner = linear("ff_in", width, 4 * width, between) or name == "ia3"
    serial(linear("ff_out", 4 * width, width, inner), name == "serial_adapter")
    return made.total


def both(config: ExperimentConfig) -> bool:
    return config.adapter_after == "both"


def attention_operations(width: int, batch: Batch, extra_keys: int, extra_positions: int, *, causal: bool) -> float:
    """Scores and means of one block, forward; backward takes twice as much. ``4 D`` for each pair of positions."""
    length = batch.length + extra_positions
    seen = (length + 1) / 2 if causal else length
    return batch.messages * length * 4 * width * (seen + extra_keys)


def step_gflop(config: ExperimentConfig, shape: ModelShape, batch: Batch) -> float:
    """GFLOP that a training step of a method needs at the least, everything below ``--from_block`` computed before.

    The last block, at one position a message, is counted as its linear layers there and back.
    """
    width, prompt = shape.emb_dim, config.prompt_length or 0
    positions = batch.messages * (batch.length + prompt)
    total = 2 * 24.0 * batch.messages * width**2
    for block in range(config.first_adapted_block, shape.n_layers - 1):
        reached = block > config.first_adapted_block or prompt > 0
        total += block_products(config, width, positions, reached=reached)
        pairs = attention_operations(
            width, batch, config.prefix_length or 0, prompt, causal=not config.disable_causal_mask
        )
        total += pairs * (3 if reached or gradient_in_attention(config) else 1)
    return total / 1e9


def gradient_in_attention(config: ExperimentConfig) -> bool:
    """Whether a method trains anything before or within the attention of a block."""
    before = {"query", "key", "value"}.intersection(targets(config))
    return bool(before) or config.adaptation in ("prefix_tuning", "hybrid", "ia3", "bitfit", "norms")
