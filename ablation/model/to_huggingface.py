"""A trained model in the terms of transformers: its names and layout of tensors, and a head without a bias."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ablation.config.shapes import ModelShape
from ablation.model.layouts import HUGGINGFACE, Layout, Stored, stored_tensors
from previous_chapters import LAYER_NORM_EPS

# As GPT2ForSequenceClassification has them; those of GPT2Model are HUGGINGFACE.
CLASSIFIER = dataclasses.replace(HUGGINGFACE, rest="transformer.", block="transformer.h.{}.", head="score.weight")
LANGUAGE_MODEL = dataclasses.replace(CLASSIFIER, head="lm_head.weight")  # as GPT2LMHeadModel has them
NEGLIGIBLE = 1e-6  # of the largest bias: what may be missing of it once it is folded, far below float32's own rounding


class FoldError(Exception):
    """A head's bias cannot be had without a bias; the message says why."""


def fold_bias(weight: Tensor, bias: Tensor, shift: Tensor) -> Tensor:
    """The final norm's shift (D,) with which a head without a bias gives what it gave with one.

    The head (C, D) reads what the norm has shifted, so W (x + shift + δ) = W (x + shift) + b where W δ = b. Of the many
    δ the shortest, W⁺ b, in float64; it is exact where the C rows of W are independent.

    Raises:
        FoldError: they are not.
    """
    rows, wanted = weight.double(), bias.double()
    change = torch.linalg.pinv(rows) @ wanted
    if (missing := float((rows @ change - wanted).abs().max())) > NEGLIGIBLE * max(float(wanted.abs().max()), 1e-30):
        raise FoldError(f"the rows of its weight depend on each other: {missing:.2g} of the bias would be missing")
    return (shift.double() + change).to(shift.dtype)


def without_bias(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier's tensors, by our names, with the head's bias folded into the final norm's shift.

    Raises:
        FoldError: see :func:`fold_bias`.
    """
    shift = fold_bias(state["out_head.weight"], state["out_head.bias"], state["final_norm.shift"])
    kept = {name: tensor for name, tensor in state.items() if name != "out_head.bias"}
    return {**kept, "final_norm.shift": shift}


def huggingface_tensors(
    state: Mapping[str, Tensor], shape: ModelShape, layout: Layout = CLASSIFIER
) -> dict[str, Tensor]:
    """Tensors by our names -> by theirs: query, key and value as one, linear layers as (inputs, outputs). The head is
    left out where the state has none."""
    parts: dict[str, list[tuple[Stored, Tensor]]] = {}
    for name, stored in stored_tensors(layout, shape).items():
        parts.setdefault(stored.name, []).append((stored, state[name]))
    tensors = {name: _joined(some) for name, some in parts.items()}
    if layout.head is not None and "out_head.weight" in state:
        tensors[layout.head] = state["out_head.weight"].detach().clone()
    return tensors


def _joined(parts: list[tuple[Stored, Tensor]]) -> Tensor:
    in_order = sorted(parts, key=lambda part: part[0].part)
    return torch.cat([tensor.detach().T if stored.transposed else tensor.detach() for stored, tensor in in_order], -1)


def huggingface_config(
    shape: ModelShape, labels: tuple[str, ...], end_of_text: int, pad: int, architecture: str
) -> dict[str, Any]:
    """What ``config.json`` says of a classifier.

    Args:
        end_of_text: the id of its token.
        pad: id of the token behind the position to read; one that no token has where pads are read, too.
    """
    return {
        **_any_config(shape, end_of_text, pad, architecture),
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        "problem_type": "single_label_classification",
    }


def language_model_config(shape: ModelShape, end_of_text: int, tied: bool) -> dict[str, Any]:
    """What ``config.json`` says of a language model.

    Args:
        end_of_text: the id of its token, which starts and ends sentences.
        tied: whether the vocabulary head is the token embedding.
    """
    return {**_any_config(shape, end_of_text, end_of_text, "GPT2LMHeadModel"), "tie_word_embeddings": tied}


def _any_config(shape: ModelShape, end_of_text: int, pad: int, architecture: str) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "model_type": "gpt2",
        "vocab_size": shape.vocab_size,
        "n_positions": shape.context_length,
        "n_embd": shape.emb_dim,
        "n_layer": shape.n_layers,
        "n_head": shape.n_heads,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": LAYER_NORM_EPS,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": pad,
        "dtype": "float32",
    }
