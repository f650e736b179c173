"""The weights that a language model is trained from when it starts from nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ablation.config.shapes import ModelShape

STANDARD_DEVIATION = 0.02  # as GPT-2 was initialised


def normal_weights(shape: ModelShape, seed: int) -> dict[str, Tensor]:
    """All tensors of a ``GPTModel`` whose vocabulary head is its own: matrices from a normal distribution with mean 0,
    drawn on the CPU in the order of :func:`_matrices`; biases 0, norms 1 and 0.

    Unlike PyTorch's own starting values, which the classifier without pretrained weights has.
    """
    torch.manual_seed(seed)
    tensors = {name: torch.empty(size).normal_(0, STANDARD_DEVIATION) for name, size in _matrices(shape)}
    width = shape.emb_dim
    norms = ["final_norm"]
    for block in range(shape.n_layers):
        prefix = f"trf_blocks.{block}"
        tensors |= {f"{prefix}.att.{part}.bias": torch.zeros(width) for part in _MAPS}
        tensors[f"{prefix}.ff.layers.0.bias"] = torch.zeros(4 * width)
        tensors[f"{prefix}.ff.layers.2.bias"] = torch.zeros(width)
        norms += [f"{prefix}.norm1", f"{prefix}.norm2"]
    for norm in norms:
        tensors |= {f"{norm}.scale": torch.ones(width), f"{norm}.shift": torch.zeros(width)}
    return tensors


_MAPS = ("W_query", "W_key", "W_value", "out_proj")


def _matrices(shape: ModelShape) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name and size (out, in) of what is drawn, in the order of the draws."""
    width = shape.emb_dim
    yield "tok_emb.weight", (shape.vocab_size, width)
    yield "pos_emb.weight", (shape.context_length, width)
    for block in range(shape.n_layers):
        prefix = f"trf_blocks.{block}"
        for part in _MAPS:
            yield f"{prefix}.att.{part}.weight", (width, width)
        yield f"{prefix}.ff.layers.0.weight", (4 * width, width)
        yield f"{prefix}.ff.layers.2.weight", (width, 4 * width)
    yield "out_head.weight", (shape.vocab_size, width)
