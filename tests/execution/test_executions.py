"""Planned and naive execution give the same logits, gradients and parameters (DESIGN: exactness of the plan)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ablation.config.experiment import TOKEN_POSITIONS, TRAINABLE_LAYERS, ExperimentConfig
from ablation.config.rows import ROWS
from ablation.data.encode import make_loaders
from ablation.execution.naive import NaiveExecution
from ablation.execution.planned import PlannedExecution
from ablation.listener import Listener
from ablation.run.training import train
from ablation.tasks.spam import SPAM
from tests.support.tiny import SHAPE, make_execution, make_messages, tiny_config

Execution = NaiveExecution | PlannedExecution

ROW_SETTINGS: dict[str, dict[str, Any]] = {
    f"row {row}": {name: value for name, value in overrides.items() if name not in ("model_size", "weights")}
    for row, overrides in ROWS.items()
}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "two blocks, pooled": {"trainable_layers": "last_two_blocks", "average_embeddings": True},
    "two blocks, flexible": {"trainable_layers": "last_two_blocks", "trainable_token_pos": "flexible"},
    "classifier, first": {"trainable_layers": "last_layer", "trainable_token_pos": "first"},
    "classifier, flexible": {"trainable_layers": "last_layer", "trainable_token_pos": "flexible"},
    "classifier, pooled": {"trainable_layers": "last_layer", "average_embeddings": True},
    "flexible, pooled": {"trainable_token_pos": "flexible", "average_embeddings": True},
    "flexible, no mask": {"trainable_token_pos": "flexible", "disable_causal_mask": True},
    "first, no mask": {"trainable_token_pos": "first", "disable_causal_mask": True},
    "flexible, pooled, no mask": {
        "trainable_token_pos": "flexible", "average_embeddings": True, "disable_causal_mask": True,
    },
    "unpadded, accumulated, no mask": {
        "no_padding": True, "batch_size": 1, "accumulation_steps": 4, "disable_causal_mask": True,
    },
    "unpadded, accumulated, pooled, all": {
        "no_padding": True, "batch_size": 1, "accumulation_steps": 4, "average_embeddings": True,
        "trainable_layers": "all",
    },
    "unpadded, accumulated, two blocks, no mask": {
        "no_padding": True, "batch_size": 1, "accumulation_steps": 3, "disable_causal_mask": True,
        "trainable_layers": "last_two_blocks",
    },
    "accumulated": {"accumulation_steps": 3},
    "all, flexible": {"trainable_layers": "all", "trainable_token_pos": "flexible"},
    "LoRA, first": {"trainable_layers": "lora", "trainable_token_pos": "first"},
    "LoRA, no mask, flexible": {
        "trainable_layers": "lora_alternative", "disable_causal_mask": True, "trainable_token_pos": "flexible",
    },
    "cut to 5": {"context_length": 5, "trainable_token_pos": "flexible"},
}  # fmt: skip
CASES = {**ROW_SETTINGS, **COMBINATIONS}


def make_pair(config: ExperimentConfig, **options: Any) -> tuple[Execution, Execution]:
    messages = make_messages(config)
    return make_execution(config, messages, "naive", **options), make_execution(config, messages, "planned", **options)


def config_of(case: dict[str, Any]) -> ExperimentConfig:
    width = SHAPE.context_length if case.get("context_length") == "model_context_length" else 12
    return tiny_config(**{"batch_size": 4, **case, "context_length": case.get("context_length", width)
                          if isinstance(case.get("context_length"), int) else width})  # fmt: skip


def gradients(execution: Execution, batches: list[Tensor]) -> dict[str, Tensor | None]:
    for parameter in execution.trainable_parameters():
        parameter.grad = None
    logits = torch.cat(execution.logits("train", batches))
    F.cross_entropy(logits, execution.labels("train", torch.cat(batches))).backward()
    return {name: p.grad for name, p in execution.model.named_parameters() if p.requires_grad}


def assert_same_logits_and_gradients(naive: Execution, planned: Execution) -> None:
    with torch.no_grad():
        for split, count in (("train", 40), ("validation", 12), ("test", 14)):
            batches = list(torch.arange(count).split(4 if split == "train" else 1))
            if not naive.plan.causal or not naive._messages[split].padded:
                batches = list(torch.arange(count).split(1))
            expected = torch.cat(naive.logits(split, batches))
            assert (torch.cat(planned.logits(split, batches)) - expected).abs().max() < 1e-9
    batches = [torch.tensor([i]) for i in (3, 1, 0, 17, 39)]
    expected_gradients, found = gradients(naive, batches), gradients(planned, batches)
    assert expected_gradients.keys() == found.keys()
    if (rows := getattr(planned, "_rows", None)) is not None:
        for name, occurring in (("tok_emb.weight", rows.tokens), ("pos_emb.weight", rows.positions)):
            gradient = expected_gradients[name]
            assert gradient is not None
            others = torch.ones(len(gradient), dtype=torch.bool).index_fill(0, occurring, False)
            assert not gradient[others].any()
            expected_gradients[name] = gradient[occurring]
    largest = max(float(g.abs().max()) for g in expected_gradients.values() if g is not None)
    assert largest > 0
    for name, gradient in expected_gradients.items():
        other = found[name]
        assert gradient is not None and other is not None, name  # a zero gradient decays weights, None does not
        assert (gradient - other).abs().max() <= 1e-9 * largest, name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_same_logits_and_gradients(case: dict[str, Any]) -> None:
    assert_same_logits_and_gradients(*make_pair(config_of(case)))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
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
