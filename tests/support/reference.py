"""The reference runs of ``tests/fixtures/tiny_runs.json``: repeated here, and what must be met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ablation.config.experiment import ExperimentConfig
from ablation.results.result import ExperimentResult
from ablation.run.experiment import run_experiment
from ablation.tasks.spam import SPAM

RUNS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures" / "tiny_runs.json").read_text())["runs"]
LOSS_TOLERANCE = 0.0005


def run_reference(name: str, real_data_dir: Path, real_vocabulary: Path, **overrides: Any) -> ExperimentResult:
    flags = {
        **RUNS[name]["flags"],
        "weights": "random", "n_layers": 3, "emb_dim": 64, "n_heads": 4, "device": "cpu",
        "data_dir": str(real_data_dir), "offline": True,
    }  # fmt: skip
    return run_experiment(SPAM, ExperimentConfig(**{**flags, **overrides}))


def assert_losses_met(result: ExperimentResult, expected: dict[str, Any]) -> None:
    evaluations = result.history.evaluations
    for found, losses in (
        ([e.train_loss for e in evaluations], expected["train_losses"]),
        ([e.validation_loss for e in evaluations], expected["val_losses"]),
    ):
        assert found == pytest.approx(losses[: len(found)], abs=LOSS_TOLERANCE)


def assert_epochs_met(result: ExperimentResult, expected: dict[str, Any]) -> None:
    for position, key in enumerate(("epoch_train_accs", "epoch_val_accs")):
        for counts, accuracy in zip(result.history.epoch_counts, expected[key], strict=False):
            assert abs(counts[position].correct - accuracy * counts[position].total) < 1.001
