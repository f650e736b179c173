"""How many operations the mathematics needs, and how many a second the machine does at best."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor


def sgemm_rate(size: int = 2048, repeats: int = 9) -> float:
    """GFLOP/s of a square float32 product, median."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds) / 1e9


def blocks_gflop(lengths: Tensor, n_blocks: int, width: int, *, causal: bool) -> float:
    """GFLOP of taking messages of the given lengths (N,) forward through whole transformer blocks.

    Per position and block 24 D² for the linear layers, and 4 D for each position attended to.
    """
    lengths = lengths.double()
    attended = (lengths + 1) / 2 if causal else lengths
    return float((lengths * (24 * width**2 + 4 * width * attended)).sum()) * n_blocks / 1e9
