"""What a trained method is in PEFT's terms, and why some are nothing there: the one place that knows.

GPT-2 in transformers holds query, key and value as one layer, ``c_attn``: LoRA terms of rank r on k of the three are
one there, of rank R = k·r, its A all of theirs one below the other, its B block-diagonal. PEFT multiplies a term by
alpha / R (alpha / √R where rank-stabilised), so its alpha is our factor times that. What PEFT has for all three and we
for some is there what changes nothing: zero rows of B, the norm as DoRA's magnitude, one as IA3's scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.methods.dora import LinearWithDoRA, row_norms
from ablation.methods.ia3 import ScaledInputs, ScaledOutputs
from ablation.methods.primitives import LinearMap
from ablation.model.layouts import BLOCK
from ablation.run.export_folder import ExportError
from lora import LinearWithLoRA
from previous_chapters import GPTModel


@dataclass(frozen=True)
class Adapter:
    """What PEFT is told of a method: settings of ``adapter_config.json``, and tensors by the model's own names."""

    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Place:
    """A layer of transformers, and the layers of ours that it is, at least one of them changed by the method.

    Attributes:
        kind: its name within a block.
    """

    block: int
    kind: str
    layers: tuple[nn.Module, ...]

    def named(self, **tensors: Tensor) -> dict[str, Tensor]:
        """Tensors by their names in the model; in those given here ``__`` stands for a dot."""
        beginning = f"transformer.h.{self.block}.{self.kind}."
        return {beginning + name.replace("__", "."): tensor.detach() for name, tensor in tensors.items()}


def _places(model: GPTModel) -> list[_Place]:
    found = []
    for index, block in enumerate(model.trf_blocks):
        for row in BLOCK:
            names = [name.removesuffix(".weight") for name in row.ours if name.endswith("weight")]
            layers = tuple(map(block.get_submodule, names))
            if any(isinstance(layer, LinearMap) for layer in layers):
                found.append(_Place(index, row.huggingface.removesuffix(".weight"), layers))
    if not found:
        raise ExportError(
            "PEFT's form has the classifier's LoRA term merged into the classifier, and no other is there; give"
            " --to huggingface, which writes the whole model"
        )
    return found


def _targets(places: Sequence[_Place], model: GPTModel) -> list[str]:
    """PEFT's names of them: kinds of layers, or each layer's own where the method is not in all blocks."""
    if len({place.block for place in places}) == len(model.trf_blocks):
        return list(dict.fromkeys(place.kind for place in places))
    return [f"h.{place.block}.{place.kind}" for place in places]


def _linear(layer: nn.Module) -> nn.Linear:
    return layer.linear if isinstance(layer, LinearMap) else layer  # type: ignore[return-value]


# ---- methods ---------------------------------------------------------------------------------------------------------


def lora(model: GPTModel, config: ExperimentConfig) -> Adapter:
    """LoRA terms of the blocks, DyLoRA's at their full rank; the classifier's own is merged into it."""
    places, stabilised = _places(model), config.lora_scaling == "alpha_over_sqrt_rank"
    tensors, ranks, alphas = dict[str, Tensor](), dict[str, int](), dict[str, float]()
    for place in places:
        a, b, scale = one_term(place.layers)
        ranks[place.kind] = len(a)
        alphas[place.kind] = scale * (math.sqrt(len(a)) if stabilised else len(a))
        tensors |= place.named(lora_A__weight=a, lora_B__weight=b)
    settings = {
        "peft_type": "LORA", "r": min(ranks.values()), "lora_alpha": min(alphas.values()), "lora_dropout": 0.0,
        "bias": "none", "fan_in_fan_out": True, "use_rslora": stabilised, "use_dora": False, "init_lora_weights": True,
        "target_modules": _targets(places, model), "rank_pattern": ranks, "alpha_pattern": alphas,
    }  # fmt: skip
    return Adapter(settings, tensors)


def one_term(layers: Sequence[nn.Module]) -> tuple[Tensor, Tensor, float]:
    """A (R, in), B (out, R) and the factor of the terms of layers that PEFT sees as one; some may have none.

    Raises:
        ExportError: they are not multiplied alike.
    """
    terms = [layer.lora.in_use() for layer in layers if isinstance(layer, LinearWithLoRA)]
    if len({scale for scale, _, _ in terms}) > 1:
        raise ExportError("query, key and value have LoRA terms of different scale: PEFT has one for all; --to book")
    sizes = [_linear(layer).out_features for layer in layers]
    whole = torch.zeros(sum(sizes), sum(a.shape[1] for _, a, _ in terms))
    row = column = 0
    for layer, size in zip(layers, sizes, strict=True):
        if isinstance(layer, LinearWithLoRA):
            _, _, b = layer.lora.in_use()
            whole[row : row + size, column : column + len(b)] = b.detach().T
            column += len(b)
        row += size
    return torch.cat([a.detach().T for _, a, _ in terms]), whole, terms[0][0]


def dora(model: GPTModel, config: ExperimentConfig) -> Adapter:
    """As LoRA, with a magnitude for every output."""
    directions, tensors = lora(model, config), dict[str, Tensor]()
    for place in _places(model):
        magnitudes = [
            layer.magnitude if isinstance(layer, LinearWithDoRA) else row_norms(_linear(layer).weight)
            for layer in place.layers
        ]
        tensors |= place.named(lora_magnitude_vector=torch.cat(magnitudes))
    return Adapter({**directions.settings, "use_dora": True}, {**directions.tensors, **tensors})


def ia3(model: GPTModel, config: ExperimentConfig) -> Adapter:
    """Scales of outputs as a column, of inputs as a row."""
    places, tensors = _places(model), dict[str, Tensor]()
    inner = [place for place in places if isinstance(place.layers[0], ScaledInputs)]
    for place in places:
        scales = [
            layer.scales if isinstance(layer, ScaledInputs | ScaledOutputs) else torch.ones(_linear(layer).out_features)
            for layer in place.layers
        ]
        tensors |= place.named(ia3_l=torch.cat(scales).unsqueeze(0 if place in inner else 1))
    settings = {
        "peft_type": "IA3", "fan_in_fan_out": True, "init_ia3_weights": True,
        "target_modules": _targets(places, model), "feedforward_modules": _targets(inner, model),
    }  # fmt: skip
    return Adapter(settings, tensors)


ADAPTERS: Mapping[str, Callable[[GPTModel, ExperimentConfig], Adapter]] = {
    "lora": lora, "lora_alternative": lora, "dora": dora, "dylora": lora, "ia3": ia3,
}  # fmt: skip

_OWN_PARAMETERS = "what it trains are parameters of the model itself, and all of PEFT's adapters add some"
_NO_ADAPTERS = "PEFT has no such adapters for GPT-2"
_PREFIX = "behind PEFT's prefix a message's positions start at its length, here at 0"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("all", "last_block", "last_two_blocks", "last_layer", "bitfit", "norms"), _OWN_PARAMETERS),
    **dict.fromkeys(("serial_adapter", "parallel_adapter"), _NO_ADAPTERS),
    "hybrid": f"{_NO_ADAPTERS}; {_PREFIX}",
    "prefix_tuning": _PREFIX,
    "soft_prompt": "behind PEFT's soft prompt the last position of a padded batch is read, pads or not",
}
