"""On which side pads stand, whether they are attended to, where positions count from: all ways to logits agree, and
what must be the same experiment gives the same numbers."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ablation.config import methods as declared
from ablation.config.experiment import TOKEN_POSITIONS, ConfigError, ExperimentConfig
from ablation.data.encode import EncodedMessages, encode_messages
from ablation.data.placement import Placement
from ablation.execution.feature_cache import FeatureCache
from ablation.execution.features import FeatureOptions
from ablation.execution.plan import Seen, make_plan
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import make_setup
from ablation.listener import Listener
from ablation.methods import registry
from ablation.model.classifier import RandomWeights, build_classifier
from ablation.run.experiment import feature_stages
from tests.execution.test_registry import assert_all_three_agree
from tests.support.cases import SMALL
from tests.support.tiny import CPU, PAD, SHAPE, make_execution, make_messages, tiny_config
from tests.support.toy_methods import TOY_METHODS

LEFT = {"padding_side": "left"}
PLACEMENTS: dict[str, dict[str, Any]] = {
    "right, masked": {"mask_padding": True},
    "left": LEFT,
    "left, masked": {**LEFT, "mask_padding": True},
    "left, shifted": {**LEFT, "shift_positions": True},
    "left, masked, shifted": {**LEFT, "mask_padding": True, "shift_positions": True},
}
READS = [(position, pooled) for position in TOKEN_POSITIONS for pooled in (False, True)]
READS.remove(("first", True))  # refused
LAYERS = ("last_block", "last_layer", "last_two_blocks", "all")


def config_of(**settings: Any) -> ExperimentConfig:
    own = {"n_layers": SHAPE.n_layers, "emb_dim": SHAPE.emb_dim, "n_heads": SHAPE.n_heads, "context_length": 12}
    return tiny_config(**{"batch_size": 4, "save_model": True, **own, **settings})


# ---- all ways agree --------------------------------------------------------------------------------------------------

# Each layout once with some readout and some of what trains; the slow test has all of them together.
SOME = [
    *((layout, *READS[number], LAYERS[number % 4], False) for number, layout in enumerate(PLACEMENTS)),
    ("left, masked", "last", True, "last_two_blocks", False),
    ("right, masked", "last", False, "last_block", True),
]


@pytest.mark.parametrize(("layout", "position", "pooled", "layers", "unmasked"), SOME)
def test_naive_planned_and_classify_agree(
    layout: str, position: str, pooled: bool, layers: str, unmasked: bool
) -> None:
    read = {"trainable_token_pos": position, "average_embeddings": pooled, "disable_causal_mask": unmasked}
    assert_all_three_agree(config_of(**PLACEMENTS[layout], **read, trainable_layers=layers))


@pytest.mark.slow
@pytest.mark.parametrize("layout", PLACEMENTS)
@pytest.mark.parametrize(("position", "pooled"), READS)
def test_all_of_them_agree_together(layout: str, position: str, pooled: bool) -> None:
    for layers, unmasked in itertools.product(LAYERS, (False, True)):
        read = {"trainable_token_pos": position, "average_embeddings": pooled, "disable_causal_mask": unmasked}
        assert_all_three_agree(config_of(**PLACEMENTS[layout], **read, trainable_layers=layers))


@pytest.mark.parametrize("method", ["prefix_tuning", "soft_prompt"])
def test_what_stands_before_a_message_is_seen_and_counts_as_no_pad(method: str) -> None:
    lengths = {name: SMALL[name] for name in ("prefix_length", "prompt_length") if name.startswith(method[:6])}
    lengths = {"prefix_length": 4} if method == "prefix_tuning" else {"prompt_length": 3}
    assert_all_three_agree(config_of(**PLACEMENTS["left, masked"], method=method, **lengths))
    pooled = {"average_embeddings": True, "trainable_token_pos": "last"}
    assert_all_three_agree(config_of(**PLACEMENTS["left, masked"], **pooled, method=method, **lengths))


# ---- what must be the same -------------------------------------------------------------------------------------------


def logits_and_gradients(kind: str, config: ExperimentConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Of some training messages one by one, so that without padding each has its own length."""
    execution = make_execution(config, make_messages(config), kind)
    batches = [torch.tensor([index]) for index in (*range(12), 39)]
    logits = torch.cat(execution.logits("train", batches))
    F.cross_entropy(logits, execution.labels("train", torch.cat(batches))).backward()
    gradients = {name: p.grad for name, p in execution.model.named_parameters() if p.grad is not None}
    return logits.detach(), {name: grad for name, grad in gradients.items() if "emb" not in name}


def assert_same(first: ExperimentConfig, second: ExperimentConfig) -> None:
    expected, expected_gradients = logits_and_gradients("naive", first)
    assert expected.std() > 0.01
    for kind, config in (("planned", first), ("naive", second), ("planned", second)):
        found, gradients = logits_and_gradients(kind, config)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert gradients.keys() == expected_gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected_gradients[name], rtol=0, atol=1e-11, msg=name)


@pytest.mark.parametrize("layers", ["last_block", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("pooled", [False, True])
def test_right_padding_read_at_the_last_token_is_no_padding(layers: str, pooled: bool) -> None:
    """With the causal mask no token sees a pad behind it, so that masking them changes nothing, either."""
    flexible = {"trainable_layers": layers, "trainable_token_pos": "flexible", "average_embeddings": pooled}
    unpadded = {"trainable_layers": layers, "average_embeddings": pooled, "no_padding": True, "batch_size": 1}
    for mask in (False, True):
        assert_same(config_of(**unpadded), config_of(**flexible, mask_padding=mask))


@pytest.mark.parametrize("layers", ["last_block", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("unmasked", [False, True])
def test_left_padding_masked_and_shifted_is_no_padding(layers: str, unmasked: bool) -> None:
    model = {"trainable_layers": layers, "disable_causal_mask": unmasked}
    unpadded = config_of(**model, no_padding=True, batch_size=1)
    assert_same(unpadded, config_of(**model, **PLACEMENTS["left, masked, shifted"]))


def test_of_what_is_masked_or_shifted_alone_neither_is_no_padding() -> None:
    expected, _ = logits_and_gradients("naive", config_of(no_padding=True, batch_size=1))
    for layout in ("left", "left, masked", "left, shifted"):
        found, _ = logits_and_gradients("planned", config_of(**PLACEMENTS[layout]))
        assert (found - expected).abs().max() > 1e-3, layout


# ---- as transformers has it ------------------------------------------------------------------------------------------


def twin_of(config: ExperimentConfig, weights: RandomWeights) -> Any:
    """GPT-2 of transformers with the same weights, whose head has no bias."""
    transformers = pytest.importorskip("transformers")
    from ablation.model.classifier import materialise
    from ablation.model.to_huggingface import huggingface_tensors

    model = build_classifier(config, SHAPE)
    materialise(model, weights, CPU)
    torch.nn.init.zeros_(model.out_head.bias)  # type: ignore[arg-type]
    sizes = {"vocab_size": SHAPE.vocab_size, "n_positions": SHAPE.context_length, "n_embd": SHAPE.emb_dim}
    settings = transformers.GPT2Config(
        **sizes, n_layer=SHAPE.n_layers, n_head=SHAPE.n_heads, num_labels=2, pad_token_id=PAD,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    twin = transformers.GPT2ForSequenceClassification(settings).eval()
    state = {name: value for name, value in model.state_dict().items() if name != "out_head.bias"}
    twin.load_state_dict(huggingface_tensors(state, SHAPE), strict=False)
    return twin.double(), model.double()
