"""The two ways to get a run's logits, with the same values and the same gradients.

``NaiveExecution`` runs all blocks over all positions at every step, through ``GPTModel.forward``: the oracle.
``PlannedExecution`` computes what the loss can see (see ``execution_plan``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ablation.data.encode import send
from ablation.execution.embedding_rows import OccurringRows, keep_occurring, occurring_rows, whole_embeddings
from ablation.execution.features import FeatureOptions, Kind, PrefixFeatures, attended_positions
from ablation.execution.frozen_prefix import similar_lengths
from ablation.execution.plan import Setup, arithmetic
from ablation.execution.single_query import block_at_position, normalise
from ablation.listener import Listener
from ablation.model.classifier import WeightSource, materialise
from ablation.model.readout import read
from previous_chapters import TransformerBlock


class _Execution:
    """What both share: the model, the plan, and the labels on the model's device."""

    def __init__(self, setup: Setup) -> None:
        self._config, self._plan, self._device = setup.config, setup.plan, setup.device
        self.model = setup.model
        self._messages = setup.messages
        self._labels = {name: split.labels.to(setup.device) for name, split in setup.messages.items()}

    def labels(self, split: str, indices: Tensor) -> Tensor:
        """The labels (B,) of some messages, on the device of the logits."""
        return self._labels[split][send(indices, self._device)]

    def trainable_parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def trained_parameters(self, updates: int) -> dict[str, Tensor]:
        """What was trained, by name, on the CPU, after so many updates."""
        return {name: p.detach().cpu() for name, p in self.model.named_parameters() if p.requires_grad}


class NaiveExecution(_Execution):
    """Everything at every step, batch by batch."""

    joins_batches = False
    features = "none"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        materialise(setup.model, setup.weights, setup.device)

    def prepare(self, stage: int, listener: Listener) -> None:
        """Nothing is computed ahead."""

    def logits(self, split: str, batches: Sequence[Tensor]) -> list[Tensor]:
        return [self._batch_logits(split, batch) for batch in batches]

    def _batch_logits(self, split: str, indices: Tensor) -> Tensor:
        tokens = send(self._messages[split].batch(indices), self._device)
        taken_in = send(self._plan.taken_in[split][indices], self._device)
        with arithmetic(self._config, self._device):
            return at_least_float32(read(self.model(tokens), taken_in, self._plan.pooled))


class PlannedExecution(_Execution):
    """The frozen prefix once, the trainable suffix where the readout can see it, the last block where it is read."""

    joins_batches = True

    def __init__(self, setup: Setup, options: FeatureOptions) -> None:
        super().__init__(setup)
        model, weights, device = setup.model, setup.weights, setup.device
        suffix = model.trf_blocks[max(0, setup.plan.first_block) :]
        self._blocks = [cast(TransformerBlock, block) for block in suffix.children()]
        materialise(suffix, weights, device, prefix="trf_blocks")
        materialise(model.final_norm, weights, device, prefix="final_norm")
        materialise(model.out_head, weights, device, prefix="out_head")
        self._features: PrefixFeatures | None = None
        self._rows: OccurringRows | None = None
        self._weights: WeightSource | None = None
        if setup.plan.keeps_features:
            self._features = PrefixFeatures(setup, options)
        elif setup.plan.first_block == 0:
            materialise(model.tok_emb, weights, device, prefix="tok_emb")
            materialise(model.pos_emb, weights, device, prefix="pos_emb")
        else:
            self._rows = occurring_rows(setup.messages)
            keep_occurring(model, weights, self._rows, device)
            self._messages = self._rows.renumber(setup.messages)
            self._weights = weights if setup.config.save_model else None  # for the rows that do not occur

    @property
    def features(self) -> str:
        """Where this run's features come from, once the first stage is prepared."""
        if self._features is None:
            return "none"
        return "reused" if self._features.reused else "computed"

    def trained_parameters(self, updates: int) -> dict[str, Tensor]:
        trained = super().trained_parameters(updates)
        if self._rows is None:
            return trained
        if self._weights is None:
            raise RuntimeError("the rows that no message touches were not kept; configure the run with save_model")
        return trained | whole_embeddings(trained, self._weights, self._rows, self._config, updates)

    def prepare(self, stage: int, listener: Listener) -> None:
        """Compute what the messages of this stage need, before they are first asked for."""
        if self._features is not None:
            with arithmetic(self._config, self._device):
                self._features.compute(stage, listener)

    def logits(self, split: str, batches: Sequence[Tensor]) -> list[Tensor]:
        """Computed in batches of its own making, by length, since a message's logits do not depend on its batch."""
        indices = torch.cat(list(batches))
        order, parts = [], []
        for chosen in similar_lengths(self._plan.visible[split][indices], equal=not self._plan.causal):
            order.append(chosen)
            parts.append(self.suffix(self.inputs(split, indices[chosen])))
        back = send(torch.cat(order).argsort(), self._device)
        return list(torch.cat(parts)[back].split([len(batch) for batch in batches]))

    def has_one_length(self, split: str) -> bool:
        """Whether the messages are all seen at the same number of positions, so that batches differ in values only."""
        return bool((self._plan.visible[split] == self._plan.visible[split][0]).all())

    def inputs(self, split: str, indices: Tensor) -> dict[str, Tensor]:
        """What the suffix needs to know of (B,) messages, by its own names, on the device."""
        visible = self._plan.visible[split][indices]
        width = int(visible.max())
        inputs = {"taken_in": self._plan.taken_in[split][indices]}
        attended = attended_positions(visible, width)
        if attended is not None:
            inputs["attended"] = attended
        if self._features is None:
            inputs["tokens"] = self._messages[split].tokens[indices, :width]
        else:
            inputs["messages"] = self._features.messages.ids[split][indices]
            if self._features.kind is not Kind.VECTORS:
                inputs["rows"] = self._features.rows(inputs["messages"], width)
        return {name: send(value, self._device) for name, value in inputs.items()}

    def suffix(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, 2) logits from :meth:`inputs` and the parameters, by operations on the device alone."""
        with arithmetic(self._config, self._device):
            return at_least_float32(self._suffix(inputs))

    def _suffix(self, inputs: dict[str, Tensor]) -> Tensor:
        if self._features is None:
            x = self.model.embed(inputs["tokens"])
        elif self._features.kind is Kind.VECTORS:
            return self.model.out_head(self._features.at_readout(inputs["messages"]))
        else:
            x = self._features.states(inputs["rows"])
            if self._features.kind is Kind.NORMALISED:
                return self._logits_at_position(self._features.at_readout(inputs["messages"]), x, inputs)
        for block in self._blocks[:-1]:
            x = block(x)
        if self._plan.pooled:
            x = self.model.final_norm(self._blocks[-1](x))
            return self.model.out_head(read(x, inputs["taken_in"], pooled=True))
        return self._logits_at_position(read(x, inputs["taken_in"], pooled=False), normalise(x), inputs)

    def _logits_at_position(self, x: Tensor, normalised: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        x = block_at_position(self._blocks[-1], x, normalised, inputs.get("attended"))
        return self.model.out_head(self.model.final_norm(x))


def at_least_float32(logits: Tensor) -> Tensor:
    """Half-precision logits as float32, so that the loss is computed in it; others as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
