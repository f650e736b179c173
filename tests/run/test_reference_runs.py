"""The runner meets what an independent run of the published algorithm printed, for every kind of row.

``tests/fixtures/tiny_runs.json`` holds that run's figures (3 blocks, width 64, random weights, the real messages).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.config.experiment import ExperimentConfig
from ablation.model.classifier import RandomWeights
from tests.support.reference import RUNS, assert_epochs_met, assert_losses_met, run_reference

QUICK = ("row01", "row11", "row16", "row17")  # one epoch each in the default tests; all of them under ``slow``


@pytest.mark.parametrize("name", QUICK)
def test_first_epoch(name: str, real_data_dir: Path, real_vocabulary: Path) -> None:
    expected = RUNS[name]
    result = run_reference(name, real_data_dir, real_vocabulary, num_epochs=1)
    assert result.facts.trainable_parameters == expected["trainable_params"]
    assert len(result.history.evaluations) == 3
    assert_losses_met(result, expected)
    assert_epochs_met(result, expected)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["planned", "naive"])
@pytest.mark.parametrize("name", RUNS)
def test_whole_run(name: str, execution: str, real_data_dir: Path, real_vocabulary: Path) -> None:
    expected = RUNS[name]
    result = run_reference(name, real_data_dir, real_vocabulary, execution=execution)
    assert result.facts.trainable_parameters == expected["trainable_params"]
    assert len(result.history.evaluations) == len(expected["train_losses"])
    assert_losses_met(result, expected)
    assert len(result.history.epoch_counts) == len(expected["epoch_train_accs"])
    assert_epochs_met(result, expected)
    assert result.history.examples_seen == expected["examples_seen"]
    for split, key in (("train", "final_train_acc"), ("validation", "final_val_acc"), ("test", "final_test_acc")):
        count = result.answers.counts[split]
        assert abs(count.correct - expected[key] * count.total) < 1.001, split


@pytest.mark.parametrize("name", RUNS)
def test_initial_values(name: str) -> None:
    config = ExperimentConfig(weights="random", n_layers=3, emb_dim=64, n_heads=4)
    weights = RandomWeights(config.shape, config.seed)
    expected = RUNS[name]["init"]
    assert weights.tensor("tok_emb.weight")[0, :3].tolist() == pytest.approx(expected["tok_emb[0,:3]"], abs=1e-7)
    query = weights.tensor("trf_blocks.2.att.W_query.weight")[0, :3].tolist()
    assert query == pytest.approx(expected["last_block.W_query[0,:3]"], abs=1e-7)
