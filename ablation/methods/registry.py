"""Ways to adapt a model: what each attaches, what trains, how it merges.

A method is one module of this room, an entry here, and its declaration in ``ablation/config/methods.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import nn

from ablation.config.settings import CommonSettings
from ablation.methods import adapters, dora, dylora, ia3, layers, low_rank, prefix_tuning, soft_prompts
from ablation.methods.primitives import merge_linear_maps
from ablation.methods.starting_values import Derived

# (model with its new head, configuration) -> starting values that follow from the base's, by the names that the
# parameters have afterwards; these parameters are attached on the meta device.
Attach = Callable[[nn.Module, CommonSettings], Mapping[str, Derived] | None]


def nothing_attached(model: nn.Module, config: CommonSettings) -> None:
    """Of a method that trains what is there."""


def nothing_to_merge(model: nn.Module) -> None:
    """Of a method whose model is a plain one."""


def same_at_every_update(model: nn.Module, config: CommonSettings, number: int) -> AbstractContextManager[object]:
    """Of a method that draws nothing while it trains."""
    return nullcontext()


def one_way_to_use(model: nn.Module, config: CommonSettings) -> Mapping[str, AbstractContextManager[object] | None]:
    """Of a method whose trained model is used as it was trained."""
    return {}


@dataclass(frozen=True)
class Method:
    """A way to adapt a model.

    Attributes:
        selects: (name in the plain model, number of blocks) -> whether this parameter trains. What the method itself
            adds always trains.
        attach: puts the method's modules into a model with its new head, drawing in a fixed order. It is called
            where the CPU is the default device.
        merge: replaces them by plain layers that compute the same, in place. Of a method that cannot (its declaration
            says why) it is not called.
        updating: (model, configuration, number of the update) -> the context in which the update's gradients are
            computed. What it draws comes from a generator of its own, seeded by configuration and number: a run that
            is gone on with draws the same.
        uses: (trained model, configuration) -> ways to use it where there are several, by name, each the context in
            which it is used so, None for how it stands; a run's record has the right answers of each.
    """

    selects: Callable[[str, int], bool]
    attach: Attach = nothing_attached
    merge: Callable[[nn.Module], None] = nothing_to_merge
    updating: Callable[[nn.Module, CommonSettings, int], AbstractContextManager[object]] = same_at_every_update
    uses: Callable[[nn.Module, CommonSettings], Mapping[str, AbstractContextManager[object] | None]] = one_way_to_use


METHODS: dict[str, Method] = {
    "all": Method(layers.everything),
    "last_block": Method(layers.last_block),
    "last_two_blocks": Method(layers.last_two_blocks),
    "last_layer": Method(layers.last_layer),
    "lora": Method(layers.last_layer, low_rank.attach_lora, merge_linear_maps),
    "lora_alternative": Method(layers.last_layer, low_rank.attach_merged_lora, merge_linear_maps),
    "dora": Method(layers.last_layer, dora.attach, merge_linear_maps),
    "dylora": Method(layers.last_layer, dylora.attach, merge_linear_maps, dylora.updating, dylora.uses),
    "serial_adapter": Method(layers.last_layer, adapters.attach_serial),
    "parallel_adapter": Method(layers.last_layer, adapters.attach_parallel),
    "hybrid": Method(layers.last_layer, prefix_tuning.attach_hybrid),
    "prefix_tuning": Method(layers.last_layer, prefix_tuning.attach),
    "soft_prompt": Method(layers.last_layer, soft_prompts.attach),
    "ia3": Method(layers.last_layer, ia3.attach, merge_linear_maps),
    "bitfit": Method(layers.biases),
    "norms": Method(layers.block_norms),
}


@dataclass(frozen=True)
class Adapted:
    """What a method did to a model.

    Attributes:
        origins: the name of each parameter that was there before -> its name in the plain model. A parameter that is
            missing from it was attached.
        derived: starting values that follow from the base's, by the name of the parameter.
    """

    origins: dict[str, str]
    derived: dict[str, Derived] = field(default_factory=dict)


def adapt(model: nn.Module, method: Method, config: CommonSettings) -> Adapted:
    """Attach a method, then let exactly what it trains require gradients.

    Raises:
        ValueError: the method does what nobody here could follow.
    """
    plain = {id(parameter): name for name, parameter in model.named_parameters()}
    n_blocks = len(model.trf_blocks)  # type: ignore[arg-type]
    with torch.device("cpu"):  # draws happen there, whatever the device of the model
        derived = method.attach(model, config) or {}
    _check_attached(model, n_blocks)
    origins = {}
    for name, parameter in model.named_parameters():
        origin = plain.get(id(parameter))
        if origin is not None:
            origins[name] = origin
        parameter.requires_grad_(origin is None or _selected(origin, n_blocks, method, config))
    return Adapted(origins, dict(derived))


def _selected(name: str, n_blocks: int, method: Method, config: CommonSettings) -> bool:
    """Whether a parameter that was there before trains: what the method selects, as far as the settings that all
    methods have in common let it."""
    if name.startswith(layers.NEW_HEAD) and config.lora_head == "frozen":
        return False
    if name.startswith("final_norm.") and config.train_final_norm:
        return True
    block = layers.block_of(name)
    return (block is None or block >= config.first_adapted_block) and method.selects(name, n_blocks)


def is_decayed(name: str, attached: bool, config: CommonSettings) -> bool:
    """Whether weight decay acts on a parameter that trains, by its name in the adapted model."""
    return config.decayed != "classifier" or (name.startswith(layers.NEW_HEAD) and not attached)


def _check_attached(model: nn.Module, n_blocks: int) -> None:
    if len(model.trf_blocks) != n_blocks:  # type: ignore[arg-type]
        raise ValueError(f"{len(model.trf_blocks)} blocks, the base has {n_blocks}: a method adds none")  # type: ignore[arg-type]
    places: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if (other := places.setdefault(id(parameter), name)) != name:
            raise ValueError(f"{name} is {other}, too: give each place a parameter of its own")
