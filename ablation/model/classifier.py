"""Make the classifier: GPT-2's trunk from some source of weights, a new head, and what of it trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import ModelShape
from ablation.methods.registry import METHODS, adapt
from ablation.methods.starting_values import Derived
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


@dataclass(frozen=True)
class Assembly:
    """A classifier whose trunk has no values yet (it is on the meta device), and where they come from.

    Attributes:
        model: what is new in it (head, parts of the method) has its starting values.
        sources: name of each parameter of the trunk -> its name in the source of weights.
        added: names of the parameters that the method attached.
        derived: those of them whose starting values follow from the trunk's; they have none yet, either.
    """

    model: GPTModel
    sources: dict[str, str]
    added: frozenset[str]
    derived: Mapping[str, Derived]

    def count_parameters(self) -> tuple[int, int]:
        """(parameters of the trunk and its head, trainable parameters)"""
        parameters = dict(self.model.named_parameters())
        plain = sum(p.numel() for name, p in parameters.items() if name not in self.added)
        return plain, sum(p.numel() for p in parameters.values() if p.requires_grad)


def assemble(config: ExperimentConfig, shape: ModelShape) -> Assembly:
    """Put together what the configuration names, drawing only what is new, on the CPU and from the seed."""
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(shape, causal=not config.disable_causal_mask)
    with torch.random.fork_rng(devices=[]):  # whoever assembles to count parameters draws nothing
        torch.manual_seed(config.seed)
        model.out_head = nn.Linear(shape.emb_dim, len(config.label_names))
        adapted = adapt(model, METHODS[config.adaptation], config)
    origins, derived = adapted.origins, adapted.derived
    added = frozenset(name for name, parameter in model.named_parameters() if name not in origins)
    unset = {name for name, parameter in model.named_parameters() if name in added and parameter.is_meta}
    if odd := sorted(unset ^ derived.keys()):
        raise ValueError(f"{odd[0]} was attached without a value, or has one although it follows from the base's")
    model.eval()  # GPT-2 as used here has no dropout, and a frozen prefix is computed once
    # By the values, not the names: what has none yet must come from somewhere.
    sources = {name: origins[name] for name, p in model.named_parameters() if p.is_meta and name in origins}
    return Assembly(model, sources, added, derived)


class StartingValues:
    """A source of weights that also has the starting values of what a method attached, under their own names."""

    def __init__(self, weights: WeightSource, derived: Mapping[str, Derived]) -> None:
        self._weights, self._derived = weights, derived
        self.shape = weights.shape

    def tensor(self, name: str) -> Tensor:
        if (own := self._derived.get(name)) is None:
            return self._weights.tensor(name)
        return own.make(self._weights.tensor(own.source))

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        names = list(names)
        base = self._weights.tensors(name for name in names if name not in self._derived)
        return base | {name: self.tensor(name) for name in names if name in self._derived}

    def digest(self) -> str:
        return self._weights.digest()


def build_classifier(config: ExperimentConfig, shape: ModelShape) -> GPTModel:
    """The model of :func:`assemble`."""
    return assemble(config, shape).model


def materialise(
    module: nn.Module,
    weights: WeightSource,
    device: torch.device,
    sources: Mapping[str, str] | None = None,
    prefix: str = "",
) -> None:
    """Give a module's parameters their values: the trunk's from their source, others as they are.

    Trainable parameters become copies of their own; frozen ones may be views of a mapped file.

    Args:
        sources: as :class:`Assembly` has them; None for a plain model, whose names are the source's.
        prefix: what the module is called in the model; empty for the model itself.
    """
    own = dict(module.named_parameters())
    wanted = {name: f"{prefix}.{name}".lstrip(".") for name, parameter in own.items() if parameter.is_meta}
    if sources is not None:
        wanted = {name: sources[full] for name, full in wanted.items()}
    read = weights.tensors(wanted.values())
    for name, parameter in own.items():
        value = read[wanted[name]] if name in wanted else parameter.detach()
        value = value.to(device, parameter.dtype)
        if parameter.requires_grad:
            value = value.clone(memory_format=torch.contiguous_format)
        part_name, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(part_name), leaf, nn.Parameter(value, requires_grad=parameter.requires_grad))
