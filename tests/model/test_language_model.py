"""The language model is put together as configured: a GPT-2 of transformers with the same blocks gives the same logits,
exactly what is named trains, and what is kept of it is a plain GPT-2."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ablation.config.generation import LanguageModelConfig
from ablation.config.shapes import ALL_SHAPES, MODEL_SHAPES, NANO, ModelShape
from ablation.execution.sentence_losses import packed_losses
from ablation.model.language_model import build_language_model, digest_of, plain_tensors, pretrained_tensors
from ablation.model.normal_weights import normal_weights
from ablation.model.weights import Weights, open_weights
from ablation.results.language_model_files import language_model_file
from previous_chapters import GPTModel

END = 1999
SENTENCES = [[5, 6, 7], [8, 9, 10], [300, 3, 1500]]  # of one length: their mean loss is then that over all tokens
TOKENS = torch.tensor([[END, *sentence, END] for sentence in SENTENCES])


def config_of(**settings: Any) -> LanguageModelConfig:
    return LanguageModelConfig(**{"demo": True, "dropout": 0.0, **settings})


def gpt2_of_transformers(shape: ModelShape, tied: bool) -> Any:
    """With random weights that are large enough for attention not to be all alike, and no dropout."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=shape.vocab_size, n_positions=shape.context_length, n_embd=shape.emb_dim, n_layer=shape.n_layers,
        n_head=shape.n_heads, tie_word_embeddings=tied, initializer_range=0.1,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    torch.manual_seed(3)
    twin = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.dim() == 1:  # which begin as 0 or 1, so that one block's would be another's
                parameter.add_(0.1 * torch.randn_like(parameter))
    return twin


def open_twin(twin: Any, path: Path) -> Weights:
    """Its weights, by way of a file as published."""
    from safetensors.torch import save_file

    tied = twin.config.tie_word_embeddings
    state = {name: tensor for name, tensor in twin.state_dict().items() if not (tied and name.startswith("lm_head"))}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return open_weights(path)


@pytest.fixture(scope="module", params=[True, False], ids=["tied file", "file with a head"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Weights]:
    """The demo's shape, as transformers has it, and its file."""
    twin = gpt2_of_transformers(ALL_SHAPES[NANO], request.param)
    return twin, open_twin(twin, tmp_path_factory.mktemp("twin") / "model.safetensors")


def with_blocks(twin: Any, numbers: list[int]) -> Any:
    """The twin with some of its blocks, counted from 1, in that order, in float64."""
    other = copy.deepcopy(twin).double()
    other.transformer.h = torch.nn.ModuleList([other.transformer.h[number - 1] for number in numbers])
    for place, block in enumerate(other.transformer.h):
        block.attn.layer_idx = place
    return other


@torch.no_grad()
def assert_same_logits(model: GPTModel, twin: Any) -> None:
    expected = twin.double()(TOKENS, use_cache=False).logits
    torch.testing.assert_close(model.double().eval()(TOKENS), expected, rtol=0, atol=1e-9)


# ---- where it starts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", ["1+2+3", "2", "3+1", "2+3+1"])
def test_chosen_blocks_in_the_order_in_which_they_are_named(published: tuple[Any, Weights], blocks: str) -> None:
    twin, weights = published
    config = config_of(weights="pretrained", blocks=blocks)
    model = build_language_model(config, pretrained_tensors(weights, config)).model
    assert_same_logits(model, with_blocks(twin, [int(number) for number in blocks.split("+")]))


def test_what_is_trained_is_a_copy_of_the_file(published: tuple[Any, Weights]) -> None:
    config, before = config_of(weights="pretrained"), published[1].digest()
    model = build_language_model(config, pretrained_tensors(published[1], config)).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert model.out_head.weight is not model.tok_emb.weight and published[1].digest() == before


@pytest.mark.parametrize("heads", [1, 7, 16])
def test_any_number_of_heads_that_divides_the_width(heads: int, tmp_path: Path) -> None:
    config = config_of(n_layers=1, n_heads=heads)
    twin = gpt2_of_transformers(config.shape, tied=False)
    weights = open_twin(twin, tmp_path / "model.safetensors")
    model = build_language_model(config, weights.tensors(weights.names)).model
    assert_same_logits(model, twin)


@pytest.mark.parametrize(
    "size", [size if "medium" in size else pytest.param(size, marks=pytest.mark.slow) for size in MODEL_SHAPES]
)
def test_any_size_of_gpt2(size: str) -> None:
    transformers, shape = pytest.importorskip("transformers"), MODEL_SHAPES[size]
    config = LanguageModelConfig(model_size=size, weights="pretrained", blocks="all", tie_head=True)
    with torch.device("meta"):
        twin = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=shape.emb_dim, n_layer=shape.n_layers, n_head=shape.n_heads)
        )
    model = build_language_model(config).model
    assert sum(parameter.numel() for parameter in model.parameters()) == twin.num_parameters()


