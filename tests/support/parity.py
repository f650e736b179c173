"""Two executions of one configuration, and what must be the same of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.execution.base import Execution
from tests.support.tiny import make_execution, make_messages


def make_pair(config: ExperimentConfig, **options: Any) -> tuple[Execution, Execution]:
    messages = make_messages(config)
    return make_execution(config, messages, "naive", **options), make_execution(config, messages, "planned", **options)


def move_what_is_added(execution: Execution) -> None:
    """Away from where it starts: behind a projection at zero nothing has a gradient, and no mistake shows."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in execution.model.named_parameters():
            if name in execution._added:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)


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
            gradient = expected_gradients.get(name)
            if gradient is None:
                continue
            others = torch.ones(len(gradient), dtype=torch.bool).index_fill(0, occurring, False)
            assert not gradient[others].any()
            expected_gradients[name] = gradient[occurring]
    largest = max(float(g.abs().max()) for g in expected_gradients.values() if g is not None)
    assert largest > 0
    for name, gradient in expected_gradients.items():
        other = found[name]
        assert gradient is not None and other is not None, name  # a zero gradient decays weights, None does not
        assert (gradient - other).abs().max() <= 1e-9 * largest, name


def tensors(result: Any) -> list[Tensor]:
    """All tensors among an operation's arguments or results."""
    if isinstance(result, Tensor):
        return [result]
    return [tensor for part in result for tensor in tensors(part)] if isinstance(result, list | tuple) else []
