"""Which hidden states are read."""

from __future__ import annotations

import pytest
import torch

from ablation.data.encode import encode_messages
from ablation.model.readout import READOUTS, read

PAD = 50256
LISTS = [[5, PAD, 7], [PAD, PAD], [3], [1, 2, 3, 4, 5, 6], [9, 9, PAD, PAD]]  # holding pads, one token, full width
LENGTHS = [3, 2, 1, 6, 4]


@pytest.mark.parametrize(
    ("readout", "padded", "expected"),
    [
        ("first", True, [1, 1, 1, 1, 1]),
        ("last", True, [6, 6, 6, 6, 6]),
        ("flexible", True, LENGTHS),
        ("first", False, [1, 1, 1, 1, 1]),
        ("last", False, LENGTHS),
        ("flexible", False, LENGTHS),
    ],
)
def test_positions(readout: str, padded: bool, expected: list[int]) -> None:
    messages = encode_messages(LISTS, [0] * 5, 6, PAD, padded=padded)
    assert READOUTS[readout](messages.lengths, messages.widths()).tolist() == expected


def test_a_single_position_is_the_last_taken_in() -> None:
    hidden = torch.arange(24.0).view(2, 4, 3)
    assert read(hidden, torch.tensor([1, 4]), pooled=False).tolist() == [[0, 1, 2], [21, 22, 23]]


def test_pooling_is_the_mean_over_what_is_taken_in() -> None:
    """With the flexible readout that is the mean over the real tokens, whatever stands behind them."""
    hidden = torch.randn(3, 5, 4, dtype=torch.float64)
    lengths = torch.tensor([2, 5, 1])
    expected = torch.stack([message[:length].mean(0) for message, length in zip(hidden, lengths, strict=True)])
    torch.testing.assert_close(read(hidden, lengths, pooled=True), expected)
    hidden[0, 2:] = 1e6
    torch.testing.assert_close(read(hidden, lengths, pooled=True), expected)
