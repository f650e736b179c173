"""A finished run of the demo's language model that kept its model, after a single step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablation.config.generation import LanguageModelConfig
from ablation.run.kinds import run, save_result
from ablation.tasks.language_model import LANGUAGE_MODEL

SIZES: dict[str, Any] = {
    "n_train": 8, "n_validation": 4, "n_test": 6, "num_epochs": 1, "max_len": 12, "checkpoint_every": 0,
}  # fmt: skip


def tiny_config(results_dir: Path, **settings: Any) -> LanguageModelConfig:
    """The run's settings, generating three sentences greedily if not said otherwise."""
    usual = {"n_samples": 3, "decoding": "greedy", "demo": True, "save_model": True, "weights": "pretrained"}
    return LanguageModelConfig(**{**SIZES, **usual, **settings}, results_dir=str(results_dir))


def make_run(results_dir: Path, **settings: Any) -> Path:
    """Run it; returns its folder."""
    result = run(LANGUAGE_MODEL, tiny_config(results_dir, **settings))
    rows = save_result(LANGUAGE_MODEL, result)
    return results_dir / "runs" / rows[0]["run_id"]
