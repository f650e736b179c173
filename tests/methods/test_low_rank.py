"""LoRA in the forms of its literature: PEFT computes the same, it starts as the base model, is drawn as it says."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablation.config.methods import LINEAR_MAPS
from ablation.data.encode import make_loaders
from ablation.listener import Listener
from ablation.methods.dylora import at_rank
from ablation.model.classifier import build_classifier
from ablation.run.training import make_optimizer, train
from ablation.tasks.spam import SPAM
from lora import INITS, LinearWithLoRA, LoRATerm
from tests.execution.test_registry import classified
from tests.support.peft_twin import assert_same, fill_terms, lora_twin, stirred_execution, term_gradients
from tests.support.tiny import SHAPE, make_execution, make_messages, tiny_config

SIX_MAPS = "+".join(LINEAR_MAPS)
FORMS: dict[str, tuple[dict[str, Any], float]] = {  # rank 3, alpha 5: settings, the factor of the term
    "query and value, alpha/r": ({"lora_targets": "query+value", "lora_scaling": "alpha_over_rank"}, 5 / 3),
    "six maps, alpha/√r": ({"lora_scaling": "alpha_over_sqrt_rank", "train_final_norm": True}, 5 / math.sqrt(3)),
    "head frozen, alpha": (
        {"lora_targets": f"{SIX_MAPS}+head", "lora_scaling": "alpha", "lora_head": "frozen"}, 5.0,
    ),
    "head trained, alpha/r": ({"lora_targets": "key+ff_out+head"}, 5 / 3),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
def test_peft_computes_the_same(form: str, dtype: torch.dtype) -> None:
    settings, scale = FORMS[form]
    ours = stirred_execution(dtype, method="lora", lora_rank=3, lora_alpha=5, **settings).model
    twin = lora_twin(ours, 3, scale, stabilised="√" in form)
    assert_same(ours, twin, partial(fill_terms, rank=3), partial(term_gradients, rank=3))


@pytest.mark.parametrize("form", FORMS)
def test_the_terms_factor(form: str) -> None:
    settings, scale = FORMS[form]
    model = build_classifier(tiny_config(method="lora", lora_rank=3, lora_alpha=5, **settings), SHAPE)
    (found,) = {module.scale for module in model.modules() if isinstance(module, LoRATerm)}
    assert found == pytest.approx(scale, rel=1e-15)


# ---- starting values -------------------------------------------------------------------------------------------------


def logits(kind: str, ranks: tuple[int, ...] = (), **settings: Any) -> list[Tensor]:
    """Of all test messages, in float32; at each of the ranks."""
    config = tiny_config(context_length=12, batch_size=4, trainable_token_pos="flexible", **settings)
    execution = make_execution(config, make_messages(config), kind, dtype=torch.float32)
    batches, found = [torch.arange(14)], []
    with torch.no_grad():
        for rank in ranks or (None,):
            if rank is None:
                found.append(torch.cat(execution.logits("test", batches)))
            else:
                with at_rank(execution.model, rank):
                    found.append(torch.cat(execution.logits("test", batches)))
    return found


@pytest.mark.parametrize("kind", ["naive", "planned"])
def test_it_starts_as_the_base_model(kind: str) -> None:
    """To the bit; DoRA, which divides lengths by lengths, to rounding."""
    (base,) = logits(kind, trainable_layers="all")
    forms: list[dict[str, Any]] = [{"method": "lora"}, {"method": "lora", "lora_targets": "head"}, {"method": "ia3"}]
    for settings in forms:
        assert torch.equal(logits(kind, **settings)[0], base), settings
    for at in logits(kind, ranks=(1, 2, 3, 4), method="dylora", lora_rank=4):
        assert torch.equal(at, base)
    for targets in (SIX_MAPS, "value+head"):
        (dora,) = logits(kind, method="dora", lora_targets=targets)
        assert (dora - base).abs().max() < 1e-5


def test_how_a_is_drawn() -> None:
    """In the shape (inputs, rank): within 1/√rank as published, within 1/√inputs in the order of Hu's code, normal."""
    inputs, rank = 400, 25
    drawn = {}
    for name, init in INITS.items():
        torch.manual_seed(7)
        drawn[name] = torch.empty(inputs, rank)
        init(drawn[name])
    assert 0.99 / math.sqrt(rank) < drawn["uniform_rank"].abs().max() <= 1 / math.sqrt(rank)
    assert 0.99 / math.sqrt(inputs) < drawn["uniform_inputs"].abs().max() <= 1 / math.sqrt(inputs)
    assert drawn["normal_rank"].std() == pytest.approx(1 / math.sqrt(rank), rel=0.02)
    assert drawn["normal_rank"].abs().max() > 3 / math.sqrt(rank)
    torch.manual_seed(7)
    theirs = nn.Linear(inputs, rank, bias=False)  # as PEFT and Hu draw A: kaiming_uniform_(a=√5) of (rank, inputs)
    torch.testing.assert_close(drawn["uniform_inputs"], theirs.weight.detach().T, rtol=1e-6, atol=0)


