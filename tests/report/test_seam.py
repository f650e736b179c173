"""The report knows a task by its interface alone: a second one goes through it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.config.shapes import NANO
from ablation.results.run_folder import save_result
from ablation.run.experiment import run_experiment
from report import make_report
from tests.support.toy_task import ToyConfig, ToyTask


class ReportedTask(ToyTask):
    """One that a person can ask for by its row."""

    rows: Mapping[int, Mapping[str, Any]] = {1: {"weights": "random", "n_layers": 2, "emb_dim": 16, "n_heads": 2}}


def test_a_task_of_its_own_is_reported_in_its_own_words(tmp_path: Path) -> None:
    """Two evaluations of each run, a headline that is no share and of which less is better, no question, no twin."""
    task = ReportedTask()
    for seed in (1, 2):
        config = ToyConfig(
            **task.rows[1], model_size=NANO, max_steps=3, seed=seed, device="cpu", results_dir=str(tmp_path)
        )
        save_result(task, run_experiment(task, config))
    lines = make_report(task, tmp_path, tmp_path, None)
    assert lines[-1].startswith("4 runs, 2 configurations")
    table = pd.read_csv(tmp_path / "report" / "table.csv")
    assert [name.rpartition("--judged_on ")[2] for name in table["configuration"]] == ["test", "validation"]
    assert table["runs"].tolist() == [2, 2]
    assert table["errors_mean"].between(0, 1).all()
    assert table["share_right_mean"].tolist() == (100 - 100 * table["errors_mean"]).round(3).tolist()
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<title>Even numbers: results</title>" in page
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| Errors |" in text and "numbers are not alike. Without them: no accuracy on new sentences" in text
    for foreign in ("spam", "message", "test_acc", "Differences"):
        assert foreign not in text and foreign not in page.partition("<figure")[0], foreign
