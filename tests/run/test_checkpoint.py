"""A run that was cut off and gone on with is the run that was not, to the bit."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import row_config
from ablation.files.snapshots import Snapshots
from ablation.listener import Listener, StepLosses
from ablation.results.result import ExperimentResult
from ablation.results.run_folder import describe_result
from ablation.run import memory
from ablation.run.experiment import run_experiment
from ablation.run.inputs import RunError
from ablation.run.kinds import save_result
from ablation.tasks.spam import SPAM
from benchmarks import kills

MAY_DIFFER = {
    "run_id", "timestamp_utc", "training_minutes", "total_minutes", "load_seconds", "feature_seconds",
    "peak_memory_mb", "resumed", "checkpoint_every",
}  # fmt: skip
KINDS = {**kills.KINDS, "DyLoRA": 23, "masked pads": 35}
SLOW_KINDS = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "accumulation"]


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
    return row, dataclasses.asdict(result.history), logits, parameters, result.uses


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A checkpoint wherever there may be one."""
    monkeypatch.setattr(Snapshots, "is_due", property(lambda self: True))
    monkeypatch.setattr(Snapshots, "has_begun", property(lambda self: True))
    yield


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("kind", [*SLOW_KINDS, "accumulation"])
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


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("kind", ["all layers", pytest.param("LoRA", marks=pytest.mark.slow)])
def test_so_it_does_where_memory_is_scarce(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps taken in the backward pass leave the same state; so the run may even go on where there is more memory."""

    def there_are(free: int) -> None:
        monkeypatch.setattr(memory, "free_memory", lambda device: free)

    changes: dict[str, Any] = {"max_steps": 7, "context_length": 12}
    whole = record(run_experiment(SPAM, config(tmp_path, kind, checkpoint_every=0.0, **changes)))
    for free in (0, 10**12):
        there_are(free)
        with pytest.raises(CutOffError):
            run_experiment(SPAM, config(tmp_path, kind, **changes), cutter := Cutter(3))
        assert any("in the backward pass" in line for line in cutter.said) == (free == 0)
    there_are(0)
    result = run_experiment(SPAM, config(tmp_path, kind, **changes))
    assert result.resumed == 2 and record(result) == whole


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["features", "all layers", "LoRA", "frozen pass"])
def test_a_process_that_was_killed_is_gone_on_with(kind: str, tmp_path: Path) -> None:
    """One SIGKILL each at a random instant; forty are in ``benchmarks/records``."""
    draw = random.Random()
    report = kills.kill_and_go_on(kind, 1, tmp_path, draw, ("--max_steps", "120"))
    assert len(report.at) == 1 and report.differing == []


class EvaluationCutter(Cutter):
    """Cuts a run off, or interrupts it, at the evaluation after step 7."""

    def __init__(self, how: type[BaseException] = CutOffError) -> None:
        super().__init__(0)
        self.how = how

    def evaluated(self, losses: StepLosses) -> None:
        if losses.step == 7:
            raise self.how


@pytest.mark.slow
@pytest.mark.usefixtures("always_due")
def test_restart_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(CutOffError):
        run_experiment(SPAM, config(tmp_path, "accumulation"), EvaluationCutter())
    assert (tmp_path / "checkpoints").exists()
    listener = Cutter(0)
    result = run_experiment(SPAM, config(tmp_path, "accumulation", restart=True), listener)
    assert result.resumed == 0 and not any("going on" in line for line in listener.said)


@pytest.mark.usefixtures("always_due")
def test_an_interrupt_says_that_the_same_command_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from the last checkpoint"):
        run_experiment(SPAM, config(tmp_path, "accumulation"), EvaluationCutter(KeyboardInterrupt))


@pytest.mark.usefixtures("always_due")
def test_what_is_not_finite_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is nan"):
        run_experiment(SPAM, config(tmp_path, "all layers", learning_rate=1e30))
    assert not (tmp_path / "checkpoints").exists() or not any((tmp_path / "checkpoints").rglob("*.snapshot"))


@pytest.mark.slow
def test_a_short_run_keeps_none(tmp_path: Path) -> None:
    result = run_experiment(SPAM, config(tmp_path, "accumulation"))
    assert result.resumed == 0 and list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("always_due")
def test_of_two_processes_with_the_same_run_one_keeps_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(CutOffError):
        run_experiment(SPAM, config(tmp_path, "accumulation"), EvaluationCutter())
    (folder,) = (tmp_path / "checkpoints").iterdir()
    listener = Cutter(0)
    with FileLock(folder / "lock"):
        result = run_experiment(SPAM, config(tmp_path, "accumulation"), listener)
    assert result.resumed == 0
    assert sum("another process runs this very experiment" in line for line in listener.said) == 1
