"""Keys and values that are kept for what comes next: several positions at once, many sentences after one beginning."""

from __future__ import annotations

import pytest
import torch

from ablation.config.shapes import ModelShape
from ablation.model.key_value_cache import KeyValueCache
from previous_chapters import GPTModel

SHAPE = ModelShape(vocab_size=53, context_length=16, emb_dim=32, n_layers=3, n_heads=4)


@pytest.fixture(scope="module")
def model() -> GPTModel:
    torch.manual_seed(3)
    return GPTModel(SHAPE).double().eval()


def uncached(model: GPTModel, tokens: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor(tokens))[:, -1]


def test_several_positions_at_once_are_those_one_by_one(model: GPTModel) -> None:
    beginning, endings = [5, 7, 9], [[1, 2, 3, 4], [52, 0, 0, 8]]
    cache = KeyValueCache(model, beginning, 1, limit=3).for_sentences(2, limit=9)
    cache.read(torch.tensor(endings))
    torch.testing.assert_close(cache.logits, uncached(model, [beginning + ending for ending in endings]))
    cache.step(torch.tensor([11, 12]))
    expected = uncached(model, [beginning + ending + [last] for ending, last in zip(endings, [11, 12], strict=True)])
    torch.testing.assert_close(cache.logits, expected)
    cache.read(torch.tensor([[6], [13]]))
    torch.testing.assert_close(
        cache.logits, uncached(model, [beginning + endings[0] + [11, 6], beginning + endings[1] + [12, 13]])
    )


def test_a_beginning_stays_as_it_is(model: GPTModel) -> None:
    beginning = KeyValueCache(model, [5, 7], 1, limit=2)
    before = beginning.logits.clone()
    for ending in ([1, 2, 3], [4]):
        one = beginning.for_sentences(1, limit=6)
        one.read(torch.tensor([ending]))
        torch.testing.assert_close(one.logits, uncached(model, [[5, 7, *ending]]))
    assert torch.equal(beginning.logits, before) and (beginning.length, beginning.rows) == (2, 1)


def test_several_sentences_are_no_beginning(model: GPTModel) -> None:
    with pytest.raises(ValueError, match="has 2 sentences"):
        KeyValueCache(model, [5], 2, limit=4).for_sentences(2, limit=4)
