"""Ways to adapt a model: what each attaches, what trains, how it merges.

A method is one module of this room, an entry here, and its declaration in ``ablation/config/methods.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ablation.config.experiment import ExperimentConfig
from ablation.methods import layers, low_rank


def nothing_attached(model: nn.Module, config: ExperimentConfig) -> None:
    """Of a method that trains what is there."""


def nothing_to_merge(model: nn.Module) -> None:
    """Of a method whose model is a plain one."""


@dataclass(frozen=True)
class Method:
    """A way to adapt a model.

    Attributes:
        selects: (name in the plain model, number of blocks) -> whether this parameter trains. What the method itself
            adds always trains.
        attach: puts the method's modules into a model with its new head, drawing on the CPU in a fixed order.
        merge: replaces them by plain layers that compute the same, in place.
    """

    selects: Callable[[str, int], bool]
    attach: Callable[[nn.Module, ExperimentConfig], None] = nothing_attached
    merge: Callable[[nn.Module], None] = nothing_to_merge


METHODS: dict[str, Method] = {
    "all": Method(layers.everything),
    "last_block": Method(layers.last_block),
    "last_two_blocks": Method(layers.last_two_blocks),
    "last_layer": Method(layers.last_layer),
    "lora": Method(layers.last_layer, low_rank.attach_lora, low_rank.merge),
    "lora_alternative": Method(layers.last_layer, low_rank.attach_merged_lora, low_rank.merge),
}


def adapt(model: nn.Module, method: Method, config: ExperimentConfig) -> dict[str, str]:
    """Attach a method, then let exactly what it trains require gradients.

    Returns:
        The name of each parameter that was there before -> its name in the plain model. A parameter that is missing
        from it was attached, and has its starting value.

    Raises:
        ValueError: the method does what nobody here could follow.
    """
    plain = {id(parameter): name for name, parameter in model.named_parameters()}
    n_blocks = len(model.trf_blocks)  # type: ignore[arg-type]
    method.attach(model, config)
    _check_attached(model, n_blocks)
    origins = {}
    for name, parameter in model.named_parameters():
        origin = plain.get(id(parameter))
        if origin is not None:
            origins[name] = origin
        parameter.requires_grad_(origin is None or method.selects(origin, n_blocks))
    return origins


def _check_attached(model: nn.Module, n_blocks: int) -> None:
    if len(model.trf_blocks) != n_blocks:  # type: ignore[arg-type]
        raise ValueError(f"{len(model.trf_blocks)} blocks, the base has {n_blocks}: a method adds none")  # type: ignore[arg-type]
    places: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if (other := places.setdefault(id(parameter), name)) != name:
            raise ValueError(f"{name} is {other}, too: give each place a parameter of its own")
