"""Make the spam classifier: GPT-2's trunk from some source of weights, a new head, and what of it trains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from ablation.config.experiment import NUM_CLASSES, ExperimentConfig
from ablation.config.shapes import ModelShape
from ablation.methods.layers import apply_policy
from ablation.model.weights import WithoutDraws, combined_digest, tensor_digest
from previous_chapters import GPTModel


class WeightSource(Protocol):
    """Where the trunk's tensors come from, as they are needed, under the names of ``GPTModel``."""

    @property
    def shape(self) -> ModelShape: ...

    def tensor(self, name: str) -> Tensor: ...

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]: ...

    def digest(self) -> str: ...


class RandomWeights:
    """PyTorch's default initialisation, drawn on the CPU in the order of the model's modules."""

    def __init__(self, shape: ModelShape, seed: int) -> None:
        self.shape = shape
        torch.manual_seed(seed)
        self._tensors = GPTModel(shape).state_dict()
        del self._tensors["out_head.weight"]  # drawn, because the published script draws it, but replaced at once

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        return {name: self._tensors[name] for name in names}

    def digest(self) -> str:
        """As of a file that holds the same weights."""
        return combined_digest({name: tensor_digest(tensor) for name, tensor in self._tensors.items()})


def build_classifier(config: ExperimentConfig, shape: ModelShape) -> GPTModel:
    """A classifier whose trunk is still on the meta device, so that nothing is drawn or held that is about to be
    overwritten; what is new (head, LoRA) is drawn on the CPU from the seed.
    """
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(shape, causal=not config.disable_causal_mask)
    torch.manual_seed(config.seed)
    model.out_head = nn.Linear(shape.emb_dim, NUM_CLASSES)
    apply_policy(model, config.trainable_layers, config.lora_rank, config.lora_alpha)
    return model


def trunk_name(name: str) -> str:
    """The name, in the model without LoRA, of a parameter of a model whose layers may be wrapped."""
    return name.replace(".linear.", ".")


def materialise(module: nn.Module, weights: WeightSource, device: torch.device, prefix: str = "") -> None:
    """Give a module's parameters that are on the meta device their values, and move the others to the device.

    Frozen parameters may share memory with the source (a mapped file, say); trainable ones get memory of their own.

    Args:
        prefix: what the module is called in the model; empty for the model itself.
    """
    own = dict(module.named_parameters())
    wanted = {name: trunk_name(f"{prefix}.{name}".lstrip(".")) for name, p in own.items() if p.is_meta}
    read = weights.tensors(wanted.values())
    for name, parameter in own.items():
        value = read[wanted[name]] if name in wanted else parameter.detach()
        value = value.to(device, parameter.dtype)
        if parameter.requires_grad:
            value = value.clone(memory_format=torch.contiguous_format)
        part_name, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(part_name), leaf, nn.Parameter(value, requires_grad=parameter.requires_grad))


def count_parameters(model: GPTModel) -> tuple[int, int]:
    """(all parameters but LoRA's, trainable parameters); values need not be loaded."""
    parameters = dict(model.named_parameters())
    total = sum(p.numel() for name, p in parameters.items() if not name.endswith((".lora.A", ".lora.B")))
    return total, sum(p.numel() for p in parameters.values() if p.requires_grad)
