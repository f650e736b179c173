"""On which side pads stand, whether they are attended to, where positions count from: all ways to logits agree, and
what must be the same experiment gives the same numbers."""

from __future__ import annotations

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
from ablation.execution.feature_cache import FeatureCache
from ablation.execution.features import FeatureOptions
from ablation.execution.naive import NaiveExecution
from ablation.execution.plan import Seen, make_plan
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import make_setup
from ablation.listener import Listener
from ablation.methods import registry
from ablation.model.classifier import RandomWeights
from ablation.model.to_huggingface import huggingface_tensors, without_bias
from ablation.run.experiment import feature_stages
from tests.execution.test_registry import assert_all_three_agree
from tests.support.tiny import CPU, PAD, SHAPE, DoubleWeights, make_execution, make_messages, tiny_config
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

TEXTS = [[5, 9, 7, 4], [8], [3, 1, 2, 11, 30, 6, 2], [9, 9]]


@pytest.fixture(scope="module")
def twin() -> Any:
    """GPT2ForSequenceClassification with the weights that our executions of a configuration have."""
    transformers = pytest.importorskip("transformers")
    setup = make_setup(tiny_config(), DoubleWeights(RandomWeights(SHAPE, 123)), {"train": encoded(tiny_config())}, CPU,
                       torch.float64)  # fmt: skip
    model = NaiveExecution(setup).model
    settings = transformers.GPT2Config(
        vocab_size=SHAPE.vocab_size, n_positions=SHAPE.context_length, n_embd=SHAPE.emb_dim, n_layer=SHAPE.n_layers,
        n_head=SHAPE.n_heads, num_labels=2, pad_token_id=PAD,
    )  # fmt: skip
    copy = transformers.GPT2ForSequenceClassification(settings).double().eval()
    tensors = huggingface_tensors(without_bias(model.state_dict()), SHAPE)
    missing, unexpected = copy.load_state_dict(tensors, strict=False)
    assert not unexpected and not [name for name in missing if not name.endswith((".attn.bias", ".masked_bias"))]
    return copy


def encoded(config: ExperimentConfig) -> EncodedMessages:
    return encode_messages(TEXTS, [0, 1, 0, 1], 7, PAD, padded=True, padding=config)


