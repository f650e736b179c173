"""The benchmark of the methods: its floor is what a block really computes, and both sides of it train the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import row_config
from ablation.environment import PROJECT
from ablation.execution.feature_cache import FeatureCache
from ablation.listener import Listener
from ablation.model.classifier import RandomWeights, StartingValues, assemble, materialise
from benchmarks import methods, peft_style
from benchmarks.floor import Batch, attention_operations, block_products, step_gflop
from benchmarks.machine import block_rate
from tests.support.tiny import CPU, SHAPE, make_messages

DEMO_WEIGHTS = PROJECT / "data" / "demo" / "gpt2-nano.safetensors"
ROWS = (11, *range(20, 34))
# PyTorch's counter knows it in its other form alone
IN_PLACE = {torch.ops.aten.addmm_: lambda y, x, weight, out_shape=None, **_: 2 * x[0] * x[1] * weight[1]}
SMALL = {"lora_rank": 3, "bottleneck": 5, "prefix_length": 3, "prompt_length": 2}


def small(row: int, **overrides: Any) -> ExperimentConfig:
    """A row of the methods with sizes that fit the tiny shape."""
    own = row_config(row)
    takes = {*own.declaration.options, *own.method_defaults}
    sizes = {name: size for name, size in SMALL.items() if name in takes}
    return row_config(row, **{"weights": "random", "context_length": 12, **sizes, **overrides})


@pytest.mark.parametrize("row", ROWS)
def test_the_floor_is_what_a_block_computes(row: int) -> None:
    """Counted by PyTorch while the block runs there and back; what lies between keys and values it does not count."""
    config, positions = small(row), 4 * 7
    assembly = assemble(config, replace(SHAPE, n_layers=1))
    values = StartingValues(RandomWeights(replace(SHAPE, n_layers=1), 1), assembly.derived)
    materialise(assembly.model, values, CPU, {**assembly.sources, **{name: name for name in assembly.derived}})
    for reached in (False, True):
        x = torch.randn(4, 7, SHAPE.emb_dim, requires_grad=reached)
        with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counted:
            y = assembly.model.trf_blocks[0](x)
            if y.requires_grad:
                y.sum().backward()
        more = counted.get_total_flops() - block_products(config, SHAPE.emb_dim, positions, reached=reached)
        assert 0 <= more <= (norms_beside_their_product(config) if config.method == "dora" else 0)


def norms_beside_their_product(config: ExperimentConfig) -> int:
    """What DoRA's norms may take besides one product of the size of A B: A A and B B, in the six maps of a block."""
    inputs_and_outputs = (4 * 2 + 2 * 5) * SHAPE.emb_dim
    return 2 * config.lora_rank**2 * inputs_and_outputs


def test_the_floor_of_a_step_by_hand() -> None:
    """Prefix tuning, three blocks, width 16, 8 messages of 12 tokens and 3 keys more."""
    width, positions = SHAPE.emb_dim, 8 * 12
    frozen = 2 * 12 * width**2 * positions  # the linear layers of a block, forward
    attention = 8 * sum(4 * width * (3 + seen) for seen in range(1, 13))
    assert attention_operations(width, Batch(8, 12), 3, 0, causal=True) == attention
    read = 2 * 2 * 12 * width**2 * 8  # the last block, there and back
    first = 2 * frozen - 2 * 3 * width**2 * positions + 3 * attention  # nothing before its keys needs a gradient
    assert step_gflop(small(28), SHAPE, Batch(8, 12)) == (first + 2 * frozen + 3 * attention + read) / 1e9
    assert step_gflop(small(28, from_block=3), SHAPE, Batch(8, 12)) == read / 1e9


def measured(here: float, peft: float, floor: float = 0.0) -> dict[str, Any]:
    return {
        "seconds": {"here": [100.0, here, here], "peft": [100.0, peft, peft]},
        "evaluation": {"here": 0.5, "peft": 1.0},
        "parameters": {"here": 1234, "peft": 1232},
        "floor_gflop": 100 * floor,
        "products_gflop_per_s": [100.0, 100.0, 100.0],
    }


