"""The token embedding while a language model trains: what the rows of other tokens are spared changes nothing."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablation.config.decoding import RANDOM, Decoding
from ablation.config.shapes import ModelShape
from ablation.execution.embedding_rows import OccurringTokens, occurring_tokens
from ablation.execution.sentence_losses import packed_losses
from ablation.model.decoding import sample_sentences
from ablation.model.normal_weights import normal_weights
from previous_chapters import GPTModel

END, LONGEST = 90, 9
SHAPE = ModelShape(vocab_size=91, context_length=12, emb_dim=16, n_layers=2, n_heads=4)
BATCHES: tuple[list[list[int]], ...] = ([[5, 6, 7], [1] * 4, []], [[20, 6], [21, 5, 40, 88]], [[7, 88], [3]])
OCCURRING = [1, 3, 5, 6, 7, 20, 21, 40, 88, END]
OTHERS = [[0, 5, 41], [89, 2]]  # below, between and above the trained ones


def make_model(dtype: torch.dtype = torch.float32) -> GPTModel:
    model = GPTModel(SHAPE, dropout=0.1)
    model.load_state_dict(normal_weights(SHAPE, 5))
    return model.to(dtype)


def train(model: GPTModel, *, compact: bool) -> dict[str, Any]:
    """What can be seen while it trains, and what is there afterwards."""
    seen: dict[str, Any] = {"losses": [], "others": []}
    sentences = [sentence for batch in BATCHES for sentence in batch]
    with occurring_tokens(model, sentences, END) if compact else nullcontext():
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05, fused=True)
        torch.manual_seed(3)
        for batch in 2 * BATCHES:
            loss = packed_losses(model.train(), batch, LONGEST, END).mean
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen["losses"].append(float(loss.detach()))
            with torch.inference_mode():
                seen["others"].append(float(packed_losses(model.eval(), OTHERS, LONGEST, END).mean))
        seen["rows"] = len(model.tok_emb.weight)
        seen["texts"] = sample_sentences(model, [2, 5], 3, Decoding(RANDOM), max_len=LONGEST, end_token=END, seed=1)
    return seen | {"state": {name: value.clone() for name, value in model.state_dict().items()}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_trains_to_the_bit_as_with_all_rows(dtype: torch.dtype) -> None:
    plain, compact = (train(make_model(dtype), compact=compact) for compact in (False, True))
    assert (plain.pop("rows"), compact.pop("rows")) == (91, len(OCCURRING))
    before, after = make_model(dtype).state_dict()["tok_emb.weight"], compact["state"]["tok_emb.weight"]
    assert (before != after).any(1).nonzero().flatten().tolist() == OCCURRING
    own, expected = compact.pop("state"), plain.pop("state")
    assert own.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(own[name], expected[name])] == []
    assert compact == plain  # losses, those on other tokens, and what it says


def test_the_whole_embedding_comes_back_where_training_is_cut_off() -> None:
    model = make_model()
    whole = model.tok_emb
    with pytest.raises(RuntimeError, match="not finite"), occurring_tokens(model, [[5]], END):
        assert isinstance(model.tok_emb, OccurringTokens)
        assert next(iter(dict(model.named_parameters()))) == "tok_emb.weight"  # where and as it was
        with torch.no_grad():
            model.tok_emb.weight += 1
        raise RuntimeError("the loss is not finite")
    assert model.tok_emb is whole
    changed: Tensor = whole.weight - normal_weights(SHAPE, 5)["tok_emb.weight"]
    assert changed.abs().amax(1).nonzero().flatten().tolist() == [5, END]


@pytest.mark.parametrize("kind", ["tied", "frozen"])
def test_a_tied_or_frozen_embedding_stays(kind: str) -> None:
    model = make_model()
    if kind == "tied":
        assert isinstance(model.out_head, nn.Linear)
        model.out_head.weight = model.tok_emb.weight
    else:
        model.tok_emb.weight.requires_grad_(False)
    whole = model.tok_emb
    with occurring_tokens(model, [[5]], END):
        assert model.tok_emb is whole
