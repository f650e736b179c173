"""Runs of the language model small enough for a test: the demo's messages, one narrow block from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ablation.config.generation import LanguageModelConfig
from ablation.listener import Listener
from ablation.results.language_model import LanguageModelResult
from ablation.run.kinds import run
from ablation.tasks.language_model import LANGUAGE_MODEL

SHAPE = {"n_layers": 1, "emb_dim": 8, "n_heads": 2}
TINY: dict[str, Any] = {
    "demo": True, "batch_size": 8, "num_epochs": 2, "n_train": 20, "n_validation": 6, "n_test": 5,
    "max_len": 10, "n_samples": 3, "decoding": "random", "temperature": "1", "checkpoint_every": 0.0,
}  # fmt: skip


def tiny(folder: Path, **changes: Any) -> LanguageModelConfig:
    """Twice three batches of 20 sentences, and three sentences in one way, unless said otherwise."""
    shape = {} if changes.get("weights") == "pretrained" else SHAPE
    return LanguageModelConfig(**{**TINY, **shape, "results_dir": str(folder), **changes})


def run_tiny(folder: Path, listener: Listener | None = None, **changes: Any) -> LanguageModelResult:
    return run(LANGUAGE_MODEL, tiny(folder, **changes), listener)


def training_losses(result: LanguageModelResult) -> list[float]:
    return [loss for epoch in result.history.epochs for loss in epoch.losses]


def found_out(result: LanguageModelResult) -> tuple[Any, ...]:
    """All that must be the same where a run is repeated."""
    spoken = [(one.decoding, one.texts, one.quality) for one in result.spoken]
    tensors = {name: tensor.view(torch.uint8).tolist() for name, tensor in result.tensors.items()}
    return result.history, result.test, spoken, tensors, result.facts, dict(result.foreign)


class Noting(Listener):
    """Notes what is said and which work is begun."""

    def __init__(self) -> None:
        self.said, self.works, self.done = list[str](), list[str](), 0

    def message(self, line: str) -> None:
        self.said.append(line)

    def work_started(self, title: str, total: int, unit: str) -> None:
        self.works.append(title)

    def work_advanced(self, amount: int) -> None:
        self.done += 1


class CutOffError(Exception):
    """What ends a run at an arbitrary point, like the end of its process."""


class Cutter(Noting):
    """Cuts a run off when some work, or all, has advanced so often."""

    def __init__(self, after: int, within: str = "", how: type[BaseException] = CutOffError) -> None:
        super().__init__()
        self.left, self.within, self.how = after, within, how

    def work_advanced(self, amount: int) -> None:
        super().work_advanced(amount)
        self.left -= self.within in self.works[-1]
        if self.left == 0:
            raise self.how
