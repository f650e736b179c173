"""A training step asks its device for no value: it would have to wait for all that was computed before.

Shown without a device to wait for, on PyTorch's meta device, whose tensors have shapes but no values: whatever needs
one (``item``, ``bool``, a copy to the CPU, a data-dependent shape) raises there.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ablation.data.encode import send
from ablation.execution.features import FeatureOptions
from ablation.execution.naive import NaiveExecution
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import make_setup
from ablation.listener import Listener
from ablation.model.classifier import RandomWeights
from ablation.run.experiment import feature_stages
from ablation.tasks.spam import SPAM
from tests.support.cases import CASES, as_parameters
from tests.support.parity import tensors
from tests.support.tiny import SHAPE, make_messages, tiny_config

META = torch.device("meta")


@pytest.mark.parametrize("kind", ["planned", "naive"])
@pytest.mark.parametrize("case", as_parameters(CASES))
def test_a_step_reads_nothing_back(case: dict[str, Any], kind: str) -> None:
    config = tiny_config(**case)
    messages = make_messages(config)
    setup = make_setup(config, RandomWeights(SHAPE, config.seed), messages, META)
    execution: NaiveExecution | PlannedExecution
    if kind == "naive":
        execution = NaiveExecution(setup)
    else:
        execution = PlannedExecution(setup, FeatureOptions(feature_stages(messages, config), memory=10**9))
    execution.prepare(0, Listener())
    optimizer = torch.optim.AdamW(execution.trainable_parameters())  # the fused one wants a real device
    batches = [torch.arange(8), torch.arange(8, 16)]
    for logits, batch in zip(execution.logits("train", batches), batches, strict=True):
        assert logits.device == META
        SPAM.loss(logits, execution.labels("train", batch), config).backward(retain_graph=True)
    optimizer.step()
    optimizer.zero_grad()


class DeviceAlone(TorchDispatchMode):
    """Refuses every operation that touches a tensor elsewhere: a CUDA graph cannot hold a copy from the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        touched = tensors([*args, *(kwargs or {}).values(), out])
        found = {tensor.device for tensor in touched}
        assert found <= {META}, (func, found)
        return out


@pytest.mark.parametrize("case", as_parameters(CASES))
def test_loss_and_gradients_are_computed_on_the_device_alone(case: dict[str, Any]) -> None:
    config = tiny_config(**case)
    messages = make_messages(config)
    setup = make_setup(config, RandomWeights(SHAPE, config.seed), messages, META)
    execution = PlannedExecution(setup, FeatureOptions(feature_stages(messages, config), memory=10**9))
    execution.prepare(0, Listener())
    indices = torch.arange(8)
    inputs, labels = execution.inputs("train", indices), execution.labels("train", indices)
    with DeviceAlone():
        SPAM.loss(execution.suffix(inputs), labels, config).backward()
    with pytest.raises(AssertionError), DeviceAlone():
        send(indices, META)


def test_reading_a_value_would_raise() -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones((), device=META).item()
    with pytest.raises(NotImplementedError):
        torch.ones((), device=META).cpu()
