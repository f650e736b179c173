"""The table of measured baselines, of results made up."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ablation.report import shipped_baselines
from ablation.tasks.spam import SPAM


def test_runs_of_one_baseline_with_the_same_settings_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        ("1", "", "", "0.9", "", ""), ("B1", "", "", "0.5", "", ""), ("B3", "", "", "0.97", "", ""),
        ("B3", "", "10", "0.6", "", ""), ("B7", '{"hf_model": "x"}', "", "0.96", "0.98", "0.97"),
        ("B7", '{"hf_model": "x"}', "", "0.98", "0.99", "0.99"), ("B7", '{"hf_model": "x"}', "50", "0.7", "", ""),
        ("B6", '{"calibrate": true, "shots": 4}', "", "0.55", "0.75", "0.7"),
    ]  # fmt: skip
    path = tmp_path / "results.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["row", "baseline_settings", "n_train", "test_acc", "validation_auc", "test_auc", "validation_acc"]
        )
        writer.writerows((*line, line[3]) for line in lines)
    monkeypatch.setattr(shipped_baselines, "SHIPPED", path)
    assert shipped_baselines.shipped_baselines_table().splitlines()[2:] == [
        "| `--rows B3` | 1 | 97.00 | 97.00 | –, – |",
        "| `--rows B6 --calibrate --shots 4` | 1 | 55.00 | 55.00 | 0.750, 0.700 |",
        "| `--rows B7 --hf_model x` | 2 | 97.00 ± 1.41 | 97.00 ± 1.41 | 0.985 ± 0.007, 0.980 ± 0.014 |",
    ]
    assert {"baseline_settings", "n_train", *shipped_baselines.AREAS} <= set(SPAM.columns)
