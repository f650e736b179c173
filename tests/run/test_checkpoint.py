"""A run that was cut off and gone on with is the run that was not, to the bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import row_config
from ablation.files.snapshots import Snapshots
from ablation.listener import Listener
from ablation.results.result import ExperimentResult
from ablation.results.run_folder import describe_result, save_result
from ablation.run.experiment import run_experiment
from ablation.tasks.spam import SPAM

MAY_DIFFER = {
    "run_id", "timestamp_utc", "training_minutes", "total_minutes", "load_seconds", "feature_seconds",
    "peak_memory_mb", "resumed", "checkpoint_every",
}  # fmt: skip
KINDS = {"features": 1, "all layers": 5, "LoRA": 11, "frozen pass": 13, "accumulation": 15}


class CutOffError(Exception):
    """What ends a run at an arbitrary point, like the end of its process."""


class Cutter(Listener):
    """Cuts a run off when so much has been told."""

    def __init__(self, after: int) -> None:
        self.left, self.said = after, list[str]()

    def message(self, line: str) -> None:
        self.said.append(line)

    def work_advanced(self, amount: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise CutOffError


def config(folder: Path, kind: str, **changes: Any) -> ExperimentConfig:
    settings: dict[str, Any] = {"demo": True, "max_steps": 30, "eval_freq": 7, "eval_iter": 2, "save_model": True}
    if kind == "frozen pass":
        settings |= {"feature_memory": 0.02}  # several chunks
    return row_config(KINDS[kind], **{**settings, "results_dir": str(folder), **changes})


def record(result: ExperimentResult) -> tuple[Any, ...]:
    """All that must be the same."""
    row = {name: value for name, value in describe_result(SPAM, result).rows[0].items() if name not in MAY_DIFFER}
    logits = {split: values.tolist() for split, values in result.answers.logits.items()}
    parameters = {name: value.view(torch.uint8).tolist() for name, value in result.trained_parameters.items()}
    return row, dataclasses.asdict(result.history), logits, parameters


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A checkpoint wherever there may be one."""
    monkeypatch.setattr(Snapshots, "is_due", property(lambda self: True))
    monkeypatch.setattr(Snapshots, "has_begun", property(lambda self: True))
    yield


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_to_the_bit(kind: str, tmp_path: Path) -> None:
    counter = Cutter(0)
    whole = record(run_experiment(SPAM, config(tmp_path, kind, checkpoint_every=0.0), counter))
    said, third = list[str](), -counter.left // 3
    for after in (third, third, third // 2):  # in the pass where there is one, then in training
        cutter = Cutter(after)
        with pytest.raises(CutOffError):
            run_experiment(SPAM, config(tmp_path, kind), cutter)
        said += cutter.said
    result = run_experiment(SPAM, config(tmp_path, kind))
    assert record(result) == whole
    assert result.resumed >= 2 and any("going on from a checkpoint" in line for line in said)
    save_result(SPAM, result)
    assert not (tmp_path / "checkpoints").exists()
