"""GPT-2 as a language model, against transformers' own: the same loss at every token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ablation.execution import vocabulary_loss as module
from ablation.execution.perplexity import perplexity, token_losses
from ablation.model.weights import Weights, open_weights
from ablation.run.forgetting import base_trunk
from tests.support.hub_twin import SHAPE, make_twin
from tests.support.tiny import CPU, DoubleWeights

pytest.importorskip("transformers")

LENGTHS = (2, 9, 5, 9, 16, 17, 3)  # with the first token, which is not predicted; the context has 16
SEQUENCES = [torch.randint(53, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in LENGTHS]


def written(twin: Any, folder: Path) -> Weights:
    """The twin's weights as a file, its head in it only where it is one of its own."""
    tensors = {name: tensor.float().clone() for name, tensor in twin.state_dict().items()}
    if twin.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors")
    return open_weights(folder / "model.safetensors", SHAPE)


def twins_losses(twin: Any, ids: list[int]) -> Tensor:
    """By transformers' own loss, one text at a time; it has the mean over the text alone."""
    inputs = torch.tensor([ids])
    losses = []
    for end in range(2, len(ids) + 1):
        labels = torch.full_like(inputs[:, :end], -100)
        labels[0, -1] = inputs[0, end - 1]
        losses.append(twin(inputs[:, :end], labels=labels).loss)
    return torch.stack(losses)


@pytest.mark.parametrize("tied", [True, False])
def test_each_token_has_the_loss_of_transformers(tied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_OF_LOGITS", 7)  # cuts through texts
    twin = make_twin(tie_word_embeddings=tied)
    weights = written(twin, tmp_path)
    usable = [ids for ids in SEQUENCES if len(ids) <= 16]
    with torch.no_grad():
        expected = [twins_losses(twin, ids) for ids in usable]
        found = token_losses(base_trunk(weights), weights.head(), usable, CPU)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one.float(), other, rtol=0, atol=1e-5)
        trunk = base_trunk(DoubleWeights(weights), torch.float64)
        exact = token_losses(trunk, weights.head(), usable, CPU)
        twin.double()
        for one, ids in zip(exact, usable, strict=True):
            logits = twin(torch.tensor([ids[:-1]])).logits[0]  # its own loss is in float32 always
            assert (one - F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")).abs().max() < 1e-9


def test_a_text_that_is_too_long_loses_its_end_alone(tmp_path: Path) -> None:
    weights = written(make_twin(), tmp_path)
    whole, longer = (
        token_losses(base_trunk(weights), weights.head(), [ids], CPU)[0]
        for ids in (SEQUENCES[5], [*SEQUENCES[5], 1, 2])
    )
    assert len(whole) == 16  # positions 0 to 15 predict tokens 1 to 16
    assert torch.equal(whole, longer)


def test_the_mean_is_over_tokens_and_what_is_no_number_is_none() -> None:
    ln2 = torch.tensor(2.0).double().log()
    assert perplexity([ln2.expand(3), 3 * ln2.expand(1)]) == pytest.approx(2**1.5)
    assert perplexity([torch.tensor([1e4]).double()]) is None
    assert perplexity([torch.tensor([float("nan")])]) is None
