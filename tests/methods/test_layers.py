"""What trains under each policy: counts at the real sizes, exact names, and that nothing else gets a gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ablation.config.experiment import ExperimentConfig
from ablation.config.methods import DECLARATIONS
from ablation.config.shapes import MODEL_SHAPES, ModelShape
from ablation.model.classifier import assemble, build_classifier
from tests.support.tiny import SHAPE, make_execution, make_messages, tiny_config

SHAPES = {**MODEL_SHAPES, "tiny (reference runs)": ModelShape(50257, 1024, 64, 3, 4)}
POLICIES: dict[str, dict[str, Any]] = {
    "last_layer": {"trainable_layers": "last_layer"},
    "last_block": {"trainable_layers": "last_block"},
    "last_two_blocks": {"trainable_layers": "last_two_blocks"},
    "all": {"trainable_layers": "all"},
    "lora_rank_8": {"trainable_layers": "lora", "lora_rank": 8},
    "lora_rank_16": {"trainable_layers": "lora_alternative", "lora_rank": 16},
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", SHAPES)
def test_parameter_counts(size: str, policy: str, parameter_counts: dict[str, Any]) -> None:
    """Nothing is allocated but what is new: the trunk stays on the meta device."""
    expected = parameter_counts[size]["trainable_parameters"]
    assembly = assemble(ExperimentConfig(**POLICIES[policy]), SHAPES[size])
    assert assembly.model.tok_emb.weight.is_meta
    assert assembly.count_parameters() == (expected["total_with_classifier"], expected[policy])


@pytest.mark.parametrize("size", SHAPES)
def test_adapters_alone(size: str, parameter_counts: dict[str, Any]) -> None:
    model = build_classifier(ExperimentConfig(trainable_layers="lora", lora_rank=8), SHAPES[size])
    adapters = sum(p.numel() for name, p in model.named_parameters() if name.endswith((".A", ".B")))
    assert adapters == parameter_counts[size]["trainable_parameters"]["lora_rank_8_adapters_alone"]


LINEARS = ("att.W_query", "att.W_key", "att.W_value", "att.out_proj", "ff.layers.0", "ff.layers.2")
NORMS = ("norm1.scale", "norm1.shift", "norm2.scale", "norm2.shift")
HEAD = {"out_head.weight", "out_head.bias"}
FINAL_NORM = {"final_norm.scale", "final_norm.shift"}
EMBEDDINGS = {"tok_emb.weight", "pos_emb.weight"}


def block_names(index: int) -> set[str]:
    names = {f"{layer}.{part}" for layer in LINEARS for part in ("weight", "bias")} | set(NORMS)
    return {f"trf_blocks.{index}.{name}" for name in names}


WRAPPED = [f"trf_blocks.{i}.{layer}" for i in range(3) for layer in LINEARS] + ["out_head"]
LORA_NAMES = {f"{layer}.lora.{part}" for layer in WRAPPED for part in "AB"} | {
    "out_head.linear.weight",
    "out_head.linear.bias",
}
EXPECTED_NAMES: dict[str, tuple[set[str], int]] = {  # policy -> what trains, first block with something of it
    "last_layer": (HEAD, 3),
    "last_block": (HEAD | FINAL_NORM | block_names(2), 2),
    "last_two_blocks": (HEAD | FINAL_NORM | block_names(2) | block_names(1), 1),
    "all": (HEAD | FINAL_NORM | EMBEDDINGS | block_names(0) | block_names(1) | block_names(2), 0),
    "lora": (LORA_NAMES, 0),
    "lora_alternative": (LORA_NAMES, 0),
}


@pytest.mark.parametrize("policy", EXPECTED_NAMES)
def test_exact_names_of_what_trains(policy: str) -> None:
    names, first_block = EXPECTED_NAMES[policy]
    model = build_classifier(tiny_config(trainable_layers=policy), SHAPE)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == names
    assert DECLARATIONS[policy].first_block(3) == first_block
    assert DECLARATIONS[policy].embeddings_train == (names >= EMBEDDINGS)


@pytest.mark.parametrize("policy", EXPECTED_NAMES)
def test_frozen_parameters_have_no_gradient_and_trainable_ones_do(policy: str) -> None:
    config = tiny_config(trainable_layers=policy)
    execution = make_execution(config, make_messages(config), "naive")
    execution.logits("train", [torch.arange(8)])[0].sum().backward()
    for name, parameter in execution.model.named_parameters():
        assert (parameter.grad is not None) == (name in EXPECTED_NAMES[policy][0]), name
