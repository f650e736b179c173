"""Draws of a token, beside the exact distribution of each way of decoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import chdtrc

from ablation.config.decoding import Decoding
from ablation.model import sampling
from ablation.model.sampling import choose_tokens, likeliest, uniforms

DRAWS = 100_000
LOGITS = torch.from_numpy(np.random.default_rng(5).normal(0, 1.5, 23))
WAYS = [
    Decoding(name, temperature, top_k, top_p)
    for name, top_k, top_p in [
        ("random", None, None), ("top_k", 6, None), ("top_p", None, 0.8), ("top_k_top_p", 9, 0.85),
    ]
    for temperature in (0.7, 1.0)
]  # fmt: skip


def exact(decoding: Decoding) -> NDArray[np.float64]:
    """Probabilities (V,), written out one token after the other."""
    weights = np.exp(LOGITS.numpy() / decoding.temperature)
    order = sorted(range(len(weights)), key=lambda token: -weights[token])[: decoding.top_k]
    whole, kept, mass = sum(weights[order]), [], 0.0
    for token in order:
        if decoding.top_p is None or mass < decoding.top_p * whole:
            kept.append(token)
            mass += weights[token]
    return np.array([weights[token] / mass if token in kept else 0.0 for token in range(len(weights))])


@pytest.fixture(params=[pytest.param((32, 32), marks=pytest.mark.slow), (4, 2)], ids=["one group", "many groups"])
def groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes with which the vocabulary is one group, and with which it is several."""
    monkeypatch.setattr(sampling, "_ROWS", 40_000)
    monkeypatch.setattr(sampling, "_GROUP", request.param[0])
    monkeypatch.setattr(sampling, "_PREFIX", request.param[1])


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("decoding", WAYS, ids=Decoding.describe)
def test_draws_have_the_exact_distribution(decoding: Decoding) -> None:
    uniform = torch.from_numpy(uniforms(123, 0, DRAWS))
    found = np.bincount(choose_tokens(LOGITS.expand(DRAWS, -1), decoding, uniform), minlength=23)
    expected = exact(decoding)
    assert (found[expected == 0] == 0).all() and (expected == 0).any() == (decoding.name != "random")
    drawn = expected > 0
    wanted = DRAWS * expected[drawn]
    chi_square = ((found[drawn] - wanted) ** 2 / wanted).sum()
    assert chdtrc(drawn.sum() - 1, chi_square) > 0.01


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("decoding", WAYS, ids=Decoding.describe)
def test_the_ends_of_the_interval_find_tokens_that_can_be_drawn(decoding: Decoding) -> None:
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        tokens = choose_tokens(LOGITS.to(dtype).expand(2, -1), decoding, ends)
        assert (exact(decoding)[tokens] > 0).all()


def test_equal_logits_come_in_the_order_of_their_ids() -> None:
    logits = torch.tensor([[0.0, 2, 1, 2, 1, 1, 0, 1], [1.0] * 8, [3.0, 1, 2, 0, -1, -2, -3, -4]])
    values, ids = likeliest(logits, 4)
    assert ids.tolist() == [[1, 3, 2, 4], [0, 1, 2, 3], [0, 2, 1, 3]]
    assert values.tolist() == logits.gather(1, ids).tolist()
    assert choose_tokens(logits, Decoding("greedy"), torch.zeros(3)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("k", [1, 10, 60, 250])
def test_the_likeliest_are_those_of_a_sort(k: int) -> None:
    """Of a vocabulary that is looked through by groups, with a rest; also where many are equal."""
    numbers = np.random.default_rng(k).normal(0, 2, (40, 1003))
    logits = torch.from_numpy(np.concatenate([numbers, numbers.round(1), numbers.round(0)]))
    expected = logits.sort(dim=-1, descending=True, stable=True)
    values, ids = likeliest(logits, k)
    assert (ids == expected.indices[:, :k]).all() and (values == expected.values[:, :k]).all()


@pytest.mark.parametrize("decoding", WAYS, ids=Decoding.describe)
def test_rows_at_once_change_nothing(decoding: Decoding, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.from_numpy(np.random.default_rng(1).normal(0, 3, (20, 600)))
    uniform = torch.from_numpy(uniforms(4, 0, 20))
    whole = choose_tokens(logits, decoding, uniform)
    monkeypatch.setattr(sampling, "_ROWS", 7)
    assert (choose_tokens(logits, decoding, uniform) == whole).all()


def test_a_nucleus_has_one_token_at_least() -> None:
    uniform = torch.from_numpy(uniforms(1, 0, 50))
    tokens = choose_tokens(LOGITS.expand(50, -1), Decoding("top_p", top_p=1e-9), uniform)
    assert set(tokens.tolist()) == {int(LOGITS.argmax())}


def test_uniform_numbers_depend_on_seed_sentence_and_place_alone() -> None:
    assert (uniforms(7, 3, 5) == uniforms(7, 3, 9)[:5]).all()
    different = [uniforms(seed, number, 4).tolist() for seed, number in [(7, 3), (7, 4), (3, 7), (-1, 3)]]
    assert len({number for row in different for number in row}) == 16