def test_layers_draw_in_their_order_the_classifier_last() -> None:
    config = tiny_config(method="lora", lora_targets="head+value+query", lora_init="normal_rank", from_block=2)
    model = build_classifier(config, SHAPE)
    torch.manual_seed(config.seed)
    nn.Linear(SHAPE.emb_dim, 2)  # the new classifier is drawn before
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, LinearWithLoRA)]
    names = ["trf_blocks.1.att.W_query", "trf_blocks.1.att.W_value", "trf_blocks.2.att.W_query"]
    assert [name for name, _ in found] == [*names, "trf_blocks.2.att.W_value", "out_head"]
    for name, module in found:
        drawn = torch.empty(SHAPE.emb_dim, 8)
        nn.init.normal_(drawn, std=1 / math.sqrt(8))
        assert torch.equal(module.lora.A, drawn), name


def test_a_drawn_head_that_stays_is_kept_with_what_was_trained() -> None:
    """Whoever uses the model must not have to draw it again."""
    config = tiny_config(method="lora", lora_targets="query+head", lora_head="frozen", context_length=12)
    messages = make_messages(config)
    execution = make_execution(config, messages, "planned")
    kept = execution.trained_parameters(0)
    assert {name for name in kept if ".lora." not in name} == {"out_head.linear.weight", "out_head.linear.bias"}
    with torch.no_grad():
        execution.model.get_parameter("out_head.linear.weight").mul_(-2.0)
        expected = torch.cat(execution.logits("test", [torch.arange(14)]))
    assert (classified(config, execution, messages["test"]) - expected).abs().max() < 1e-9


# ---- in training -----------------------------------------------------------------------------------------------------

METHODS = ("lora", "dora", "dylora", "ia3")


@pytest.mark.parametrize("kind", ["naive", "planned"])
@pytest.mark.parametrize("method", METHODS)
def test_it_trains_in_half_precision(method: str, kind: str) -> None:
    targets = {} if method == "ia3" else {"lora_targets": "query+ff_in", "lora_rank": 3}  # beside maps without terms
    config = tiny_config(
        method=method, precision="bf16", batch_size=4, max_steps=3, context_length=12, learning_rate=1e-2, **targets
    )
    messages = make_messages(config)
    execution = make_execution(config, messages, kind, dtype=torch.float32)
    before = {name: value.clone() for name, value in execution.trained_parameters(0).items()}
    train(SPAM, execution, make_loaders(messages, 4), config, Listener())
    for name, value in execution.trained_parameters(3).items():
        assert value.dtype == torch.float32 and value.isfinite().all()
        if "key" not in name:  # a constant beside all scores changes nothing
            assert not torch.equal(value, before[name]), name


@pytest.mark.parametrize("method", METHODS)
def test_the_base_weights_get_no_gradients(method: str) -> None:
    """Nor are any computed: autograd is asked for none of their layers' products."""
    execution = stirred_execution(method=method)
    execution.logits("train", [torch.arange(4)])[0].sum().backward()
    parameters = dict(execution.model.named_parameters())
    with_gradient = {name for name, parameter in parameters.items() if parameter.grad is not None}
    assert with_gradient == {name for name, parameter in parameters.items() if parameter.requires_grad}
    ours = (".lora.A", ".lora.B", ".magnitude", ".scales")
    assert all(name.endswith(ours) or name.startswith("out_head.") for name in with_gradient)


@pytest.mark.parametrize(
    ("settings", "decayed"),
    [
        ({"method": "ia3"}, {"out_head.weight", "out_head.bias"}),
        ({"method": "lora", "lora_targets": "query+head"}, {"out_head.linear.weight", "out_head.linear.bias"}),
        ({"method": "dora", "decayed": "everything"}, None),
        ({"method": "lora", "lora_targets": "query+head", "lora_head": "frozen", "decayed": "everything"}, None),
    ],
    ids=["IA3", "LoRA", "DoRA, everything", "as row 33"],
)
def test_what_weight_decay_acts_on(settings: dict[str, Any], decayed: set[str] | None) -> None:
    """Of gradients that are zero the optimizer moves nothing but what decays."""
    config = tiny_config(**settings, learning_rate=0.1, weight_decay=0.5, context_length=12)
    execution = make_execution(config, make_messages(config), "naive", dtype=torch.float32)
    trained = {name: p for name, p in execution.model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.fill_(1.0 if "B" in name.split(".") else float(parameter.abs().mean() + 1))
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    optimizer = make_optimizer(execution.parameter_groups(), config)
    for _ in range(3):
        for parameter in trained.values():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for name, parameter in trained.items():
        shrunk = before[name] * (1 - 0.1 * 0.5) ** 3 if decayed is None or name in decayed else before[name]
        torch.testing.assert_close(parameter.detach(), shrunk, rtol=1e-6, atol=0, msg=name)
    assert decayed is None or decayed < trained.keys()