@pytest.mark.parametrize("shifted", [False, True])
def test_left_padding_with_a_mask_is_that_of_transformers(shifted: bool, twin: Any) -> None:
    """Which leaves positions where they are, unless it is given them as its generation does."""
    layout = PLACEMENTS["left, masked, shifted" if shifted else "left, masked"]
    config = tiny_config(**layout)
    messages = encoded(config)
    mask = (messages.tokens != PAD).long()
    assert messages.tokens[1].tolist() == [PAD] * 6 + [8] and messages.starts.tolist() == [3, 6, 0, 5]
    given = {"position_ids": (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)} if shifted else {}
    with torch.no_grad():
        expected = twin(messages.tokens, attention_mask=mask, **given).logits
    for kind in ("naive", "planned"):
        splits = dict.fromkeys(("train", "validation", "test"), messages)
        execution = make_execution(config, splits, kind)
        with torch.no_grad():
            (found,) = execution.logits("test", [torch.arange(4)])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_pad_read_on_the_right_sees_the_tokens_alone_as_in_transformers(twin: Any) -> None:
    config = tiny_config(mask_padding=True)
    messages = encoded(config)
    with torch.no_grad():
        states = twin.transformer(messages.tokens, attention_mask=(messages.tokens != PAD).long())
        expected = twin.score(states.last_hidden_state[:, -1])
        execution = make_execution(config, dict.fromkeys(("train", "validation", "test"), messages), "planned")
        (found,) = execution.logits("test", [torch.arange(4)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# ---- what is computed ------------------------------------------------------------------------------------------------


def visible(execution: NaiveExecution | PlannedExecution) -> list[int]:
    return execution._reach.visible["test"].tolist()


def test_masked_pads_that_are_not_read_are_not_computed() -> None:
    lengths = make_messages(config_of())["test"].lengths.tolist()
    cases: list[tuple[dict[str, Any], list[int]]] = [
        (PLACEMENTS["left, masked"], lengths),
        (PLACEMENTS["left, masked, shifted"], lengths),
        ({**PLACEMENTS["left, masked"], "trainable_token_pos": "first"}, [1] * len(lengths)),
        ({**PLACEMENTS["left, masked"], "disable_causal_mask": True, "trainable_token_pos": "first"}, lengths),
        ({"mask_padding": True}, [min(length + 1, 12) for length in lengths]),  # the pad that is read is
        ({**LEFT, "trainable_token_pos": "first"}, [13 - length for length in lengths]),
        (LEFT, [12] * len(lengths)),
        ({**PLACEMENTS["left, masked"], "average_embeddings": True}, [12] * len(lengths)),
    ]
    for case, expected in cases:
        config = config_of(**case)
        assert visible(make_execution(config, make_messages(config), "planned")) == expected, case
        seen = {Seen.FIRST: [1] * len(lengths), Seen.ALL: [12] * len(lengths)}.get(make_plan(config).seen)
        assert seen in (None, expected), case


def test_they_start_as_unpadded_messages_do() -> None:
    """Masked and shifted, what is computed is the very same: also to the last bit."""
    logits = []
    for settings in (PLACEMENTS["left, masked, shifted"], {"trainable_token_pos": "flexible"}):
        execution = make_execution(config := config_of(**settings), make_messages(config), "planned", torch.float32)
        logits.append(torch.cat(execution.logits("train", [torch.arange(20)])))
    assert torch.equal(*logits)


def entries(folder: Path, **settings: Any) -> str:
    """Where a run's features come from, with a cache in this folder."""
    config, weights = config_of(**settings), RandomWeights(SHAPE, 123)
    setup = make_setup(config, weights, make_messages(config), CPU)
    with FeatureCache(folder, 10**9, Listener()) as cache:
        options = FeatureOptions(feature_stages(setup.messages, config), 10**9, cache, {"weights": weights.digest()})
        execution = PlannedExecution(setup, options)
        for stage in (0, 1):
            execution.prepare(stage, Listener())
    return execution.features


def test_features_are_shared_by_what_is_the_same_and_by_nothing_else(tmp_path: Path) -> None:
    for layout in ({}, *PLACEMENTS.values(), {"truncation_side": "left", "context_length": 5}, {"context_length": 5}):
        assert entries(tmp_path, **layout) == "computed", layout
    assert entries(tmp_path, trainable_token_pos="flexible") == "reused"  # left, masked and shifted has left them
    assert entries(tmp_path, **PLACEMENTS["left, masked"], trainable_token_pos="flexible") == "reused"
    assert entries(tmp_path, **LEFT, trainable_layers="last_layer") == "reused"


def test_messages_that_differ_in_their_place_alone_are_not_taken_for_the_same() -> None:
    """A message may itself begin with what pads are."""
    config = config_of(**LEFT, average_embeddings=True, trainable_token_pos="flexible", context_length=4)
    texts = [[PAD, 5, 6], [5, 6]]
    messages = encode_messages(texts, [0, 1], 4, PAD, padded=True, padding=config)
    assert torch.equal(*messages.tokens)
    splits = dict.fromkeys(("train", "validation", "test"), messages)
    naive, planned = (make_execution(config, splits, kind) for kind in ("naive", "planned"))
    with torch.no_grad():
        (expected,), (found,) = (execution.logits("test", [torch.arange(2)]) for execution in (naive, planned))
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_block_that_may_attend_to_pads_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    declaration, method = TOY_METHODS["unknown last block"]
    monkeypatch.setitem(declared.DECLARATIONS, "unknown last block", declaration)
    monkeypatch.setitem(registry.METHODS, "unknown last block", method)
    config = tiny_config(trainable_layers="unknown last block", mask_padding=True)
    with pytest.raises(ConfigError, match=r"^--mask_padding: block 3 is not GPT-2's, and may attend to pads; leave"):
        make_execution(config, make_messages(config), "naive")
