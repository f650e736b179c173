"""Where messages stand among their pads: side, end that is cut, positions, pads that nobody attends to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ablation.config.experiment import ExperimentConfig
from ablation.config.padding import PaddingSettings
from ablation.data.encode import cutting_in_words, encode_messages
from ablation.data.placement import Placement

PAD = 60
TEXTS = [[5, PAD, 7], [1, 2, 3, 4, 8, 9], [3]]


def encoded(**settings: Any) -> Any:
    return encode_messages(TEXTS, [0, 1, 0], 4, PAD, padded=True, padding=PaddingSettings(**settings))


def test_right_is_as_published() -> None:
    messages = encoded()
    assert messages.tokens.tolist() == [[5, PAD, 7, PAD], [1, 2, 3, 4], [3, PAD, PAD, PAD]]
    assert messages.starts.tolist() == [0, 0, 0] and messages.lengths.tolist() == [3, 4, 1]
    assert messages.placement == Placement()


def test_left() -> None:
    messages = encoded(padding_side="left", truncation_side="left")
    assert messages.tokens.tolist() == [[PAD, 5, PAD, 7], [3, 4, 8, 9], [PAD, PAD, PAD, 3]]
    assert messages.starts.tolist() == [1, 0, 3]
    assert messages.real_tokens() == [[5, PAD, 7], [3, 4, 8, 9], [3]]
    assert messages.placement.is_plain


def test_what_is_masked_and_shifted() -> None:
    placement = encoded(padding_side="left", mask_padding=True, shift_positions=True).placement
    assert placement.hidden.int().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert placement.positions.tolist() == [[0, 0, 1, 2], [0, 1, 2, 3], [0, 0, 0, 0]]
    right = encoded(mask_padding=True, shift_positions=True).placement
    assert right.hidden.int().tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]]
    assert right.positions is None and right.starts is None


def test_without_padding_none_of_it_matters() -> None:
    settings: dict[str, Any] = {"padding_side": "left", "mask_padding": True, "shift_positions": True}
    messages = encode_messages(TEXTS, [0, 1, 0], 6, PAD, padded=False, padding=PaddingSettings(**settings))
    assert messages.placement == Placement() and messages.tokens[2].tolist() == [3, *[PAD] * 5]
    assert ExperimentConfig(no_padding=True, batch_size=1, **settings)  # warned of, not refused


@pytest.mark.parametrize(
    ("width", "side", "expected"),
    [
        (4, "right", "cut at their end: 2 of 6 messages, to 4 tokens"),
        (4, "left", "cut at their beginning: 2 of 6 messages, to 4 tokens"),
        (6, "right", ""),
        (6, "left", "--truncation_side left has no effect: no message has more than 6 tokens"),
    ],
)
def test_how_many_are_cut_is_said(width: int, side: str, expected: str) -> None:
    padding = PaddingSettings(truncation_side=side)
    split = encode_messages(TEXTS, [0, 1, 0], width, PAD, padded=True, padding=padding)
    assert cutting_in_words({"train": split, "test": split}, padding) == expected


def test_the_first_messages_keep_their_places_and_the_others_theirs() -> None:
    """As where a run trains on the first so many messages alone."""
    messages = encoded(padding_side="left", truncation_side="left", mask_padding=True, shift_positions=True)
    parts = [messages.part(slice(1)), messages.part(slice(1, None))]
    assert [part.starts.tolist() for part in parts] == [[1], [0, 3]]
    assert [part.cut.tolist() for part in parts] == [[0], [2, 0]]
    for name in ("positions", "hidden"):
        found = [getattr(part.placement, name) for part in parts]
        assert torch.cat(found).equal(getattr(messages.placement, name))


def test_what_remains_of_rows_keeps_its_positions() -> None:
    placement = encoded(padding_side="left", mask_padding=True).placement
    kept = ~placement.hidden
    columns = kept.int().argsort(dim=1, descending=True, stable=True)
    found = placement.select(kept, columns)
    assert found.hidden is None and found.starts is None
    assert found.positions.tolist() == [[1, 2, 3, 3], [0, 1, 2, 3], [3, 1, 2, 3]]
    assert torch.equal(found.of(torch.tensor([2]), 1).positions, torch.tensor([[3]]))
