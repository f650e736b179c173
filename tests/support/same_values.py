"""transformers' GPT-2 with the values of a tiny classifier: logits and gradients of code that is not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.execution.base import Execution
from ablation.model.layouts import BLOCK, REST
from tests.support.hub_twin import make_twin
from tests.support.parity import move_what_is_added
from tests.support.tiny import SHAPE, make_execution, make_messages

BATCHES = [torch.tensor([message]) for message in (3, 1, 0, 17, 39)]
# dtype -> largest difference, as a share of the largest value where that is above 1
BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
Their = Mapping[str | tuple[str, ...], Tensor]


def make_tiny_twin(dtype: torch.dtype) -> Any:
    twin = make_twin(
        vocab_size=SHAPE.vocab_size, n_positions=SHAPE.context_length, n_embd=SHAPE.emb_dim, n_layer=SHAPE.n_layers,
        n_head=SHAPE.n_heads,
    )  # fmt: skip
    return twin.to(dtype)


def in_our_names(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a transformers trunk under our names and in our layout; those that are missing there are here, too."""
    found = {row.ours[0]: theirs[row.huggingface] for row in REST if row.huggingface in theirs}
    for index in range(SHAPE.n_layers):
        for row in BLOCK:
            if (whole := theirs.get(f"h.{index}.{row.huggingface}")) is not None:
                for name, part in zip(row.ours, whole.chunk(len(row.ours), dim=-1), strict=True):
                    found[f"trf_blocks.{index}.{name}"] = part.T if whole.ndim == 2 else part
    return found


class TwinWeights:
    """A transformers trunk as a source of weights."""

    shape = SHAPE

    def __init__(self, trunk: Any) -> None:
        values = {name: parameter.detach().clone() for name, parameter in trunk.named_parameters()}
        self._tensors = in_our_names(values)

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        return {name: self._tensors[name] for name in names}

    def digest(self) -> str:
        return "of a twin"


def make_both(config: ExperimentConfig, dtype: torch.dtype) -> tuple[Any, list[Execution]]:
    """A twin, and the naive and the planned execution over its values; with values at which no gradient is
    zero."""
    twin = make_tiny_twin(dtype)
    messages = make_messages(config)
    weights = TwinWeights(twin.transformer)
    executions: list[Execution] = [
        make_execution(config, messages, kind, dtype, weights=weights) for kind in ("naive", "planned")
    ]
    for execution in executions:
        move_what_is_added(execution)
    return twin, executions


def head_of(execution: Execution) -> tuple[Tensor, Tensor]:
    """The classifier's weight and bias as tensors of their own."""
    head: Any = execution.model.out_head
    return head.weight.detach().clone().requires_grad_(), head.bias.detach().clone().requires_grad_()


def read_by(execution: Execution, last_states: Callable[[Tensor], Tensor], head: tuple[Tensor, Tensor]) -> Tensor:
    """Logits of the messages of ``BATCHES``, from what a model says are the states (1, T, D) of a message's tokens."""
    split, logits = execution._messages["train"], []
    for batch in BATCHES:
        states = last_states(split.batch(batch))[0, : int(execution._reach.taken_in["train"][batch])]
        logits.append(F.linear(states.mean(0) if execution.plan.pooled else states[-1], *head))
    return torch.stack(logits)


def assert_same(executions: list[Execution], logits: Tensor, their: Their, dtype: torch.dtype) -> None:
    """Logits, and the gradient of every parameter that trains.

    Args:
        their: what they were made of, by transformers' names in its trunk or, of what it has not, by ours; by several
            of ours if these stand there side by side.
    """
    labels, bound = executions[0].labels("train", torch.cat(BATCHES)), BOUNDS[dtype]
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), list(their.values()))
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    expected: dict[str, Tensor] = {}
    for key, gradient in zip(their, gradients, strict=True):
        names = (key,) if isinstance(key, str) else key
        expected |= dict(zip(names, gradient.chunk(len(names), dim=-1), strict=True))
    expected |= in_our_names(expected)
    for execution in executions:
        own = torch.cat(execution.logits("train", BATCHES))
        assert (own - logits).abs().max() <= bound * max(1, float(logits.detach().abs().max()))
        trained = {name: p for name, p in execution.model.named_parameters() if p.requires_grad}
        ours = torch.autograd.grad(F.cross_entropy(own, labels), list(trained.values()))
        for (name, parameter), gradient in zip(trained.items(), ours, strict=True):
            assert gradient.shape == parameter.shape == expected[name].shape
            assert (gradient - expected[name]).abs().max() <= bound * max(1, largest), name
            assert gradient.abs().max() > 1e-6 * largest or name.endswith("W_key.bias"), name
