"""Which hidden states the classifier reads: a registry of readouts.

A readout says how many positions of each message it takes in, counted from its first real token. A single-position
readout reads the last of them; a pooled one reads their mean. With the causal mask, nothing behind them can matter. A
new readout is one function and one entry here, and its name in ``ablation/config/padding.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def first(lengths: Tensor, widths: Tensor) -> Tensor:
    return torch.ones_like(widths)


def last(lengths: Tensor, widths: Tensor) -> Tensor:
    return widths


def flexible(lengths: Tensor, widths: Tensor) -> Tensor:
    return lengths


# readout name -> (real tokens (N,), positions from the first of them on (N,)) -> positions taken in (N,), at least 1
READOUTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"first": first, "last": last, "flexible": flexible}


def read(hidden: Tensor, taken_in: Tensor, pooled: bool, skipped: Tensor | None = None) -> Tensor:
    """Take the classifier's input from hidden states.

    Args:
        hidden: (B, T, D).
        taken_in: (B,) positions up to and including the last one taken in, 1 to T.
        pooled: whether to average them instead of taking the last of them.
        skipped: (B,) how many of them stand before the first one taken in; None for none.

    Returns:
        (B, D)
    """
    if not pooled:
        return hidden[torch.arange(len(hidden), device=hidden.device), taken_in - 1]
    skipped = torch.zeros_like(taken_in) if skipped is None else skipped
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    counted = (positions >= skipped[:, None]) & (positions < taken_in[:, None])  # (B, T)
    return (hidden * counted[..., None]).sum(1) / (taken_in - skipped)[:, None]