# ---- a head of its own, or the token embedding -----------------------------------------------------------------------


def test_a_tied_head_is_one_parameter_that_learns_from_both_uses(tmp_path: Path) -> None:
    config = config_of(n_layers=2, emb_dim=8, n_heads=2, tie_head=True)
    twin = gpt2_of_transformers(config.shape, tied=True)
    weights = open_twin(twin, tmp_path / "model.safetensors")
    model: Any = build_language_model(config, weights.tensors(weights.names)).model.double()
    twin.double()
    F.cross_entropy(twin(TOKENS).logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
    packed_losses(model, SENTENCES, config.max_len, END).mean.backward()
    assert model.out_head.weight is model.tok_emb.weight
    assert "out_head.weight" not in dict(model.named_parameters())
    expected = twin.transformer.wte.weight.grad
    torch.testing.assert_close(model.tok_emb.weight.grad, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


def test_tied_where_the_file_has_a_head_that_one_is_left_out(published: tuple[Any, Weights]) -> None:
    twin, weights = published
    config = config_of(weights="pretrained", blocks="2", tie_head=True)
    other = with_blocks(twin, [2])
    other.lm_head.weight = other.transformer.wte.weight
    assert_same_logits(build_language_model(config, pretrained_tensors(weights, config)).model, other)


@pytest.mark.parametrize("tied", [True, False])
def test_its_file_opens_as_a_plain_gpt2(tied: bool, tmp_path: Path) -> None:
    config = config_of(n_layers=1, emb_dim=8, n_heads=2, tie_head=tied)
    model: Any = build_language_model(config, starting_values(config)).model
    tensors = plain_tensors(model, config)
    (path := tmp_path / "trained.safetensors").write_bytes(language_model_file(tensors, config.shape, "demo", {}))
    opened = open_weights(path, config.shape)
    assert ("out_head.weight" in opened.names) == (not tied)
    assert torch.equal(opened.head(), model.out_head.weight)
    assert opened.digest() == digest_of(tensors)
    tensors["trf_blocks.0.norm1.shift"][3] += 1e-7
    assert opened.digest() != digest_of(tensors)


def starting_values(config: LanguageModelConfig) -> dict[str, Tensor]:
    tensors = normal_weights(config.shape, config.seed)
    if config.tie_head:
        del tensors["out_head.weight"]
    return tensors


# ---- what trains -----------------------------------------------------------------------------------------------------

NORMS, LAST = (".norm1.", ".norm2."), "trf_blocks.2."
TRAINS: Mapping[str, tuple[dict[str, Any], Any]] = {
    "all": ({}, lambda name: True),
    "last_layer": ({"trainable_layers": "last_layer"}, lambda name: name == "out_head.weight"),
    "last_block": (
        {"trainable_layers": "last_block"},
        lambda name: name.startswith((LAST, "final_norm.", "out_head.")),
    ),
    "last_two_blocks": (
        {"trainable_layers": "last_two_blocks"},
        lambda name: name.startswith((LAST, "trf_blocks.1.", "final_norm.", "out_head.")),
    ),
    "bitfit": ({"method": "bitfit"}, lambda name: "trf_blocks" in name and name.endswith((".bias", ".shift"))),
    "norms": ({"method": "norms"}, lambda name: any(norm in name for norm in NORMS)),
    "lora": ({"method": "lora", "lora_rank": 2}, lambda name: name.endswith((".A", ".B"))),
    "lora of the last block, and the final norm": (
        {"method": "lora", "lora_rank": 2, "from_block": 3, "train_final_norm": True},
        lambda name: name.endswith((".A", ".B")) or name.startswith("final_norm."),
    ),
    "tied": ({"tie_head": True}, lambda name: True),
    "last_block, tied": (
        {"trainable_layers": "last_block", "tie_head": True},
        lambda name: name.startswith((LAST, "final_norm.")),
    ),
}


@pytest.mark.parametrize("which", TRAINS)
def test_exactly_what_is_named_trains_and_the_rest_stays_to_the_bit(which: str) -> None:
    settings, expected = TRAINS[which]
    config = config_of(n_layers=3, emb_dim=8, n_heads=2, **settings)
    built = build_language_model(config, starting_values(config))
    model = built.model
    named = dict(model.named_parameters())
    assert {name for name, parameter in named.items() if parameter.requires_grad} == set(filter(expected, named))
    assert built.added == {name for name in named if name.endswith((".A", ".B"))}
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    optimizer = torch.optim.Adam([parameter for parameter in named.values() if parameter.requires_grad], lr=1e-2)
    for _ in range(2):  # a LoRA's A has a gradient from the second step on
        packed_losses(model, SENTENCES, config.max_len, END).mean.backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, parameter in named.items() if not torch.equal(parameter, before[name])}
    assert moved == set(filter(expected, named))


def test_merged_lora_is_a_plain_gpt2_with_the_same_logits() -> None:
    config = config_of(n_layers=2, emb_dim=8, n_heads=2, method="lora", lora_rank=3)
    model = build_language_model(config, starting_values(config)).model.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".A", ".B")):
                parameter.normal_()
        expected = model(TOKENS)
        plain = GPTModel(config.shape).double()
        untouched = {name: tensor.double() for name, tensor in starting_values(config).items()}
        plain.load_state_dict(plain_tensors(model, config))
        torch.testing.assert_close(plain(TOKENS), expected, rtol=0, atol=1e-9)
        plain.load_state_dict(untouched)
        assert float((plain(TOKENS) - expected).abs().max()) > 1e-3  # the terms did something


