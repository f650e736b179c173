"""A run leaves the process as it found it; two runs in one process give what two processes give."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import NANO
from ablation.environment import PROJECT
from ablation.process_state import process_state_kept
from ablation.run.dry_run import describe
from ablation.run.memory import estimate_memory
from ablation.tasks.spam import SPAM
from tests.support.tiny import CPU

DEMO = {"demo": True, "max_steps": 4, "eval_freq": 1, "context_length": 24, "device": "cpu"}
OTHER = {
    "demo": True, "weights": "random", "n_layers": 2, "emb_dim": 32, "n_heads": 4, "trainable_layers": "lora",
    "seed": 7, "threads": 2, "max_steps": 4, "eval_freq": 1, "context_length": 24, "device": "cpu",
}  # fmt: skip
# Runs the configurations of its argument one after the other; prints the losses of each, and a line per state.
RUNS = """
import json, sys
from ablation.config.experiment import ExperimentConfig
from ablation.run.experiment import run_experiment
from ablation.tasks.spam import SPAM
from tests.test_process_state import state
before = state()
losses = []
for settings in json.loads(sys.argv[1]):
    history = run_experiment(SPAM, ExperimentConfig(**settings)).history
    losses.append([(e.train_loss, e.validation_loss) for e in history.evaluations])
assert state() == before
print(json.dumps(losses))
"""


def state() -> dict[str, Any]:
    """What a run may have changed."""
    return {
        "threads": torch.get_num_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "precision": torch.get_float32_matmul_precision(),
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "environment": dict(os.environ),
    }


@pytest.fixture
def three_threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


def losses_in_one_process(*configurations: dict[str, Any]) -> list[list[list[float]]]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-c", RUNS, json.dumps(configurations)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_runs_in_one_process_give_what_two_processes_give() -> None:
    """To the last bit; and afterwards threads, switches, generators and environment are what they were."""
    together = losses_in_one_process(DEMO, OTHER)
    assert together == [*losses_in_one_process(DEMO), *losses_in_one_process(OTHER)]
    assert together[0] != together[1] and len(together[0]) == 4


@pytest.mark.parametrize(
    "question",
    [lambda config: estimate_memory(config, CPU), lambda config: describe(SPAM, config)],
    ids=["memory estimate", "dry run"],
)
@pytest.mark.parametrize("policy", ["last_block", "lora"])
def test_a_question_about_a_run_draws_nothing(question: Callable[[ExperimentConfig], Any], policy: str) -> None:
    torch.manual_seed(99)
    before = state()
    question(ExperimentConfig(model_size=NANO, trainable_layers=policy, device="cpu"))
    assert state() == before


def test_whatever_is_changed_within_is_put_back(three_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "as it was")
    before = state()
    with pytest.raises(RuntimeError, match="within"), process_state_kept():
        torch.set_num_threads(1)
        torch.backends.cuda.matmul.allow_tf32 = True
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(5)
        os.environ.update(KEPT="changed", ADDED="x")
        assert state() != before
        raise RuntimeError("from within")
    assert state() == before


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_the_precision_of_products_is_put_back(precision: str) -> None:
    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        for within in (True, False):
            before = state()
            with process_state_kept():
                torch.backends.cuda.matmul.allow_tf32 = within
            assert state() == before
    finally:
        torch.set_float32_matmul_precision(usual)