def test_the_tables_have_ratios_and_training_time() -> None:
    inference = {"as_trained": {"1": [80.0, 90.0], "32": [40.0]}, "merged": {"1": [70.0], "32": [35.0]}}
    results = {
        methods.FROZEN_PASS: {"seconds": 2.0, "messages": 31},
        methods.PLAIN: {"as_trained": inference["merged"]},
        "20": {"steps": {"all_blocks": measured(2.0, 3.0, 1.6), "last_block": measured(0.06, 1.2)}},
        "28": {"inference": {"as_trained": inference["as_trained"]}},
        "30": {"inference": inference},
    }
    lines = [line for line in methods.table(results).splitlines() if line.startswith("| ") and "---" not in line]
    full, last, plain, prefix, ia3 = (line for line in lines if not line.startswith("| row"))
    assert full == (
        "| 20 | `lora` | 1,234 | 2.00 | 3.00 | 1.50 | 1.60 | 1.25 | 21.7 + 1.5 | 32.5 + 3.0 |"
        " one term for the three maps in `c_attn` |"
    )
    # 650 steps of 0.06 s and 1,085 messages at 2/31 s are 109 s; PEFT's steps are 780 s
    assert last == "| 20 | `lora` | 1,234 | 0.060 | 1.20 | 20 | 1.8 + 1.5 | 13.0 + 3.0 | 7.2 |"
    assert plain == "|  | plain GPT-2 | 70 |  | 35 |  |"
    assert prefix == "| 28 | `prefix_tuning` | 85 |  | 40 |  |"
    assert ia3 == "| 30 | `ia3` | 85 | 70 | 40 | 35 |"
    assert methods.table({}) == ""


@pytest.mark.slow
def test_both_sides_train_what_the_row_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    monkeypatch.setattr(methods, "row_config", small)
    config = small(1)
    messages = make_messages(config)
    batches = methods.published_batches(messages, config, 2)
    weights = RandomWeights(SHAPE, 1)
    with FeatureCache(tmp_path, 10**8, Listener()) as cache:
        bench = methods.Bench(weights, peft_style.plain_model(SHAPE), messages, batches, cache)
        assert methods.measure_frozen_pass(bench)["messages"] == 16
        results: dict[str, Any] = {str(row): {"steps": methods.row_steps(row, bench)} for row in ROWS}
    bias = 2  # of the new head: Hugging Face's has none
    same = (24, 25, 26, 31, 32)  # others differ as peft_style.NEAREST says
    for row, result in results.items():
        steps = result["steps"]
        assert ("last_block" in steps) == (row not in ("11", "29"))  # the published form, the soft prompt
        assert steps["all_blocks"]["features"] == "none" and steps["all_blocks"]["floor_gflop"] > 0
        for found in steps.values():
            here, peft = found["parameters"].values()
            assert [len(seconds) for seconds in found["seconds"].values()] == [2, 2]
            assert here == peft + bias or int(row) not in same
    last = [result["steps"]["last_block"] for result in results.values() if "last_block" in result["steps"]]
    assert {found["features"] for found in last} == {"reused"}
    results |= {methods.FROZEN_PASS: {"seconds": 1.0, "messages": 16}}
    assert methods.table(results).count("| `lora` |") == 7


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_messages_are_classified_as_trained_and_merged(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def demo(row: int, **overrides: Any) -> ExperimentConfig:
        return small(row, demo=True, **{**overrides, "weights": "pretrained"})

    monkeypatch.setattr(methods, "row_config", demo)
    monkeypatch.setattr(methods, "BATCH_SIZES", (1, 2))
    options = SimpleNamespace(models_dir="models", inference_repeats=1)
    found = methods.row_inference(row, DEMO_WEIGHTS, options, ["hello", "a prize"])  # type: ignore[arg-type]
    merges = row in (11, 20, 21, 22, 23, 30, 33)  # biases and norms are plain weights already
    assert list(found) == ["as_trained", *(["merged"] if merges else [])]
    assert {size: len(figures) for size, figures in found["as_trained"].items()} == {"1": methods.ONE_BY_ONE, "2": 1}


def test_the_rate_of_products_is_one() -> None:
    assert 0.01 < block_rate(16, 32) < 1e5