@pytest.mark.slow
def test_lora_is_that_of_peft(tmp_path: Path) -> None:
    """Logits, and the gradients of all terms."""
    peft = pytest.importorskip("peft")
    config = config_of(
        n_layers=2, emb_dim=8, n_heads=2, method="lora", lora_rank=3, lora_alpha=5, lora_targets="out+ff_in+ff_out"
    )
    twin = gpt2_of_transformers(config.shape, tied=False)
    weights = open_twin(twin, tmp_path / "model.safetensors")
    model: Any = build_language_model(config, weights.tensors(weights.names)).model.double()
    lora = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["c_proj", "c_fc"], fan_in_fan_out=True, task_type=None)
    other = peft.get_peft_model(twin, lora).double()
    pairs = []
    for number, block in enumerate(other.base_model.model.transformer.h):
        own = model.trf_blocks[number]
        for theirs, ours in (
            (block.attn.c_proj, own.att.out_proj),
            (block.mlp.c_fc, own.ff.layers[0]),
            (block.mlp.c_proj, own.ff.layers[2]),
        ):
            a, b = theirs.lora_A["default"].weight, theirs.lora_B["default"].weight
            pairs += [(a, ours.lora.A), (b, ours.lora.B)]
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.normal_()
            ours.copy_(theirs.T)
    logits = other(TOKENS).logits
    torch.testing.assert_close(model(TOKENS), logits, rtol=0, atol=1e-9)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
    packed_losses(model, SENTENCES, config.max_len, END).mean.backward()
    for theirs, ours in pairs:
        torch.testing.assert_close(ours.grad, theirs.grad.T, rtol=0, atol=1e-9)


# ---- draws -----------------------------------------------------------------------------------------------------------


def test_dropout_is_everywhere_and_nothing_without_it() -> None:
    losses: dict[float, list[float]] = {}
    for dropout in (0.0, 0.1):
        config = config_of(n_layers=2, emb_dim=8, n_heads=2, dropout=dropout)
        model: Any = build_language_model(config, starting_values(config)).model
        places = [model, *model.trf_blocks, *(block.att for block in model.trf_blocks)]
        assert [place.dropout for place in places] == [dropout] * 5
        for training in (True, True, False):
            model.train(training)
            losses.setdefault(dropout, []).append(float(packed_losses(model, SENTENCES, 35, END).mean.detach()))
    assert len({*losses[0.0], losses[0.1][2]}) == 1  # unless it is trained, the probability changes nothing
    assert len(set(losses[0.1])) == 3


def test_building_draws_a_methods_start_from_the_seed_alone() -> None:
    config = config_of(n_layers=1, emb_dim=8, n_heads=2, method="lora")
    tensors, starts = starting_values(config), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        starts.append(dict(build_language_model(config, dict(tensors)).model.named_parameters()))
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
