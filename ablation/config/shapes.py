"""The sizes of GPT-2, and the embedded miniature's: their names and dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ablation.config.values import one_of


@dataclass(frozen=True)
class ModelShape:
    """The dimensions of a GPT-2. Queries, keys and values have biases; dropout is 0 throughout."""

    vocab_size: int
    context_length: int
    emb_dim: int
    n_layers: int
    n_heads: int


MODEL_SHAPES: dict[str, ModelShape] = {
    "gpt2-small (124M)": ModelShape(50257, 1024, 768, 12, 12),
    "gpt2-medium (355M)": ModelShape(50257, 1024, 1024, 24, 16),
    "gpt2-large (774M)": ModelShape(50257, 1024, 1280, 36, 20),
    "gpt2-xl (1558M)": ModelShape(50257, 1024, 1600, 48, 25),
}
NANO = "gpt2-nano (demo)"  # the embedded miniature, with a vocabulary of its own; see demo/
ALL_SHAPES = {**MODEL_SHAPES, NANO: ModelShape(2000, 256, 112, 3, 4)}


def canonical_model_size(text: str, sizes: Iterable[str] = tuple(MODEL_SHAPES)) -> str:
    """The full name of a model size given in full or short: ``gpt2-small (124M)``, ``gpt2-small``, ``124M``.

    Args:
        sizes: the names that are known here, by default GPT-2's own.

    Raises:
        ValueError: the name is not known; the message lists those that are.
    """
    for name in sizes:
        short, _, count = name.partition(" ")
        if text.strip().lower() in (name.lower(), short.lower(), count.strip("()").lower()):
            return name
    return one_of(sizes)(text)
