"""Every method, made of whatever parts, read in every way: the plain way, the planned way and classify agree."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.config import methods as declared
from ablation.config.experiment import TOKEN_POSITIONS, ConfigError, ExperimentConfig
from ablation.config.settings import METHODS as METHOD_NAMES
from ablation.data.encode import EncodedMessages
from ablation.data.spam import LABELS
from ablation.execution.base import Execution
from ablation.execution.feature_cache import FeatureCache
from ablation.execution.features import FeatureOptions
from ablation.execution.plan import make_plan
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import make_setup
from ablation.listener import Listener
from ablation.methods import registry
from ablation.methods.dylora import DynamicTerm
from ablation.methods.layers import last_block
from ablation.model.classifier import RandomWeights
from ablation.run.experiment import feature_stages
from ablation.run.trained_classifier import SavedRun, TrainedClassifier, join
from previous_chapters import GPTModel
from tests.support.cases import SMALL
from tests.support.parity import assert_same_logits_and_gradients, gradients, make_pair, move_what_is_added
from tests.support.tiny import CPU, SHAPE, DoubleWeights, make_execution, make_messages, tiny_config
from tests.support.toy_methods import REFUSED, TOY_METHODS, other_heads

PUBLISHED = ", published"  # form of LoRA
METHODS = [*registry.METHODS, f"lora{PUBLISHED}", *TOY_METHODS]
READS = [(position, pooled) for position in TOKEN_POSITIONS for pooled in (False, True)]
READS.remove(("first", True))  # refused
FROM_A_BLOCK = [name for name in METHOD_NAMES if "from_block" in (declared.DECLARATIONS[name].defaults or {})]
LAYOUTS = list(itertools.product((False, True), (False, True)))  # without the mask, without padding


@pytest.fixture(autouse=True)
def toy_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (declaration, method) in TOY_METHODS.items():
        monkeypatch.setitem(declared.DECLARATIONS, name, declaration)
        monkeypatch.setitem(registry.METHODS, name, method)


def config_of(
    method: str, position: str, pooled: bool, unmasked: bool, unpadded: bool, **settings: Any
) -> ExperimentConfig:
    adapted = {"method": method} if method in METHOD_NAMES else {"trainable_layers": method.removesuffix(PUBLISHED)}
    defaults = declared.DECLARATIONS[adapted.get("method", "")].defaults or {} if "method" in adapted else {}
    small = {name: value for name, value in SMALL.items() if name in defaults}
    return tiny_config(
        **adapted, **small, **settings, trainable_token_pos=position, average_embeddings=pooled, save_model=True,
        disable_causal_mask=unmasked, no_padding=unpadded, batch_size=1 if unpadded else 4, context_length=12,
        n_layers=SHAPE.n_layers, emb_dim=SHAPE.emb_dim, n_heads=SHAPE.n_heads,
    )  # fmt: skip


def classified(config: ExperimentConfig, execution: Execution, messages: EncodedMessages) -> torch.Tensor:
    """Logits of messages as classify.py gets them, from what a run would have kept."""
    base = DoubleWeights(RandomWeights(SHAPE, config.seed))
    saved = SavedRun(Path("run"), config, execution.trained_parameters(0), base.digest(), 12, None)
    shaped = dataclasses.replace(saved, config=_InShape(config))  # type: ignore[arg-type]
    return TrainedClassifier(shaped, join(shaped, base), None, CPU, tuple(LABELS))._logits(messages)  # type: ignore[arg-type]


class _InShape:
    """A configuration with the tests' vocabulary and context, which no flag can give."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._config, self.shape = config, SHAPE

    def __getattr__(self, name: str) -> object:
        return getattr(self._config, name)


def assert_all_three_agree(config: ExperimentConfig) -> None:
    naive, planned = make_pair(config)
    for execution in (naive, planned):
        move_what_is_added(execution)
    assert_same_logits_and_gradients(naive, planned)
    messages = make_messages(config)["test"]
    one_by_one = [torch.tensor([i]) for i in range(len(messages))]
    with torch.no_grad():
        expected = torch.cat(naive.logits("test", one_by_one))
    spread = float(expected.std())
    assert spread > 0.01
    assert (classified(config, naive, messages) - expected).abs().max() < 1e-9 * max(1, spread)


@pytest.mark.parametrize(("position", "pooled"), READS, ids=lambda value: str(value))
@pytest.mark.parametrize("method", METHODS)
def test_naive_planned_and_classify_agree(method: str, position: str, pooled: bool) -> None:
    for unmasked, unpadded in LAYOUTS:
        assert_all_three_agree(config_of(method, position, pooled, unmasked, unpadded))


# Each of these reads, and each layout, once: the slow test has all of them together.
SOME_READS = [("first", False, *LAYOUTS[0]), ("last", False, *LAYOUTS[2]), ("flexible", True, *LAYOUTS[1])]


@pytest.mark.parametrize("method", FROM_A_BLOCK)
def test_from_the_last_block_on_they_agree_too(method: str) -> None:
    """Its blocks below are computed once; the last one is read at one position, or its mean."""
    for number, case in enumerate(SOME_READS):
        config = config_of(method, *case, from_block=SHAPE.n_layers, train_final_norm=number == 1)
        assert make_plan(config).prefix_blocks == SHAPE.n_layers - 1
        assert_all_three_agree(config)


@pytest.mark.slow
@pytest.mark.parametrize(("position", "pooled"), READS, ids=lambda value: str(value))
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_from_whichever_block_they_agree(method: str, position: str, pooled: bool) -> None:
    blocks = range(1, SHAPE.n_layers + 1) if method in FROM_A_BLOCK else [None]
    for (unmasked, unpadded), block, norm in itertools.product(LAYOUTS, blocks, (False, True)):
        where = {} if block is None else {"from_block": block}
        config = config_of(method, position, pooled, unmasked, unpadded, train_final_norm=norm, **where)
        assert_all_three_agree(config)


