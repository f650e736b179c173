"""Steps that take less memory: the optimizer's inside the backward pass, blocks computed again. The same numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.rows import row_config
from ablation.data.encode import make_loaders
from ablation.execution.base import Execution
from ablation.execution.plan import Thrift, make_plan
from ablation.listener import Listener
from ablation.results.result import History
from ablation.run import memory
from ablation.run.dry_run import describe
from ablation.run.memory import KEPT_OF_A_BLOCK, check_memory, estimate_memory
from ablation.run.training import Updater, make_optimizer, stepping_in_backward, train
from ablation.tasks.spam import SPAM
from tests.support.cases import ROW_SETTINGS
from tests.support.tiny import CPU, SHAPE, make_execution, make_messages, tiny_config

THRIFTY = [Thrift.GRADIENTS, Thrift.ACTIVATIONS]
CASES: dict[str, dict[str, Any]] = {
    "all": {"trainable_layers": "all"},
    "all, accumulated": {"trainable_layers": "all", "accumulation_steps": 3},
    "unpadded, accumulated, pooled": {
        "trainable_layers": "all", "no_padding": True, "batch_size": 1, "accumulation_steps": 4,
        "average_embeddings": True,
    },
    "two blocks, zero gradients": {"trainable_layers": "last_two_blocks", "trainable_token_pos": "first"},
    "LoRA": {"trainable_layers": "lora"},
}  # fmt: skip
METHOD_ROWS = {name: {**case, "accumulation_steps": 2} for name, case in ROW_SETTINGS.items() if "method" in case}
PARAMETERS = [
    *(pytest.param(case, id=name) for name, case in CASES.items()),
    *(pytest.param(case, id=name, marks=pytest.mark.slow) for name, case in METHOD_ROWS.items()),
]


def trained(
    config: ExperimentConfig, kind: str, dtype: torch.dtype, thrift: Thrift
) -> tuple[dict[str, Tensor], History]:
    messages = make_messages(config)
    execution = make_execution(config, messages, kind, dtype=dtype, thrift=thrift)
    history = train(SPAM, execution, make_loaders(messages, config.batch_size), config, Listener())
    return {name: p.detach() for name, p in execution.model.named_parameters() if p.requires_grad}, history


@pytest.mark.parametrize("kind", ["naive", "planned"])
@pytest.mark.parametrize("case", PARAMETERS)
def test_the_numbers_are_those_of_the_plain_step_to_the_bit(case: dict[str, Any], kind: str) -> None:
    config = tiny_config(**{"batch_size": 4, "num_epochs": 2, "max_steps": 13, "learning_rate": 1e-3, **case})
    plain, plain_history = trained(config, kind, torch.float32, Thrift.NONE)
    for thrift in THRIFTY:
        found, history = trained(config, kind, torch.float32, thrift)
        assert history == plain_history
        for name, value in plain.items():
            assert torch.equal(found[name], value), name


@pytest.mark.parametrize("kind", ["naive", "planned"])
def test_blocks_computed_again_agree_with_the_plain_naive_step_in_float64(kind: str) -> None:
    config = tiny_config(trainable_layers="all", trainable_token_pos="flexible", batch_size=4, max_steps=10)
    config = dataclasses.replace(config, accumulation_steps=2, learning_rate=1e-3, save_model=True)
    expected, expected_history = trained(config, "naive", torch.float64, Thrift.NONE)
    found, history = trained(config, kind, torch.float64, Thrift.ACTIVATIONS)
    for left, right in zip(expected_history.evaluations, history.evaluations, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-9)
    for name, value in found.items():
        if value.shape == expected[name].shape:  # else an embedding with its occurring rows
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-9)


# ---- what is spared ------------------------------------------------------------------------------------------------


def most_gradients(execution: Execution, config: ExperimentConfig) -> int:
    """How many parameters have a gradient at the same time, at most, in one update."""
    parameters, most = execution.trainable_parameters(), 0

    def count(_: Tensor) -> None:
        nonlocal most
        most = max(most, sum(parameter.grad is not None for parameter in parameters))

    for parameter in parameters:  # before the step's own
        parameter.register_post_accumulate_grad_hook(count)
    optimizer = make_optimizer(execution.parameter_groups(), config)
    Updater(SPAM, execution, optimizer, config)([torch.arange(4), torch.arange(4, 8)])
    assert all(parameter.grad is None for parameter in parameters)
    return most


def test_one_gradient_lives_at_a_time() -> None:
    config = tiny_config(trainable_layers="all", accumulation_steps=2)
    plain, thrifty = (make_execution(config, make_messages(config), "planned", thrift=way) for way in list(Thrift)[:2])
    assert most_gradients(plain, config) == len(plain.trainable_parameters())
    assert most_gradients(thrifty, config) == 1


def kept_values(execution: Execution, batch: Tensor) -> int:
    """Of how many numbers, parameters not counted, the graph of a batch's logits keeps hold."""
    held = {parameter.untyped_storage().data_ptr() for parameter in execution.model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held and tensor.is_floating_point():
            kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = execution.logits("train", [batch])  # noqa: F841  what is kept must not be freed while it is counted
    return sum(kept.values())


@pytest.mark.parametrize("kind", ["naive", "planned"])
def test_a_block_keeps_sixteen_times_its_input_or_nothing_but_that(kind: str) -> None:
    """The difference between two depths is what a block keeps, the rest being equal."""
    config = tiny_config(trainable_layers="all", context_length=12)
    inputs = 8 * 12 * SHAPE.emb_dim
    for thrift, most in ((Thrift.NONE, KEPT_OF_A_BLOCK + 1), (Thrift.ACTIVATIONS, 1)):
        shapes = [dataclasses.replace(SHAPE, n_layers=blocks) for blocks in (2, 5)]
        executions = [
            make_execution(config, make_messages(config), kind, shape=shape, thrift=thrift) for shape in shapes
        ]
        shallow, deep = (kept_values(execution, torch.arange(8)) for execution in executions)
        assert most - 1 <= (deep - shallow) / 3 / inputs <= most, thrift


# ---- one parameter at a time ---------------------------------------------------------------------------------------


class Shared(nn.Module):
    """One weight used three times, one that is not used, and one whose gradient is zero."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.weight, self.bias, self.unused, self.idle = (
            nn.Parameter(torch.randn(4, 4, generator=draw)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x @ self.weight + self.bias
        return (x @ self.weight).tanh() @ self.weight + 0.0 * self.idle


@pytest.mark.parametrize("fused", [True, False])
def test_each_parameter_is_updated_once_when_its_gradient_is_complete(fused: bool) -> None:
    """Groups keep their settings; what has a gradient of zero decays, what has none stays."""
    results = []
    for early in (False, True):
        module = Shared()
        before = {name: value.detach().clone() for name, value in module.named_parameters()}
        groups = [
            {"params": [module.weight, module.unused], "lr": 0.1, "weight_decay": 0.0},
            {"params": [module.bias, module.idle], "weight_decay": 0.5},
        ]
        optimizer = torch.optim.AdamW(groups, lr=0.01, fused=fused)
        for step in range(3):
            loss = module(torch.eye(4) + step).square().sum()
            if early:
                with stepping_in_backward(optimizer):
                    loss.backward()
                assert all(parameter.grad is None for parameter in module.parameters())
            else:
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        assert optimizer.param_groups[0]["params"][0] is module.weight and len(optimizer.param_groups) == 2
        assert torch.equal(module.unused, before["unused"])
        torch.testing.assert_close(module.idle.detach(), before["idle"] * (1 - 0.01 * 0.5) ** 3)
        moments = [value for _, state in sorted(optimizer.state_dict()["state"].items()) for value in state.values()]
        results.append([*(parameter.detach() for parameter in module.parameters()), *moments])
    for plain, found in zip(*results, strict=True):
        assert torch.equal(plain, found)


def test_afterwards_a_backward_pass_only_adds_up_gradients() -> None:
    module = Shared()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    with pytest.raises(ZeroDivisionError), stepping_in_backward(optimizer):
        raise ZeroDivisionError
    before = module.weight.detach().clone()
    module(torch.eye(4)).sum().backward()
    assert module.weight.grad is not None and torch.equal(module.weight, before)


# ---- who decides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "thrift", "needed"),
    [
        (80, Thrift.NONE, 24.9),
        (29, Thrift.GRADIENTS, 18.7),  # 4.7 GB of activations beside it
        (21, Thrift.ACTIVATIONS, 18.7),
        (10, Thrift.ACTIVATIONS, 18.7),
    ],
)
def test_row_9_does_what_the_memory_asks_for(free: int, thrift: Thrift, needed: float) -> None:
    estimate = estimate_memory(row_config(9), CPU, free=free * 10**9)
    assert estimate.thrift is thrift
    assert estimate.needed / 1e9 == pytest.approx(needed, abs=0.1)


def test_what_fits_is_done_as_ever() -> None:
    for row in (1, 5, 8, 10, 13):
        assert estimate_memory(row_config(row), CPU, free=6 * 10**9).thrift is Thrift.NONE


def test_the_length_of_the_messages_counts() -> None:
    """Row 10 keeps 5 GB of activations at 1,024 positions."""
    config = row_config(10, context_length="model_context_length")
    assert estimate_memory(config, CPU, free=4 * 10**9).thrift is Thrift.ACTIVATIONS
    assert estimate_memory(config, CPU, width=100, free=4 * 10**9).thrift is Thrift.NONE


def test_a_recorded_step_is_never_taken_apart() -> None:
    assert estimate_memory(row_config(9, execution="recorded"), CPU, free=0).thrift is Thrift.NONE


def test_several_backward_passes_for_one_update_spare_no_gradients() -> None:
    for execution, gradients in (("naive", 3), ("planned", 2)):
        config = row_config(5, weights="random", accumulation_steps=4, execution=execution)
        assert estimate_memory(config, CPU, free=0).needed == 4 * (1 + gradients) * 124_441_346


def test_row_9_is_refused_only_where_no_way_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 21 * 10**9)
    check_memory(row_config(9), CPU)
    text = describe(SPAM, row_config(9, device="cpu"))
    assert "refused" not in text and Thrift.ACTIVATIONS.value in text
    assert "memory                18.69 GB for weights, gradients and moments; 21.0 GB free" in text
    monkeypatch.setattr(memory, "free_memory", lambda device: 18 * 10**9)
    with pytest.raises(ConfigError, match=r"moments take about 18\.7 GB, with gradients 24\.9 GB, 18\.0 GB are free"):
        check_memory(row_config(9), CPU)
    monkeypatch.setattr(memory, "free_memory", lambda device: 80 * 10**9)
    assert "backward" not in describe(SPAM, row_config(9, device="cpu"))


def test_the_plan_says_it_in_its_line() -> None:
    plan = dataclasses.replace(make_plan(row_config(9)), thrift=Thrift.ACTIVATIONS)
    assert plan.describe().endswith(
        "block 48 at 1 position; each parameter updated in the backward pass, once its gradient is there;"
        " blocks computed again there"
    )
