"""Run and results know a task by its interface alone: a second one goes through them, and nothing there names it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ablation.config.experiment import ConfigError, ExperimentConfig, config_hash
from ablation.config.rows import find_row
from ablation.config.shapes import NANO
from ablation.results.log import RUN_JSON, RUNS_FOLDER, ResultsError
from ablation.results.read import read_results
from ablation.results.runs import rebuild
from ablation.run.dry_run import describe
from ablation.run.experiment import run_experiment
from ablation.run.kinds import save_result
from ablation.run.summary import Summary
from ablation.sweep.plan import plan_runs
from ablation.tasks import __main__ as tasks_command
from ablation.tasks.registry import TASKS
from ablation.tasks.spam import SPAM
from tests.support.toy_task import COMMAND_LINE, SIZES, TOY, ToyConfig


def toy_config(results_dir: Path, **overrides: Any) -> ToyConfig:
    small = {"model_size": NANO, "weights": "random", "n_layers": 2, "emb_dim": 16, "n_heads": 2}
    return ToyConfig(**{**small, "max_steps": 3, "device": "cpu", "results_dir": str(results_dir), **overrides})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_task_of_its_own_goes_through_run_and_results(tmp_path: Path) -> None:
    """Two evaluations of one run: two rows of one run id in the task's own file, in its own columns."""
    config = toy_config(tmp_path)
    result = run_experiment(TOY, config)
    assert {split: len(labels) for split, labels in result.answers.labels.items()} == {"validation": 8, "test": 12}
    appended = save_result(TOY, result)
    assert [path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix == ".csv"] == [TOY.csv_name]

    first, second = rows(tmp_path / TOY.csv_name)
    assert tuple(first) == TOY.columns
    assert first["run_id"] == second["run_id"] == appended[0]["run_id"]
    for row, split in ((first, "validation"), (second, "test")):
        count = result.answers.counts[split]
        assert (row["judged_on"], row["judged_correct"]) == (split, str(count.correct))
        assert row["judged_total"] == str(SIZES[split])
        assert float(row["errors"]) == pytest.approx(1 - count.accuracy)

    run = json.loads((tmp_path / RUNS_FOLDER / first["run_id"] / RUN_JSON).read_text())
    assert run["task"] == "toy" and run["history"]["steps"] == 3
    assert [evaluation["judged_on"] for evaluation in run["evaluations"]] == ["validation", "test"]
    answered = TOY.read_predictions(tmp_path / RUNS_FOLDER / first["run_id"], "test")
    assert int(answered.correct.sum()) == result.answers.counts["test"].correct


def test_its_loss_is_the_one_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config(tmp_path)
    smoothed = run_experiment(TOY, config).history.evaluations
    monkeypatch.setattr(TOY, "loss", SPAM.loss)
    assert smoothed != run_experiment(TOY, config).history.evaluations


def test_its_results_are_rebuilt_beside_those_of_other_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run.json without a task is of the first task, as all were once."""
    save_result(TOY, run_experiment(TOY, toy_config(tmp_path)))
    (spam,) = save_result(SPAM, run_experiment(SPAM, toy_config(tmp_path, demo=True, context_length=8)))
    file = tmp_path / RUNS_FOLDER / spam["run_id"] / RUN_JSON
    run = json.loads(file.read_text())
    assert run.pop("task") == "spam" and run["row"] == spam["row"] and "evaluations" not in run
    file.write_text(json.dumps(run))
    before = {name: (tmp_path / name).read_bytes() for name in (TOY.csv_name, SPAM.csv_name)}
    for name in before:
        (tmp_path / name).unlink()

    with pytest.raises(ResultsError, match="task 'toy' is none of spam"):
        rebuild(tmp_path, TASKS)
    monkeypatch.setattr("ablation.tasks.registry.TASKS", {**TASKS, "toy": TOY})
    assert tasks_command.main(["--rebuild", str(tmp_path)]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    said = capsys.readouterr().out
    assert f"{tmp_path / TOY.csv_name}: 2 rows\n" in said and f"{tmp_path / SPAM.csv_name}: 1 row\n" in said


def test_a_person_sees_its_metrics(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    result = run_experiment(TOY, config)
    found = save_result(TOY, result)
    text = Summary.of(TOY, config, found, result.answers.majority).describe()
    assert f"\n2 rows appended to {tmp_path / TOY.csv_name}\n" in text
    assert text.count("standing: the only configuration") == 2  # among those judged on the same
    for row in found:
        assert f"judged_on={row['judged_on']}" in text
        assert re.search(rf"^  errors per sentence +{row['errors']:.4f}$", text, re.MULTILINE)
    assert "test accuracy" not in text and "published" not in text
    assert "differs from row 1" in describe(TOY, config)


def test_a_task_has_flags_rows_and_hashes_of_its_own(tmp_path: Path) -> None:
    config, _, _ = COMMAND_LINE.read(["--row", "2", "--seed", "5"])
    assert isinstance(config, ToyConfig) and (config.smoothing, config.seed) == (0.3, 5)
    assert find_row(TOY.rows, config) == 2 and find_row(TOY.rows, ToyConfig(smoothing=0.2)) is None
    assert config_hash(ToyConfig()) != config_hash(ExperimentConfig())  # the same settings, another experiment
    with pytest.raises(ConfigError, match="--smoothing -1: give a number that is not negative"):
        COMMAND_LINE.read(["--smoothing", "-1"])
    runs, _ = plan_runs(COMMAND_LINE, [1, 2], [5, 6], ["--demo"])
    assert [(run.row, vars(run.config)["smoothing"]) for run in runs] == [(1, 0.1), (1, 0.1), (2, 0.3), (2, 0.3)]
    saved = save_result(TOY, run_experiment(TOY, toy_config(tmp_path, smoothing=0.3)))
    assert [row["smoothing"] for row in saved] == [0.3, 0.3]
    (found, _), problems = read_results(tmp_path, TOY)
    assert not problems and found.settings["smoothing"] == 0.3
