"""The sizes of GPT-2, and the embedded miniature's: their names and dimensions."""

from __future__ import annotations

import re
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
# Of a model from scratch: far beyond what a machine can train, and little enough to be put together in a second and
# counted without an overflow, so that the estimate of memory can refuse it.
MOST_BLOCKS, GREATEST_WIDTH = 1000, 1_000_000
NANO = "gpt2-nano (demo)"  # the embedded miniature, with a vocabulary of its own; see demo/
ALL_SHAPES = {**MODEL_SHAPES, NANO: ModelShape(2000, 256, 112, 3, 4)}


HUB_NAMES = {"gpt2": "gpt2-small (124M)"}  # where Hugging Face's name is not the short one


def short_model_size(name: str) -> str:
    """A full name without its count of parameters, which needs no quotes in a shell: ``gpt2-small``."""
    return name.partition(" ")[0]


def canonical_model_size(text: str, sizes: Iterable[str] = tuple(MODEL_SHAPES)) -> str:
    """The full name of a model size given in full or short: ``gpt2-small (124M)``, ``gpt2-small``, ``small``, ``124M``,
    or ``gpt2`` as on Hugging Face; whatever its case, blanks and hyphens.

    Args:
        sizes: the names that are known here, by default GPT-2's own.

    Raises:
        ValueError: the name is not known; the message lists those that are.
    """
    names = tuple(sizes)
    for name in names:
        short, _, count = name.partition(" ")
        hub_names = [hub_name for hub_name, full in HUB_NAMES.items() if full == name]
        if _letters(text) in map(_letters, (name, short, short.removeprefix("gpt2-"), count, *hub_names)):
            return name
    return one_of(names)(text)


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
