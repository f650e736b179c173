"""LoRA: unchanged at the start, merged equals unmerged, the base untouched, the published initialisation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ablation.data.encode import make_loaders
from ablation.listener import Listener
from ablation.methods.primitives import effective_weight_and_bias
from ablation.model.classifier import RandomWeights, build_classifier, materialise
from ablation.run.training import train
from ablation.tasks.spam import SPAM
from lora import LinearWithLoRA, LinearWithMergedLoRA, add_lora, merge_lora
from previous_chapters import GPTModel
from tests.support.tiny import CPU, SHAPE, make_execution, make_messages, tiny_config

TOKENS = torch.randint(SHAPE.vocab_size, (3, 7), generator=torch.Generator().manual_seed(0))


def plain_model() -> GPTModel:
    config = tiny_config(trainable_layers="all")
    model = build_classifier(config, SHAPE)
    materialise(model, RandomWeights(SHAPE, config.seed), CPU)
    return model


@pytest.mark.parametrize("layer_type", [LinearWithLoRA, LinearWithMergedLoRA])
def test_output_is_unchanged_at_initialisation(layer_type: type[LinearWithLoRA]) -> None:
    model = plain_model()
    expected = model(TOKENS)
    add_lora(model, rank=4, alpha=8, layer_type=layer_type)
    assert sum(isinstance(m, LinearWithLoRA) for m in model.modules()) == 6 * SHAPE.n_layers + 1
    torch.testing.assert_close(model(TOKENS), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("policy", ["lora", "lora_alternative"])
def test_merged_equals_unmerged_after_training_and_merging_twice_changes_nothing(policy: str) -> None:
    config = tiny_config(trainable_layers=policy, batch_size=4, learning_rate=1e-2, num_epochs=2)
    messages = make_messages(config)
    execution = make_execution(config, messages, "naive")
    before = plain_model().double()(TOKENS)
    train(SPAM, execution, make_loaders(messages, 4), config, Listener())
    with torch.no_grad():
        unmerged = execution.model(TOKENS)
        assert (unmerged - before).abs().max() > 0.01
        merge_lora(execution.model)
        merged = execution.model(TOKENS)
        assert not any(isinstance(m, LinearWithLoRA) for m in execution.model.modules())
        torch.testing.assert_close(merged, unmerged, rtol=1e-9, atol=1e-9)
        merge_lora(execution.model)
        assert torch.equal(execution.model(TOKENS), merged)


@pytest.mark.parametrize("policy", ["lora", "lora_alternative"])
def test_base_weights_are_bitwise_untouched_after_training(policy: str) -> None:
    config = tiny_config(trainable_layers=policy, batch_size=4, learning_rate=1e-2, num_epochs=1)
    messages = make_messages(config)
    execution = make_execution(config, messages, "planned", dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in execution.model.named_parameters()}
    train(SPAM, execution, make_loaders(messages, 4), config, Listener())
    changed = {name for name, p in execution.model.named_parameters() if not torch.equal(p, before[name])}
    adapters = {name for name in before if name.endswith((".lora.A", ".lora.B"))}
    assert changed == adapters | {"out_head.linear.weight", "out_head.linear.bias"}


def test_a_is_drawn_in_the_shape_in_by_rank_and_b_is_zero() -> None:
    """The bound of kaiming_uniform_(a=√5) on an (in, rank) matrix is 1/√rank, since rank counts as its fan-in."""
    torch.manual_seed(5)
    layer = LinearWithLoRA(nn.Linear(40, 12), rank=9, alpha=2)
    assert layer.lora.A.shape == (40, 9) and layer.lora.B.shape == (9, 12)
    assert not layer.lora.B.any()
    assert 0.9 / math.sqrt(9) < layer.lora.A.abs().max() <= 1 / math.sqrt(9)


def test_the_term_is_scaled_by_alpha_not_by_alpha_over_rank() -> None:
    layer = LinearWithLoRA(nn.Linear(5, 3), rank=2, alpha=7)
    nn.init.normal_(layer.lora.B)
    x = torch.randn(4, 5)
    expected = layer.linear(x) + 7 * x @ layer.lora.A @ layer.lora.B
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(nn.functional.linear(x, *effective_weight_and_bias(layer)), expected)


def test_layers_are_wrapped_in_the_order_of_the_modules_classifier_last() -> None:
    torch.manual_seed(11)
    model = plain_model()
    torch.manual_seed(11)
    add_lora(model, rank=2, alpha=1)
    torch.manual_seed(11)
    for name, module in model.named_modules():
        if isinstance(module, LinearWithLoRA):
            drawn = torch.empty_like(module.lora.A)
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5))
            assert torch.equal(module.lora.A, drawn), name
    assert name.startswith("out_head")


def test_what_is_no_linear_layer_has_no_effective_weight() -> None:
    with pytest.raises(TypeError, match="LayerNorm is not a linear layer"):
        effective_weight_and_bias(nn.LayerNorm(3))