def test_a_soft_prompt_with_the_final_norm_agrees_too() -> None:
    assert_all_three_agree(config_of("soft_prompt", "flexible", False, False, False, train_final_norm=True))


@pytest.mark.parametrize("block", [1, SHAPE.n_layers])
def test_within_an_update_they_agree_at_its_rank(block: int) -> None:
    config = config_of("dylora", "last", False, False, False, from_block=block)
    pair = make_pair(config)
    ranks = {}
    for number in range(6):
        for execution in pair:
            move_what_is_added(execution)
        with pair[0].updating(number), pair[1].updating(number):
            terms = {name: term for name, term in pair[0].model.named_modules() if isinstance(term, DynamicTerm)}
            ranks[number] = {term.rank for term in terms.values()}
            assert_same_logits_and_gradients(*pair)
            own = gradients(pair[1], [torch.arange(8)])
        (rank,) = ranks[number]
        for name in terms:  # what is behind the rank is left alone
            assert own[f"{name}.A"][:, :rank].any() and not own[f"{name}.A"][:, rank:].any()  # type: ignore[index]
    assert len(set(map(tuple, ranks.values()))) > 2 and min(min(rank) for rank in ranks.values()) < config.lora_rank


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_plan_would_go_around_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    declaration, method, message = REFUSED[name]
    monkeypatch.setitem(declared.DECLARATIONS, name, declaration)
    monkeypatch.setitem(registry.METHODS, name, method)
    config = tiny_config(trainable_layers=name)
    with pytest.raises(ValueError, match=message):
        make_execution(config, make_messages(config), "planned")


def test_a_method_that_trains_more_than_it_declares_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan would freeze half of it, without a word."""
    for real, modest, what in (("last_two_blocks", "last_block", "block 1"), ("all", "lora", "embeddings")):
        monkeypatch.setitem(declared.DECLARATIONS, real, declared.DECLARATIONS[modest])
        config = tiny_config(trainable_layers=real)
        with pytest.raises(ValueError, match=f"method {real} trains {what}"):
            make_execution(config, make_messages(config), "planned")


def test_features_kept_at_other_positions_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(trainable_token_pos="flexible")
    messages = make_messages(config)

    def key_and_logits(kind: str) -> tuple[dict[str, object], torch.Tensor]:
        execution = make_execution(config, messages, kind)
        key = execution._features._key() if isinstance(execution, PlannedExecution) else {}
        with torch.no_grad():
            return key, torch.cat(execution.logits("test", [torch.tensor([i]) for i in range(14)]))

    plain_key, plain = key_and_logits("planned")
    assert "positions" not in plain_key
    shifted = staticmethod(lambda length, device=None: torch.arange(3, length + 3, device=device))
    monkeypatch.setattr(GPTModel, "positions", shifted)
    shifted_key, planned = key_and_logits("planned")
    assert set(shifted_key) == {*plain_key, "positions"}
    _, naive = key_and_logits("naive")
    assert (planned - plain).abs().max() > 1e-3
    assert (planned - naive).abs().max() < 1e-9


def test_of_blocks_that_a_method_changed_no_features_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their key could not say what they compute."""
    cases = {"last_block": True, "unknown last block": True, "unknown frozen block": False, "other heads": False}
    monkeypatch.setitem(declared.DECLARATIONS, "other heads", declared.DECLARATIONS["last_block"])
    monkeypatch.setitem(registry.METHODS, "other heads", registry.Method(last_block, other_heads))
    for method, kept in cases.items():
        config = tiny_config(trainable_layers=method, trainable_token_pos="flexible")
        setup = make_setup(config, RandomWeights(SHAPE, 1), make_messages(config), CPU)
        with FeatureCache(tmp_path / method, 10**9, Listener()) as cache:
            execution = PlannedExecution(setup, FeatureOptions(feature_stages(setup.messages, config), 10**9, cache))
            for stage in (0, 1):
                execution.prepare(stage, Listener())
        assert bool(list((tmp_path / method).glob("*.features"))) == kept, method


@pytest.mark.parametrize("kind", ["naive", "planned"])
@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=[] if name in ("dora", "hybrid") else pytest.mark.slow) for name in METHOD_NAMES],
)
def test_half_precision_trains(method: str, kind: str) -> None:
    """What a method adds is float32, whatever the arithmetic around it; so are logits and gradients."""
    for block in {1, SHAPE.n_layers} if method in FROM_A_BLOCK else [None]:
        where = {} if block is None else {"from_block": block}
        config = config_of(method, "last", False, False, False, precision="bf16", **where)
        execution = make_execution(config, make_messages(config), kind, torch.float32)
        optimizer = torch.optim.AdamW(execution.trainable_parameters(), lr=1e-2)
        losses = []
        for number in range(6):
            with execution.updating(number):
                (logits,) = execution.logits("train", [torch.arange(8)])
                loss = torch.nn.functional.cross_entropy(logits, execution.labels("train", torch.arange(8)))
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        assert logits.dtype == torch.float32 and min(losses[1:]) < losses[0]


def test_a_soft_prompt_that_leaves_no_room_is_refused_before_anything_is_computed() -> None:
    config = config_of("soft_prompt", "last", False, False, False)
    longer = dataclasses.replace(config, prompt_length=SHAPE.context_length - 11)
    with pytest.raises(ConfigError, match=r"--prompt_length 13: .* 12 tokens that makes 25 positions, .* 24; give"):
        make_execution(longer, make_messages(longer), "planned")
