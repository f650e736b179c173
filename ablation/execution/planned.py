"""The planned way to logits: the same values and the same gradients as the plain way, from as little as they need."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ablation.data.encode import send
from ablation.execution.base import Execution, at_least_float32
from ablation.execution.blocks import RecomputedBlocks, logits_from_last_input
from ablation.execution.embedding_rows import keep_occurring, occurring_rows, whole_embeddings
from ablation.execution.features import FeatureOptions, PrefixFeatures
from ablation.execution.layout import similar_lengths
from ablation.execution.plan import Start
from ablation.execution.reach import attended_positions
from ablation.execution.setup import Setup, arithmetic
from ablation.execution.single_query import block_at_position
from ablation.listener import Listener
from ablation.methods.primitives import has_hooks
from ablation.model.classifier import materialise
from previous_chapters import Blocks, GPTModel, LayerNorm

Inputs = dict[str, Tensor]
_MODEL_FORWARD, _EMBED, _EMBEDDING_FORWARD = GPTModel.forward, GPTModel.embed, nn.Embedding.forward


def check_frame(model: GPTModel) -> None:
    """Blocks may be of any kind. What is around them the plan goes around, so it has to be what it was.

    Raises:
        ValueError: the model, its embeddings or its final norm do something of their own.
    """
    own = {
        "model": (model, (model.forward, model.embed), (_MODEL_FORWARD, _EMBED)),
        "tok_emb": (model.tok_emb, (model.tok_emb.forward,), (_EMBEDDING_FORWARD,)),
        "pos_emb": (model.pos_emb, (model.pos_emb.forward,), (_EMBEDDING_FORWARD,)),
        "final_norm": (model.final_norm, (model.final_norm.forward,), (LayerNorm.forward,)),
        "trf_blocks": (model.trf_blocks, (model.trf_blocks.forward,), (Blocks.forward,)),
    }
    for name, (module, found, expected) in own.items():
        if tuple(getattr(method, "__func__", None) for method in found) != expected or has_hooks(module):
            raise ValueError(f"{name} has a forward, an embed or hooks of its own: give --execution naive")


class PlannedExecution(Execution):
    """The frozen prefix once, the trainable suffix where the readout can see it, the last block where it is read."""

    joins_batches = True

    def __init__(self, setup: Setup, options: FeatureOptions) -> None:
        setup = setup.thinned()
        super().__init__(setup)
        check_frame(setup.model)
        self._logits_from = {
            Start.TOKENS: self._from_tokens,
            Start.STATES: self._from_states,
            Start.NORMALISED: self._from_normalised,
            Start.VECTOR: self._from_vector,
        }[setup.plan.start]
        first = setup.plan.first_block if setup.plan.keeps_features else 0
        for part in (*(f"trf_blocks.{i}" for i in range(first, setup.plan.n_blocks)), "final_norm", "out_head"):
            materialise(setup.model.get_submodule(part), setup.weights, setup.device, setup.sources, prefix=part)
        blocks = RecomputedBlocks if setup.plan.thrift.recomputes else Blocks
        self._blocks = blocks(*list(setup.model.trf_blocks)[first:-1])  # all that trains but the last
        if setup.plan.keeps_features:
            self._features = PrefixFeatures(setup, options)
        else:
            self._embeddings(setup)

    def _embeddings(self, setup: Setup) -> None:
        """Where they train, the rows that occur; else as they are."""
        model, weights, device = setup.model, setup.weights, setup.device
        if model.extra is not None:
            materialise(model.extra, weights, device, setup.sources, prefix="extra")
        self._rows = self._weights = None
        if not (model.tok_emb.weight.requires_grad or model.pos_emb.weight.requires_grad):
            materialise(model.tok_emb, weights, device, setup.sources, prefix="tok_emb")
            materialise(model.pos_emb, weights, device, setup.sources, prefix="pos_emb")
            return
        self._rows = occurring_rows(setup.messages, model)
        keep_occurring(model, weights, self._rows, device)
        self._messages = self._rows.renumber(setup.messages)
        all_rows = setup.config.save_model or setup.config.measure_forgetting
        self._weights = weights if all_rows else None  # for the rows that do not occur

    @property
    def features(self) -> str:
        """Where this run's features come from, once the first stage is prepared."""
        if not self.plan.keeps_features:
            return "none"
        return "reused" if self._features.reused else "computed"

    def trained_parameters(self, updates: int) -> dict[str, Tensor]:
        trained = super().trained_parameters(updates)
        if self.plan.keeps_features or self._rows is None:
            return trained
        if self._weights is None:
            raise RuntimeError("the rows that no message touches were not kept; configure the run with save_model")
        return trained | whole_embeddings(trained, self._weights, self._rows, self._config, updates)

    def prepare(self, stage: int, listener: Listener) -> None:
        if self.plan.keeps_features:
            with arithmetic(self._config, self._device):
                self._features.compute(stage, listener)

    def logits(self, split: str, batches: Sequence[Tensor]) -> list[Tensor]:
        """Computed in batches of its own making, by length, since a message's logits do not depend on its batch."""
        indices = torch.cat(list(batches))
        order, parts = [], []
        for chosen in similar_lengths(self._reach.visible[split][indices], equal=self._reach.equal):
            order.append(chosen)
            parts.append(self.suffix(self.inputs(split, indices[chosen])))
        back = send(torch.cat(order).argsort(), self._device)
        return list(torch.cat(parts)[back].split([len(batch) for batch in batches]))

    def has_one_length(self, split: str) -> bool:
        """Whether the messages are all seen at the same number of positions, so that batches differ in values only."""
        return bool((self._reach.visible[split] == self._reach.visible[split][0]).all())

    def inputs(self, split: str, indices: Tensor) -> Inputs:
        """What the suffix needs to know of (B,) messages, by its own names, on the device."""
        reach, extra = self._reach, self.model.n_extra
        width = int(reach.visible[split][indices].max())
        placed = self._messages[split].placement.of(indices, width)
        hidden = None if placed.hidden is None else self.model.with_extra(placed.hidden)
        read = {"taken_in": reach.taken_in[split][indices], "skipped": reach.skipped[split][indices]}
        found: dict[str, Tensor | None] = {**read, "hidden": hidden}
        if self.plan.keeps_features:
            found["messages"] = messages = self._features.messages.ids[split][indices]
            if self.plan.start is not Start.VECTOR:
                found["rows"] = self._features.rows(messages, width)
        else:
            found |= {"tokens": self._messages[split].tokens[indices, :width], "positions": placed.positions}
        inputs = {name: send(value, self._device) for name, value in found.items() if value is not None}
        attended = attended_positions(reach.attended[split][indices] + extra, width + extra, self._device, hidden)
        return inputs if attended is None else {**inputs, "attended": attended}

    def suffix(self, inputs: Inputs) -> Tensor:
        """(B, C) logits from :meth:`inputs` and the parameters, by operations on the device alone."""
        with arithmetic(self._config, self._device):
            return at_least_float32(self._logits_from(inputs))

    @torch.no_grad()
    def vectors(self, split: str) -> Tensor:
        """(N, D) what the classifier reads of each message, where all before it is frozen and computed once.

        Raises:
            ValueError: it is not.
        """
        if self.plan.start is not Start.VECTOR:
            raise ValueError("the model trains before its classifier: no vectors were kept")
        return at_least_float32(self._features.at_readout(send(self._features.messages.ids[split], self._device)))

    def _from_tokens(self, inputs: Inputs) -> Tensor:
        return self._through_blocks(self.model.embed(inputs["tokens"], inputs.get("positions")), inputs)

    def _from_states(self, inputs: Inputs) -> Tensor:
        return self._through_blocks(self._features.states(inputs["rows"]), inputs)

    def _through_blocks(self, x: Tensor, inputs: Inputs) -> Tensor:
        hidden, pooled = inputs.get("hidden"), self.plan.pooled
        x = self._blocks(x, hidden)
        taken_in, attended = inputs["taken_in"], inputs.get("attended")
        return logits_from_last_input(
            self.model, x, taken_in, attended, pooled=pooled, skipped=inputs["skipped"], hidden=hidden
        )

    def _from_normalised(self, inputs: Inputs) -> Tensor:
        x, normalised = self._features.at_readout(inputs["messages"]), self._features.states(inputs["rows"])
        x = block_at_position(self.model.trf_blocks[-1], x, normalised, inputs.get("attended"))  # type: ignore[arg-type]
        return self.model.out_head(self.model.final_norm(x))

    def _from_vector(self, inputs: Inputs) -> Tensor:
        return self.model.out_head(self._features.at_readout(inputs["messages"]))
