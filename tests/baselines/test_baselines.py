"""The baselines on made-up messages and, where they are at hand, on the real ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import baselines
from ablation.baselines.registry import BASELINES
from ablation.baselines.words import STRENGTHS, logistic_regression, majority_class
from ablation.data.spam import read_messages, split_messages
from ablation.report.contents import gather
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, pd.DataFrame]:
    folder = made_up_messages(tmp_path / "data")
    return split_messages(read_messages(folder / "SMSSpamCollection.tsv", trust_new_hash=True))


@pytest.mark.parametrize("spam_share", [0.7, 0.3])
def test_majority_class_is_that_of_the_training_split(spam_share: float) -> None:
    frame = pd.DataFrame({"Label": [1] * int(10 * spam_share) + [0] * (10 - int(10 * spam_share)), "Text": ["x"] * 10})
    fitted = majority_class({"train": frame, "test": frame.assign(Label=1)}, {})
    assert set(fitted.scores["test"]) == {1.0 if spam_share > 0.5 else -1.0}


def test_strength_is_the_best_on_validation_alone(splits: dict[str, pd.DataFrame]) -> None:
    """Turning the validation labels round must change the choice; turning the test labels round must not."""
    settings = {"analyzer": "char", "ngrams": [2, 3], "strengths": [1e-3, 1.0, 1e3]}
    chosen = logistic_regression(splits, settings)
    for strength in settings["strengths"]:
        alone = logistic_regression(splits, {**settings, "strengths": [strength]})
        correct = [((f.scores["validation"] > 0) == splits["validation"]["Label"]).sum() for f in (chosen, alone)]
        assert correct[0] >= correct[1]
    turned = {name: frame.assign(Label=1 - frame["Label"]) for name, frame in splits.items()}
    assert logistic_regression({**splits, "test": turned["test"]}, settings).chosen == chosen.chosen
    on_wrong_labels = logistic_regression({**splits, "validation": turned["validation"]}, settings)
    assert on_wrong_labels.chosen["C"] < chosen.chosen["C"]


def test_features_know_only_the_training_split(splits: dict[str, pd.DataFrame]) -> None:
    settings = BASELINES["B2"].settings
    with_more = {**splits, "test": splits["test"].assign(Text=splits["test"]["Text"] + " unheardof")}
    fitted = [logistic_regression(s, settings) for s in (splits, with_more)]
    np.testing.assert_array_equal(fitted[0].scores["validation"], fitted[1].scores["validation"])
    assert fitted[0].parameters == fitted[1].parameters


def rows_of(results: Path) -> list[dict[str, str]]:
    with (results / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_command_appends_rows_and_folders_like_any_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, results = made_up_messages(tmp_path / "data"), tmp_path / "results"
    command = ["--data_dir", str(data), "--results_dir", str(results), "--offline", "--trust_new_hash"]
    assert baselines.main(command) == 0
    rows = rows_of(results)
    assert [row["row"] for row in rows] == ["B1", "B2", "B3"]
    assert tuple(rows[0]) == SPAM.columns
    for row in rows:
        assert len(row["config_hash"]) == len(row["data_digest"]) == 64
        assert row["model_size"] == row["seed"] == row["learning_rate"] == ""
        folder = results / "runs" / row["run_id"]
        predictions = pd.read_csv(folder / "predictions.csv")
        for split in ("validation", "test"):
            part = predictions[predictions["split"] == split]
            correct = ((part["logit_spam"] > part["logit_ham"]) == (part["label"] == 1)).sum()
            assert (int(row[f"{split}_correct"]), int(row[f"{split}_total"])) == (correct, len(part))
    assert json.loads((folder / "run.json").read_text())["baseline"]["chosen"]["C"] in STRENGTHS
    assert float(rows[2]["test_acc"]) > 0.9 > float(rows[0]["test_acc"])
    assert "B3 character" in capsys.readouterr().out


def test_a_second_time_skips_what_the_results_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    command = ["--demo", "--rows", "B1,B2", "--results_dir", str(results)]
    for _ in range(2):
        assert baselines.main(command) == 0
    first, second = capsys.readouterr().out.split("B1 majority class")[1:]
    assert "already in the results" not in first
    assert second.count("already in the results") == 2 and "--again" in second
    assert second.splitlines()[-1].endswith(f"report.py --results_dir {results}")
    assert [row["row"] for row in rows_of(results)] == ["B1", "B2"]
    assert baselines.main(["--demo", "--rows", "B1", "--again", "--results_dir", str(results)]) == 0
    assert [row["row"] for row in rows_of(results)] == ["B1", "B2", "B1"]


def test_on_other_messages_a_baseline_is_fitted_anew(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for count in (60, 80, 60):
        data = made_up_messages(tmp_path / f"data-{count}", count)
        command = ["--rows", "B1", "--data_dir", str(data), "--results_dir", str(results), "--offline"]
        assert baselines.main([*command, "--trust_new_hash"]) == 0
    assert len(rows_of(results)) == 2


def test_demo_baselines_stand_in_the_demo_report_and_say_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert baselines.main(["--demo", "--rows", "B1,B2", "--offline"]) == 0
    assert "not GPT-2 and not the SMS Spam Collection" in capsys.readouterr().out
    results = tmp_path / "results" / "demo"
    assert not (tmp_path / "results" / "results.csv").exists()
    row = rows_of(results)[1]
    for name in ("run.json", "predictions.csv"):
        assert "SMS Spam Collection" in (results / "runs" / row["run_id"] / name).read_text()
    gathered = gather(SPAM, results, tmp_path)
    assert gathered.disclaimer
    words = gathered.rows[1]
    assert (words.name, words.description) == ("B2", BASELINES["B2"].description)
    assert 0.85 <= words.figures["test_acc"].mean <= 0.93
    assert ("no results: baselines B3", "python baselines.py --demo --rows B3") in gathered.missing


@pytest.mark.parametrize("rows", ["B99", "", "B1,,B2", "1"])
def test_unknown_rows_are_refused(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert baselines.main(["--rows", rows]) == 2
    assert f"--rows {rows}: no baseline" in capsys.readouterr().err


def test_the_task_names_the_baselines_there_are() -> None:
    assert {name: baseline.description for name, baseline in BASELINES.items()} == SPAM.baselines


def test_rows_are_taken_in_any_case_and_once() -> None:
    assert baselines.parse_rows("b3,B1,B3") == ["B3", "B1"]


def test_missing_data_is_a_failure_of_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert baselines.main(["--offline", "--data_dir", str(tmp_path), "--results_dir", str(tmp_path / "r")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "gpt_download.py" in error
    assert not (tmp_path / "r").exists()


def test_real_messages_reach_what_the_readme_says(real_data_dir: Path) -> None:
    """Characters reach about 97 % in seconds; a majority class is worth nothing on balanced classes."""
    splits = split_messages(read_messages(real_data_dir / "SMSSpamCollection.tsv"))
    labels = splits["test"]["Label"]
    accuracy = {
        name: ((fit(splits, BASELINES[name].settings).scores["test"] > 0) == labels).mean()
        for name, fit in {"B1": majority_class, "B2": logistic_regression, "B3": logistic_regression}.items()
    }
    assert accuracy["B1"] == pytest.approx(0.47)
    assert 0.94 <= accuracy["B2"] <= 0.97
    assert 0.96 <= accuracy["B3"] <= 0.98
