"""Trainable parameters of the rows of parameter-efficient fine-tuning, against formulas over GPT-2 small's shape."""

from __future__ import annotations

import pytest

from ablation.config.rows import ROW_SETS, row_config
from ablation.config.shapes import MODEL_SHAPES
from ablation.model.classifier import assemble

BLOCKS, D = 12, 768
HEAD = 2 * D + 2
SIX_MAPS = [(D, D)] * 4 + [(D, 4 * D), (4 * D, D)]  # (inputs, outputs)


def terms(rank: int, maps: list[tuple[int, int]]) -> int:
    return BLOCKS * sum(rank * (inputs + outputs) for inputs, outputs in maps)


def adapter(bottleneck: int) -> int:
    """Two projections, both with biases."""
    return D * bottleneck + bottleneck + bottleneck * D + D


EXPECTED = {
    20: terms(8, [(D, D)] * 2) + HEAD,
    21: terms(16, SIX_MAPS) + HEAD,
    22: terms(16, SIX_MAPS) + BLOCKS * (5 * D + 4 * D) + HEAD,  # a magnitude for every output
    23: terms(16, SIX_MAPS) + HEAD,
    24: BLOCKS * 2 * adapter(64) + HEAD,
    25: BLOCKS * adapter(64) + HEAD,
    26: BLOCKS * adapter(512) + HEAD,
    27: BLOCKS * (adapter(512) + 2 * 30 * D) + HEAD,
    28: BLOCKS * 2 * 30 * D + HEAD,
    29: 20 * D + HEAD,
    30: BLOCKS * (D + D + 4 * D) + HEAD,  # keys, values, the inner activation
    31: BLOCKS * (5 * D + 4 * D + 2 * D) + HEAD,  # of the linear maps, and the norms' shifts
    32: BLOCKS * 4 * D + HEAD,
    33: terms(8, SIX_MAPS) + 8 * (D + 2),  # the classifier's term in place of the classifier
}


def test_the_published_count_and_every_row() -> None:
    assert EXPECTED[33] == 1_333_264
    assert tuple(EXPECTED) == ROW_SETS["methods"]


@pytest.mark.parametrize("row", EXPECTED)
def test_what_a_row_trains(row: int) -> None:
    _, trainable = assemble(row_config(row), MODEL_SHAPES["gpt2-small (124M)"]).count_parameters()
    assert trainable == EXPECTED[row]
