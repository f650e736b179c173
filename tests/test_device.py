"""A training step asks its device for no value: it would have to wait for all that was computed before.

Shown without a device to wait for, on PyTorch's meta device, whose tensors have shapes but no values: whatever needs
one (``item``, ``bool``, a copy to the CPU, a data-dependent shape) raises there.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ablation.classifier import RandomWeights
from ablation.execution_plan import make_setup
from ablation.executions import NaiveExecution, PlannedExecution
from ablation.experiment import feature_stages
from ablation.listener import Listener
from ablation.prefix_features import FeatureOptions
from ablation.training import cross_entropy
from tests.test_executions import CASES
from tests.tiny import SHAPE, make_messages, tiny_config

META = torch.device("meta")


@pytest.mark.parametrize("kind", ["planned", "naive"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
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
        cross_entropy(logits, execution.labels("train", batch), config).backward(retain_graph=True)
    optimizer.step()
    optimizer.zero_grad()


def test_reading_a_value_would_raise() -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones((), device=META).item()
    with pytest.raises(NotImplementedError):
        torch.ones((), device=META).cpu()
