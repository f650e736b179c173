"""What every way to logits has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ablation.data.encode import send
from ablation.execution.setup import Setup
from ablation.listener import Listener
from ablation.methods.registry import METHODS, is_decayed


class Execution:
    """How logits come about: the model, and the labels on its device.

    Attributes:
        joins_batches: whether several batches are cheaper together than one by one.
    """

    joins_batches = False

    def __init__(self, setup: Setup) -> None:
        self.model, self.plan = setup.model, setup.plan
        self._config, self._device = setup.config, setup.device
        self._reach, self._messages, self._added = setup.reach, setup.messages, setup.added
        self._drawn = frozenset(name for name, _ in setup.model.named_parameters() if name not in setup.sources)
        self._labels = {name: split.labels.to(setup.device) for name, split in setup.messages.items()}

    @property
    def features(self) -> str:
        """Where this run's features come from: computed, reused or none."""
        return "none"

    def prepare(self, stage: int, listener: Listener) -> None:
        """Compute what the messages of a stage need, before they are first asked for; stages come in order."""

    def logits(self, split: str, batches: Sequence[Tensor]) -> list[Tensor]:
        """For each batch of message indices (B,), the classifier's logits (B, C)."""
        raise NotImplementedError

    def labels(self, split: str, indices: Tensor) -> Tensor:
        """The labels (B,) of some messages, on the device of the logits."""
        return self._labels[split][send(indices, self._device)]

    def trainable_parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The trainable parameters as an optimizer takes them: those that are decayed, and those that are not."""
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups[is_decayed(name, name in self._added, self._config)].append(parameter)
        decay = {True: self._config.weight_decay, False: 0.0}
        return [{"params": group, "weight_decay": decay[decayed]} for decayed, group in groups.items() if group]

    def updating(self, number: int) -> AbstractContextManager[object]:
        """Where the gradients of an update, counted from 0, are computed."""
        return METHODS[self._config.adaptation].updating(self.model, self._config, number)

    def uses(self) -> Mapping[str, AbstractContextManager[object] | None]:
        """Ways to use the trained model where there are several, each the context for it; None as it stands."""
        return METHODS[self._config.adaptation].uses(self.model, self._config)

    def trained_parameters(self, updates: int) -> dict[str, Tensor]:
        """What makes the base the trained model, by name, on the CPU, after so many updates: what was trained, and what
        was drawn and left as it was."""
        kept = {name: p for name, p in self.model.named_parameters() if p.requires_grad or name in self._drawn}
        return {name: parameter.detach().cpu() for name, parameter in kept.items()}


def at_least_float32(logits: Tensor) -> Tensor:
    """Half-precision logits as float32, so that the loss is computed in it; others as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
