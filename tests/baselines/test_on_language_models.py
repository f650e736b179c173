"""Baselines on a language model that was trained here. (In a module of their own: the run is made once for all tests,
and not on the few messages of others.)"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import baselines


def test_a_baseline_says_how_its_language_model_was_trained(tmp_path: Path, language_model_results: Path) -> None:
    """Of two bases with the same flags a report can say which is which."""
    (folder,) = language_model_results.glob("runs/*")
    command = ["--demo", "--rows", "B4,B5,B6", "--weights", "language_model", "--weights_path", str(folder)]
    assert baselines.main([*command, "--results_dir", str(tmp_path)]) == 0
    with (tmp_path / "results.csv").open(newline="") as file:
        bases = [json.loads(row["base"]) for row in csv.DictReader(file)]
    assert len(bases) == 3 and bases[0] == bases[1] == bases[2] and bases[0]["n_train"] == 8
