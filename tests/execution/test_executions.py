"""Planned and naive execution give the same logits, gradients and parameters (DESIGN: exactness of the plan)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablation.config.experiment import TOKEN_POSITIONS, TRAINABLE_LAYERS
from ablation.data.encode import make_loaders
from ablation.listener import Listener
from ablation.run.training import train
from ablation.tasks.spam import SPAM
from tests.support.cases import CASES, as_parameters, config_of
from tests.support.parity import assert_same_logits_and_gradients, make_pair
from tests.support.tiny import SHAPE, make_execution, make_messages, tiny_config


@pytest.mark.parametrize("case", as_parameters(CASES))
def test_same_logits_and_gradients(case: dict[str, Any]) -> None:
    assert_same_logits_and_gradients(*make_pair(config_of(case)))


@pytest.mark.parametrize("case", as_parameters(CASES))
def test_same_parameters_after_forty_steps(case: dict[str, Any]) -> None:
    config = config_of({**case, "num_epochs": 20, "max_steps": 40, "learning_rate": 1e-3, "save_model": True})
    messages = make_messages(config)
    trained = []
    for kind in ("naive", "planned"):
        execution = make_execution(config, messages, kind)
        history = train(SPAM, execution, make_loaders(messages, config.batch_size), config, Listener())
        assert history.steps == 40
        trained.append((execution.trained_parameters(history.updates), history))
    (expected, naive_history), (found, planned_history) = trained
    assert expected.keys() == found.keys()
    for name in expected:
        assert (expected[name] - found[name]).abs().max() <= 1e-8, name
    assert naive_history.epoch_counts == planned_history.epoch_counts
    for left, right in zip(naive_history.evaluations, planned_history.evaluations, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-9)
        assert left.validation_loss == pytest.approx(right.validation_loss, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    policy=st.sampled_from(TRAINABLE_LAYERS),
    readout=st.sampled_from(TOKEN_POSITIONS),
    pooled=st.booleans(),
    unmasked=st.booleans(),
    unpadded=st.booleans(),
    blocks=st.integers(1, 4),
    heads=st.sampled_from([1, 2, 4]),
    width=st.integers(1, 14),
    seed=st.integers(0, 10**6),
)
def test_same_logits_and_gradients_whatever_the_shape(
    policy: str,
    readout: str,
    pooled: bool,
    unmasked: bool,
    unpadded: bool,
    blocks: int,
    heads: int,
    width: int,
    seed: int,
) -> None:
    pooled = pooled and readout != "first"
    config = tiny_config(
        trainable_layers=policy, trainable_token_pos=readout, average_embeddings=pooled, disable_causal_mask=unmasked,
        no_padding=unpadded, batch_size=1 if unpadded else 4, context_length=width, seed=seed,
    )  # fmt: skip
    shape = dataclasses.replace(SHAPE, n_layers=blocks, n_heads=heads)
    messages = make_messages(config, longest=min(width, 12), seed=seed)
    naive, planned = (make_execution(config, messages, kind, shape=shape) for kind in ("naive", "planned"))
    assert_same_logits_and_gradients(naive, planned)
