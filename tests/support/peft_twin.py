"""The same small classifier twice: ours, and transformers' GPT-2 with an adapter of PEFT's, with the same values.

Independent of the export, whose mapping it does not use. Queries, keys and values are one layer there: A stacked, B
block-diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablation.execution.naive import NaiveExecution
from ablation.methods.primitives import LinearMap
from ablation.model.to_huggingface import CLASSIFIER, huggingface_tensors
from previous_chapters import GPTModel
from tests.support.tiny import SHAPE, make_execution, make_messages, tiny_config

PLACES = {  # transformers' layers of a block -> ours, in the order in which they are held there
    "attn.c_attn": ("att.W_query", "att.W_key", "att.W_value"),
    "attn.c_proj": ("att.out_proj",),
    "mlp.c_fc": ("ff.layers.0",),
    "mlp.c_proj": ("ff.layers.2",),
}
HEAD = "out_head"
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}


def stirred_execution(dtype: torch.dtype = torch.float64, **settings: Any) -> NaiveExecution:
    """A naive execution all of whose parameters are off their starting values, so that none can be forgotten."""
    config = tiny_config(context_length=12, **settings)
    execution = make_execution(config, make_messages(config), "naive", dtype)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in execution.model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(dtype))
    assert isinstance(execution, NaiveExecution)
    return execution


def plain_twin(ours: GPTModel) -> Any:
    """transformers' classifier with the base weights of ours, its head with a bias."""
    transformers = pytest.importorskip("transformers")
    state = {name.replace(".linear.", "."): value for name, value in ours.state_dict().items()}
    config = transformers.GPT2Config(
        vocab_size=SHAPE.vocab_size, n_positions=SHAPE.context_length, n_embd=SHAPE.emb_dim, n_layer=SHAPE.n_layers,
        n_head=SHAPE.n_heads, num_labels=2, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    twin = transformers.GPT2ForSequenceClassification(config).to(ours.tok_emb.weight.dtype).eval()
    twin.score = nn.Linear(SHAPE.emb_dim, 2, dtype=ours.tok_emb.weight.dtype)
    tensors = {**huggingface_tensors(state, SHAPE, CLASSIFIER), "score.bias": state["out_head.bias"]}
    twin.load_state_dict(tensors)
    return twin


@dataclass
class Part:
    """A layer of theirs that has an adapter, and our layers that it is.

    Attributes:
        layers: of ours, by name; those without an adapter of ours, too.
    """

    theirs: Any
    layers: dict[str, nn.Module]

    def adapted(self) -> Iterator[tuple[str, Any, slice, int]]:
        """Our adapted layers: name, layer, which outputs of theirs are its own, how many adapted ones stand before."""
        row = before = 0
        for name, layer in self.layers.items():
            linear: Any = layer.linear if isinstance(layer, LinearMap) else layer
            if isinstance(layer, LinearMap):
                yield name, layer, slice(row, row + linear.out_features), before
                before += 1
            row += linear.out_features


def parts_of(ours: GPTModel, twin: Any) -> list[Part]:
    parts = []
    for index in range(SHAPE.n_layers):
        for kind, names in PLACES.items():
            layers = {f"trf_blocks.{index}.{name}": ours.trf_blocks[index].get_submodule(name) for name in names}
            parts.append(Part(twin.transformer.h[index].get_submodule(kind), layers))
    parts.append(Part(twin.score, {HEAD: ours.out_head}))
    return [part for part in parts if any(isinstance(layer, LinearMap) for layer in part.layers.values())]


def adapted_places(ours: GPTModel) -> dict[str, int]:
    """transformers' layers that have an adapter in the last block, or as the classifier -> how many of ours."""
    counts = {
        kind: sum(isinstance(ours.trf_blocks[-1].get_submodule(name), LinearMap) for name in names)
        for kind, names in PLACES.items()
    }
    counts["score"] = int(isinstance(ours.out_head, LinearMap))
    return {kind: count for kind, count in counts.items() if count}


def assert_same(
    ours: GPTModel, twin: Any, fill: Callable[[Part], None], gradients: Callable[[Part], dict[str, Tensor]]
) -> None:
    """Logits at all positions, and the gradients of everything that trains in ours.

    Args:
        fill: gives a layer of theirs the values of ours.
        gradients: theirs, by the names of our parameters.
    """
    parts, dtype = parts_of(ours, twin), ours.tok_emb.weight.dtype
    with torch.no_grad():
        for part in parts:
            fill(part)
    trained = {name: parameter for name, parameter in ours.named_parameters() if parameter.requires_grad}
    plain = {
        "out_head.weight": "score.weight", "out_head.bias": "score.bias", "final_norm.scale": "transformer.ln_f.weight",
        "final_norm.shift": "transformer.ln_f.bias", "out_head.linear.weight": "score.base_layer.weight",
        "out_head.linear.bias": "score.base_layer.bias",
    }  # fmt: skip
    for name in plain.keys() & trained:
        twin.get_parameter(plain[name]).requires_grad_(True)
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randint(SHAPE.vocab_size, (3, 9), generator=generator)
    weights = torch.randn(3, 9, 2, generator=generator).to(dtype)
    expected = twin.score(twin.transformer(input_ids=tokens).last_hidden_state)
    found = ours(tokens)
    for logits in (expected, found):
        (logits * weights).sum().backward()
    assert (found - expected).abs().max() < TOLERANCE[dtype] * max(1.0, float(expected.detach().abs().max()))
    theirs = {name: twin.get_parameter(plain[name]).grad for name in plain.keys() & trained}
    for part in parts:
        theirs |= gradients(part)
    assert theirs.keys() == trained.keys()
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, parameter in trained.items():
        assert parameter.grad is not None and parameter.grad.any(), name
        assert (parameter.grad - theirs[name]).abs().max() < TOLERANCE[dtype] * largest, name


# ---- LoRA and its kin ------------------------------------------------------------------------------------------------


def lora_twin(ours: GPTModel, rank: int, scale: float, *, stabilised: bool = False, dora: bool = False) -> Any:
    """With terms where ours has some: k of rank r on one layer of theirs are one of rank R = k·r."""
    peft = pytest.importorskip("peft")
    ranks = {kind: count * rank for kind, count in adapted_places(ours).items()}
    alphas = {kind: scale * (whole**0.5 if stabilised else whole) for kind, whole in ranks.items()}
    twin = plain_twin(ours)
    config = peft.LoraConfig(
        r=1, lora_alpha=1, target_modules=list(ranks), rank_pattern=ranks, alpha_pattern=alphas, fan_in_fan_out=True,
        use_rslora=stabilised, use_dora=dora,
    )  # fmt: skip
    peft.get_peft_model(twin, config).eval()
    return twin


def fill_terms(part: Part, rank: int) -> None:
    """The first ``rank`` columns of each A, and rows of each B."""
    a, b = part.theirs.lora_A["default"].weight, part.theirs.lora_B["default"].weight
    b.zero_()
    for _, layer, outputs, before in part.adapted():
        columns = slice(before * rank, (before + 1) * rank)
        a[columns], b[outputs, columns] = layer.lora.A[:, :rank].T, layer.lora.B[:rank].T


def term_gradients(part: Part, rank: int) -> dict[str, Tensor]:
    a, b = part.theirs.lora_A["default"].weight.grad, part.theirs.lora_B["default"].weight.grad
    found = {}
    for name, layer, outputs, before in part.adapted():
        columns = slice(before * rank, (before + 1) * rank)
        found[f"{name}.lora.A"], found[f"{name}.lora.B"] = (
            torch.zeros_like(layer.lora.A), torch.zeros_like(layer.lora.B)
        )  # fmt: skip
        found[f"{name}.lora.A"][:, :rank], found[f"{name}.lora.B"][:rank] = a[columns].T, b[outputs, columns].T
    return found
