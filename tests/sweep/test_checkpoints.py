"""A sweep whose run was killed goes on from the checkpoint that the run left; with Ray on another node, too."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import sweep
from ablation.config.rows import row_config
from ablation.run.experiment import run_experiment
from ablation.tasks.spam import SPAM
from tests.sweep.test_sweep_ray import PATIENCE, cluster, needs_ray, raylet_of, tasks_of, wait_for

__all__ = ["cluster"]  # a fixture

pytestmark = pytest.mark.slow
SETTINGS = {"max_steps": 60, "eval_freq": 50, "threads": 1}


def start_sweep(folder: Path, *own: str) -> subprocess.Popen[bytes]:
    """Row 5 of the miniature, a checkpoint every few steps kept in a folder of its own."""
    flags = ["--demo", *(f"--{name}={value}" for name, value in SETTINGS.items())]
    flags += ["--results_dir", str(folder / "results"), "--models_dir", str(folder / "models")]
    flags += ["--checkpoint_every", "0.001", "--checkpoint_dir", str(folder / "kept")]
    program = [sys.executable, str(Path(sweep.__file__)), "--rows", "5", "--seeds", "123", *own, "--", *flags]
    with (folder / "sweep.log").open("ab") as log:
        return subprocess.Popen(program, stdout=log, stderr=log)


def has_kept(folder: Path) -> bool:
    return any((folder / "kept").rglob("*.snapshot"))


def only_row(folder: Path) -> dict[str, str]:
    with (folder / "results" / SPAM.csv_name).open(newline="") as file:
        (row,) = csv.DictReader(file)
    return row


def assert_gone_on_with(folder: Path) -> None:
    """One row, gone on with, with the answers of a run that nobody killed; and nothing is left in the folder."""
    whole = run_experiment(SPAM, row_config(5, demo=True, checkpoint_every=0.0, **SETTINGS))
    row = only_row(folder)
    assert int(row["resumed"]) >= 1, (folder / "sweep.log").read_text()
    for split, count in whole.answers.counts.items():
        assert int(row[f"{split}_correct"]) == count.correct
    assert not has_kept(folder)


@pytest.mark.parametrize(("whole", "then"), [(True, []), (False, ["--retry_failed"])], ids=["sweep", "run"])
def test_a_sweep_goes_on_from_the_checkpoint_of_a_killed(whole: bool, then: list[str], tmp_path: Path) -> None:
    """Both are killed, as when the power fails; or the run alone, as by a system that is out of memory."""
    first = start_sweep(tmp_path)
    wait_for(lambda: has_kept(tmp_path))
    (run,) = psutil.Process(first.pid).children()
    if whole:
        first.kill()
    run.kill()
    assert first.wait(PATIENCE) != 0 and has_kept(tmp_path)
    assert start_sweep(tmp_path, *then).wait(PATIENCE) == 0, (tmp_path / "sweep.log").read_text()
    assert_gone_on_with(tmp_path)


@needs_ray
def test_a_run_whose_worker_was_killed_goes_on_from_the_folder_that_all_nodes_see(tmp_path: Path, cluster: Any) -> None:
    whole, node = cluster
    engine = ["--engine", "ray", "--ray_address", whole.address, "--num_cpus", "1"]
    driver = start_sweep(tmp_path, *engine)
    wait_for(lambda: has_kept(tmp_path))
    for raylet in (raylet_of(node), raylet_of(whole.head_node)):
        for task in tasks_of(raylet):
            task.kill()
    assert driver.wait(PATIENCE) == 0, (tmp_path / "sweep.log").read_text()
    assert_gone_on_with(tmp_path)
