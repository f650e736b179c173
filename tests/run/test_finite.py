"""A loss or a logit that is not finite: the run ends as failed, says where, and appends nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

import additional_experiments
from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import row_config
from ablation.execution.planned import PlannedExecution
from ablation.listener import StepLosses
from ablation.run.experiment import run_experiment
from ablation.run.finite import FiniteGuard
from ablation.run.inputs import RunError
from ablation.tasks.spam import SPAM
from tests.run import test_recorded, test_training
from tests.support.tiny import tiny_config


def test_a_learning_rate_that_breaks_the_model_fails_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--row", "5", "--demo", "--learning_rate", "1e30", "--max_steps", "60"]
    assert additional_experiments.main([*command, "--results_dir", str(tmp_path / "results")]) == 1
    said = capsys.readouterr()
    (error,) = said.err.splitlines()
    assert error.startswith("error: the training loss evaluated after step 0 is nan; the last finite training loss: 0.")
    assert "of step 0; " in error and error.endswith("give a smaller --learning_rate than 1e+30")
    assert "Train loss" not in said.out
    assert not (tmp_path / "results").exists()


# Decay alone multiplies what trains by -19 at every step: the first losses are finite, the first evaluation is, too.
GROWING = {"batch_size": 4, "num_epochs": 2, "learning_rate": 5.0, "weight_decay": 4.0, "eval_freq": 1000}
EXPECTED = r"the training loss of step (\d+) is (nan|inf); the last finite training loss: \S+, of step (\d+); "


def failure(kind: str) -> str:
    config = tiny_config(**GROWING)
    with pytest.raises(RunError) as failed:
        if kind == "recorded":
            test_recorded.train_tiny(config, recorded=True)
        else:
            test_training.train_tiny(config, kind=kind)
    return str(failed.value)


def test_every_way_to_compute_names_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a device is not asked for every loss: then the end comes later, and says the same."""
    planned = failure("planned")
    found = re.match(EXPECTED, planned)
    assert found is not None and int(found[1]) == int(found[3]) + 1 > test_recorded.COMPUTED_FIRST
    assert failure("recorded") == planned
    assert [found.group(1, 3) for found in [re.match(EXPECTED, failure("naive"))] if found] == [found.group(1, 3)]
    monkeypatch.setattr(FiniteGuard, "note", lambda guard, losses: guard._unread.extend(losses))
    assert failure("recorded") == failure("planned") == planned


def test_a_device_is_not_asked_before_the_loop_waits_for_it() -> None:
    """A tensor on the device meta has no values to read."""
    guard = FiniteGuard(ExperimentConfig())
    guard.note([torch.zeros(2, device="meta")])
    with pytest.raises(NotImplementedError, match="meta"):
        guard.read()


def test_batches_of_one_update_are_told_apart() -> None:
    guard = FiniteGuard(ExperimentConfig(precision="bf16"))
    guard.note([torch.tensor([0.5, 0.25])])
    message = r"loss of step 3 is inf; .*: 0\.75, of step 2; .*than 5e-05, or --precision fp32 in place of bf16$"
    with pytest.raises(RunError, match=message):
        guard.note([torch.tensor([0.75]), torch.tensor([torch.inf, torch.nan])])
    with pytest.raises(RunError, match=r"the training loss of step 0 is nan; .*: there was none before; "):
        FiniteGuard(ExperimentConfig()).note([torch.tensor([torch.nan])])


def test_an_evaluated_loss_that_is_not_finite_ends_the_run() -> None:
    guard, fine = FiniteGuard(ExperimentConfig()), StepLosses(1, 50, 0.5, 0.5)
    assert guard.checked(fine) is fine
    with pytest.raises(RunError, match="the validation loss evaluated after step 50 is inf; "):
        guard.checked(StepLosses(1, 50, 0.5, torch.inf))


@pytest.mark.parametrize("split", ["train", "test"])  # evaluated while training, and at the end alone
def test_logits_that_are_not_finite_end_the_run(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = PlannedExecution.logits

    def logits(execution: PlannedExecution, asked: str, batches: list[Tensor]) -> list[Tensor]:
        found = computed(execution, asked, batches)
        if asked == split and len(batches) > 1:
            found[-1][0, 1] = torch.nan
        return found

    monkeypatch.setattr(PlannedExecution, "logits", logits)
    monkeypatch.setattr(SPAM, "loss", lambda logits, labels, config: logits.nan_to_num().square().mean())
    config = row_config(1, demo=True, max_steps=2, context_length=8)
    with pytest.raises(RunError, match=f"not all logits of the {split} split are finite after step 1; .* of step 1; "):
        run_experiment(SPAM, config)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_is_not_waited_for() -> None:
    """Needs a CUDA device: ``python -m pytest -m gpu``."""
    guard, losses = FiniteGuard(ExperimentConfig()), torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        guard.note([losses])
        with pytest.raises(RuntimeError, match="synchronizing"):
            guard.read()
    finally:
        torch.cuda.set_sync_debug_mode("default")
