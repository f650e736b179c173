"""What methods start with: the base's own answers, to the bit, and draws on the CPU in an order that stays."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.methods.registry import METHODS, adapt
from ablation.model.classifier import RandomWeights, StartingValues, assemble
from previous_chapters import GPTModel
from tests.support.cases import ROW_SETTINGS
from tests.support.tiny import SHAPE, make_execution, make_messages, tiny_config

ROWS = {name: settings for name, settings in ROW_SETTINGS.items() if "method" in settings}
MOVES = {"hybrid", "prefix_tuning", "soft_prompt"}  # what is drawn is seen at once


def answers(config: ExperimentConfig, kind: str) -> Tensor:
    execution = make_execution(config, make_messages(config), kind, torch.float32)
    with torch.no_grad():
        return torch.cat(execution.logits("test", [torch.tensor([i]) for i in range(14)]))


@pytest.fixture(scope="module")
def base() -> dict[str, Tensor]:
    """Of the base with its new head, by the same ways."""
    config = tiny_config(trainable_layers="all", context_length=12)
    return {kind: answers(config, kind) for kind in ("naive", "planned")}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", ["naive", "planned"])
def test_before_the_first_step_a_method_answers_as_the_base(row: str, kind: str, base: dict[str, Tensor]) -> None:
    config = tiny_config(**ROWS[row], context_length=12)
    found, expected = answers(config, kind), base[kind]
    if config.adaptation in MOVES:
        assert (found - expected).abs().max() > 1e-5
    elif config.adaptation == "dora":  # divided by a norm and multiplied by it
        assert (found - expected).abs().max() < 1e-5
    else:
        assert torch.equal(found, expected)


def drawn(config: ExperimentConfig) -> dict[str, Tensor]:
    """Starting values of all that is new, the classifier included."""
    assembly = assemble(config, SHAPE)
    weights = StartingValues(RandomWeights(SHAPE, 123), assembly.derived)
    return {
        name: weights.tensor(name) if parameter.is_meta else parameter.detach()
        for name, parameter in assembly.model.named_parameters()
        if name not in assembly.sources
    }


def digest(values: dict[str, Tensor]) -> str:
    told = hashlib.sha256()
    for name, value in sorted(values.items()):
        told.update(f"{name} {tuple(value.shape)} ".encode() + value.contiguous().numpy().tobytes())
    return told.hexdigest()[:16]


# of seed 123 in the tiny shape: were one another, results made before would no longer come out
DRAWN: dict[str, str] = {
    "row 20": "c46aec8e3561b462",
    "row 21": "6c04508fd6bb6d0c",
    "row 22": "ce02f6c7cd195cc9",
    "row 23": "6c04508fd6bb6d0c",
    "row 24": "f76ca4351d339393",
    "row 25": "52a00c563a804889",
    "row 26": "52a00c563a804889",
    "row 27": "c8c23741683858b2",
    "row 28": "070ea30eba7115c7",
    "row 29": "2a027206e0189145",
    "row 30": "bd3eb26df8ced367",
    "row 31": "80020486a1ccad4b",
    "row 32": "80020486a1ccad4b",
    "row 33": "d8232dfb3fdadeef",
}


@pytest.mark.parametrize("row", ROWS)
def test_draws_are_the_same_as_ever(row: str) -> None:
    assert digest(drawn(tiny_config(**ROWS[row]))) == DRAWN[row]


@pytest.mark.parametrize("row", ROWS)
def test_another_seed_draws_others(row: str) -> None:
    values, others = (drawn(tiny_config(**ROWS[row], seed=seed)) for seed in (123, 124))
    assert values.keys() == others.keys()
    for name, value in values.items():
        fixed = not value.any() or bool((value == 1).all()) or name.endswith("magnitude")
        assert torch.equal(value, others[name]) == fixed, name


def test_draws_happen_on_the_cpu_whatever_the_device() -> None:
    for row, settings in ROWS.items():
        config = tiny_config(**settings)
        with torch.device("meta"):
            model = GPTModel(SHAPE)
            model.out_head = nn.Linear(SHAPE.emb_dim, 2)
            adapted = adapt(model, METHODS[config.adaptation], config)
        new = {name: p for name, p in model.named_parameters() if name not in adapted.origins | adapted.derived}
        assert all(parameter.device.type == "cpu" for parameter in new.values()), row


def test_prefixes_are_drawn_narrowly_and_prompts_are_rows_of_the_token_embedding() -> None:
    wide = tiny_config(method="prefix_tuning", prefix_length=1000)
    tables = [value for name, value in drawn(wide).items() if ".extra." in name]
    assert len(tables) == 2 * SHAPE.n_layers
    for table in tables:  # 16,000 values each
        assert abs(float(table.mean())) < 0.001 and abs(float(table.std()) - 0.02) < 0.0005
    prompt = drawn(tiny_config(method="soft_prompt", prompt_length=9))["extra.embeddings"]
    tokens = RandomWeights(SHAPE, 123).tensor("tok_emb.weight")
    same = (prompt[:, None] == tokens).all(-1)
    assert same.any(1).all() and same.any(0).sum() > 5
