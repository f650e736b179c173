"""The model against an independent GPT-2, and text generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ablation.config.shapes import ModelShape
from ablation.model.classifier import materialise
from ablation.model.weights import open_weights
from previous_chapters import GPTModel, generate

SHAPE = ModelShape(vocab_size=83, context_length=32, emb_dim=24, n_layers=3, n_heads=4)


def make_twin() -> Any:  # GPT2LMHeadModel, whose own annotations are too narrow for what it takes
    torch.manual_seed(3)
    config = GPT2Config(  # type: ignore[call-arg]
        vocab_size=SHAPE.vocab_size, n_positions=SHAPE.context_length, n_embd=SHAPE.emb_dim, n_layer=SHAPE.n_layers,
        n_head=SHAPE.n_heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager",
    )  # fmt: skip
    twin: Any = GPT2LMHeadModel(config).eval()
    for parameter in twin.parameters():  # biases and norms too: the default initialisation would hide errors in them
        torch.nn.init.normal_(parameter, std=0.3)
    return twin


def load(twin: Any, folder: Path, dtype: torch.dtype, causal: bool = True) -> GPTModel:
    """The twin's weights in our model, through the project's own reader and rename table."""
    twin.save_pretrained(folder)
    weights = open_weights(folder / "model.safetensors", SHAPE)
    with torch.device("meta"):
        model = GPTModel(SHAPE, causal)
    model.out_head = torch.nn.Identity()
    materialise(model, weights, torch.device("cpu"))
    model.out_head = torch.nn.Linear(SHAPE.emb_dim, SHAPE.vocab_size, bias=False)
    model.out_head.weight = torch.nn.Parameter(twin.lm_head.weight.detach().clone())
    return model.to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@torch.no_grad()
def test_logits_of_all_positions_equal_the_twins(dtype: torch.dtype, tolerance: float, tmp_path: Path) -> None:
    twin = make_twin()
    model = load(twin, tmp_path, dtype)
    tokens = torch.randint(SHAPE.vocab_size, (3, SHAPE.context_length), generator=torch.Generator().manual_seed(1))
    expected = twin.to(dtype)(tokens).logits
    assert expected.abs().max() > 1
    assert ((model(tokens) - expected).abs().max() / expected.abs().max()) < tolerance


@torch.no_grad()
def test_without_the_causal_mask_equal_to_an_unmasked_twin(tmp_path: Path) -> None:
    twin = make_twin()
    model = load(twin, tmp_path, torch.float64, causal=False)
    tokens = torch.randint(SHAPE.vocab_size, (2, 9), generator=torch.Generator().manual_seed(1))
    nothing_hidden = torch.zeros(2, 1, 9, 9, dtype=torch.float64)
    twin = twin.double()
    expected = twin(tokens, attention_mask=nothing_hidden).logits
    assert (expected - twin(tokens).logits).abs().max() > 0.1  # the mask makes a difference here
    assert (model(tokens) - expected).abs().max() < 1e-10


def test_parameter_names_are_the_books() -> None:
    with torch.device("meta"):
        names = set(GPTModel(SHAPE).state_dict())
    linear = ("att.W_query", "att.W_key", "att.W_value", "att.out_proj", "ff.layers.0", "ff.layers.2")
    block = [
        *(f"{layer}.{part}" for layer in linear for part in ("weight", "bias")),
        *(f"{norm}.{part}" for norm in ("norm1", "norm2") for part in ("scale", "shift")),
    ]
    assert names == {
        "tok_emb.weight", "pos_emb.weight", "final_norm.scale", "final_norm.shift", "out_head.weight",
        *(f"trf_blocks.{i}.{name}" for i in range(SHAPE.n_layers) for name in block),
    }  # fmt: skip


def test_greedy_generation_equals_the_twins(tmp_path: Path) -> None:
    twin = make_twin()
    model = load(twin, tmp_path, torch.float32)
    beginning = torch.tensor([[1, 2, 3]])
    expected = twin.generate(beginning, max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert generate(model, [1, 2, 3], 12) == expected[0].tolist()


def test_generation_reads_the_last_tokens_when_the_context_is_full_and_stops_at_the_end_token(tmp_path: Path) -> None:
    model = load(make_twin(), tmp_path, torch.float32)
    beginning = list(range(SHAPE.context_length + 5))
    longer = generate(model, beginning, 3)
    assert longer[: len(beginning)] == beginning
    assert longer[len(beginning) :] == generate(model, beginning[5:], 3)[SHAPE.context_length :]
    assert generate(model, beginning, 3, end_token=longer[len(beginning)]) == beginning


def test_sampling_keeps_to_the_top_k_and_to_the_generator(tmp_path: Path) -> None:
    model = load(make_twin(), tmp_path, torch.float32)

    def sample(**options: float | int) -> list[int]:
        return generate(model, [1, 2], 8, generator=torch.Generator().manual_seed(0), **options)  # type: ignore[arg-type]

    assert sample(temperature=5.0) == sample(temperature=5.0) != sample()
    assert sample(temperature=5.0, top_k=1) == sample()


def test_generation_from_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="empty"):
        generate(load(make_twin(), tmp_path, torch.float32), [], 3)
