"""What the `config.json` beside weights, as transformers writes it, says of a model that its tensors do not tell."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ablation.config.shapes import ModelShape
from ablation.files.weight_paths import WeightsError, read_object

TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate")  # one function
# What decides how GPT-2 is computed, and the values under which it is computed as here. Absent, it is the first.
COMPUTATION: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": TANH_GELU,
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}
HEADS = ("n_head", "num_attention_heads")  # GPT-2's own name, and that of other models, which transformers reads too
DIMENSIONS = {
    "vocab_size": "vocab_size",
    "n_positions": "context_length",
    "n_embd": "emb_dim",
    "n_layer": "n_layers",
    **dict.fromkeys(HEADS, "n_heads"),
}


class HubConfig:
    """The settings of a `config.json`; none where there is no such file.

    Raises:
        WeightsError: it is damaged, or describes a model that is computed otherwise than GPT-2.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = read_object(path) if path.exists() else {}
        for key, accepted in COMPUTATION.items():
            if key in self.settings and self.settings[key] not in accepted:
                raise self._refusal(key, f"GPT-2 is computed with {' or '.join(map(repr, accepted))}")
        inner, width = self.settings.get("n_inner"), self.settings.get("n_embd")
        if inner is not None and isinstance(width, int) and inner != 4 * width:
            raise self._refusal("n_inner", "GPT-2's is four times n_embd")

    def with_heads(self, shape: ModelShape) -> ModelShape:
        """The shape with the number of heads that is written here, if one is."""
        key = next((key for key in HEADS if key in self.settings), None)
        if key is None:
            return shape
        heads = self.settings[key]
        if type(heads) is not int or heads < 1 or shape.emb_dim % heads:
            raise self._refusal(key, f"it must be a divisor of the model's width, {shape.emb_dim}")
        return dataclasses.replace(shape, n_heads=heads)

    def check(self, shape: ModelShape) -> None:
        """Raises WeightsError if the model in use has other dimensions than are written here."""
        for key, ours in DIMENSIONS.items():
            if self.settings.get(key, getattr(shape, ours)) != getattr(shape, ours):
                raise self._refusal(key, f"the model in use has {getattr(shape, ours)}")

    def _refusal(self, key: str, expected: str) -> WeightsError:
        said = f"{key} {self.settings[key]!r:.200}"
        advice = "give weights of such a model, or delete the file if it is not theirs"
        return WeightsError(f"{self.path} says {said}, but {expected}; {advice}")
