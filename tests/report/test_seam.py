"""The report knows a task by its interface alone: a second one goes through it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.config.shapes import NANO
from ablation.report.contents import gather
from ablation.results.questions import Family, Question
from ablation.run.experiment import run_experiment
from ablation.run.kinds import save_result
from report import Request, make_report
from tests.support.toy_task import ToyConfig, ToyTask

TINY: dict[str, Any] = {
    "model_size": NANO, "weights": "random", "n_layers": 2, "emb_dim": 16, "n_heads": 2, "max_steps": 3,
}  # fmt: skip


class ReportedTask(ToyTask):
    """One that a person can ask for by its rows, and a question about one of a run's two evaluations."""

    rows: Mapping[int, Mapping[str, Any]] = {1: TINY, 2: {**TINY, "smoothing": 0.3}}
    questions = (
        Question("1", "2", "Does smoothing help?", Family("Questions", 0.02, evaluation={"judged_on": "test"})),
    )


def test_a_task_of_its_own_is_reported_in_its_own_words(tmp_path: Path) -> None:
    """Two evaluations of each run, a headline that is no share and of which less is better."""
    task = ReportedTask()
    for row, seed in itertools.product(task.rows, (1, 2)):
        config = ToyConfig(**task.rows[row], seed=seed, device="cpu", results_dir=str(tmp_path))
        save_result(task, run_experiment(task, config))
    best, baseline = gather(task, tmp_path, tmp_path).answer
    assert (
        best.startswith("The best configuration by errors per sentence is row ")
        and "has errors per sentence of 0." in best
    )
    assert baseline.startswith("No baseline was run beside it")
    lines = make_report(task, Request(tmp_path, tmp_path))
    assert lines[-1].startswith("8 runs, 4 configurations")
    table = pd.read_csv(tmp_path / "report" / "table.csv")
    names = [f"{row} with --judged_on {split}" for row in (1, 2) for split in ("test", "validation")]
    assert table["configuration"].tolist() == names
    assert table["row"].tolist() == [1, 1, 2, 2] and table["runs"].tolist() == [2, 2, 2, 2]
    assert table["errors_mean"].between(0, 1).all()
    assert table["share_right_mean"].tolist() == (100 - 100 * table["errors_mean"]).round(3).tolist()
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<title>Even numbers: results</title>" in page
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| Errors |" in text and "numbers are not alike. Without them: no accuracy on new sentences" in text
    assert "Does smoothing help?" in text and "no results of" not in text
    assert '<th scope="col">even</th><th scope="col">odd</th>' in page  # of the confusion matrix
    for foreign in ("spam", "message", "test_acc"):
        assert foreign not in text and foreign not in page, foreign
