"""What a person sees of a finished run: its figures first, what they are compared with, where they stand, what next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ablation.config.experiment import ExperimentConfig, identity
from ablation.config.rows import row_config
from ablation.data.demo import DISCLAIMER
from ablation.listener import Count
from ablation.results.run_folder import RunRecord, config_fields, evaluation_fields, write_run
from ablation.run.next_steps import next_steps, show_steps
from ablation.run.summary import Summary
from ablation.tasks.spam import SPAM

MAJORITY = {"train": Count(528, 1040), "validation": Count(76, 149), "test": Count(141, 300)}


def keep(config: ExperimentConfig, test: int, validation: int = 100, **changes: Any) -> list[dict[str, Any]]:
    """Keep a run, or with a row of its own a baseline, of so many right answers."""
    at = datetime(2026, 1, 2, microsecond=config.seed, tzinfo=UTC)
    counts = {"train": Count(1000, 1040), "validation": Count(validation, 149), "test": Count(test, 300)}
    row = {**dict.fromkeys(SPAM.columns), **config_fields(SPAM, config, at)}
    row |= {**evaluation_fields(SPAM.evaluate(counts)[0]), "training_minutes": 0.5, "data_digest": "d" * 64, **changes}
    row = {name: row[name] for name in SPAM.columns}
    return write_run(Path(config.results_dir), SPAM, RunRecord([row], {}, {}))


def keep_baseline(name: str, results: Path, validation: int, **changes: Any) -> None:
    config = ExperimentConfig(results_dir=str(results))
    keep(config, 200, validation, row=name, run_id=name, config_hash=f"{validation:064}", **changes)


def describe(config: ExperimentConfig, rows: list[dict[str, Any]]) -> str:
    return Summary.of(SPAM, config, rows, MAJORITY).describe()


def cells(text: str) -> Mapping[str, list[str]]:
    """The table by its titles: the run's own figure, its count, and the figure beside."""
    lines = [re.split(" {2,}", line.strip()) for line in text.splitlines() if line.startswith("  ")]
    return {line[0]: line[1:] for line in lines}


def test_the_result_comes_first_and_the_published_row_beside_it(tmp_path: Path) -> None:
    config = row_config(1, results_dir=str(tmp_path))
    rows = keep(config, 279)
    text = describe(config, rows)
    assert text.startswith("result: row 1, seed 123\n")
    assert cells(text) == {
        "this run": ["published"],
        "training accuracy": ["96.15 %", "1,000 of 1,040", "96.63 %"],
        "validation accuracy": ["67.11 %", "100 of 149", "99.33 %"],
        "test accuracy": ["93.00 %", "279 of 300", "95.00 %"],
        "training time": ["30 s", "0.28 min (A100)"],
    }
    *_, appended, record = text.splitlines()
    assert appended == f"row appended to {tmp_path / 'results.csv'}"
    assert record == f"full record: {tmp_path / 'runs' / rows[0]['run_id'] / 'run.json'}"
    assert Path(record.removeprefix("full record: ")).is_file()
    assert "=" not in text and DISCLAIMER not in text


def test_beside_a_row_that_is_published_elsewhere_stand_its_figures_without_a_time(tmp_path: Path) -> None:
    config = row_config(33, results_dir=str(tmp_path))
    text = describe(config, keep(config, 279))
    assert text.startswith("result: row 33, seed 123\n")
    found = cells(text)
    assert [found[name][-1] for name in ("this run", "validation accuracy", "test accuracy", "training time")] == [
        "published", "96.64 %", "98.00 %", "30 s",
    ]  # fmt: skip
    assert "\npublished: another edition's own run; its row 1 is 91.44 / 93.29 / 90.33\n" in text


@pytest.mark.parametrize("overrides", [{"demo": True}, {"max_steps": 9}], ids=str)
def test_beside_what_was_not_published_stands_the_best_baseline_on_validation(
    overrides: dict[str, Any], tmp_path: Path
) -> None:
    keep_baseline("B2", tmp_path, validation=120)
    keep_baseline("B3", tmp_path, validation=119, data_digest="e" * 64)  # of other messages
    keep_baseline("B1", tmp_path, validation=70)
    config = row_config(1, results_dir=str(tmp_path), **overrides)
    text = describe(config, keep(config, 279))
    found = cells(text)
    assert (found["this run"], found["validation accuracy"][2], found["test accuracy"][2]) == (
        ["B2"], "80.54 %", "66.67 %",
    )  # fmt: skip
    assert "B2: word TF-IDF + logistic regression; of the cheap baselines in these results the best on val" in text
    assert "published" not in text.replace(DISCLAIMER, "")
    assert (DISCLAIMER in text) == ("demo" in overrides)
    assert text.startswith("result: demo, row 1, " if "demo" in overrides else "result: variant --max_steps 9, ")


def test_without_baselines_it_is_the_majority_class(tmp_path: Path) -> None:
    config = row_config(1, results_dir=str(tmp_path), demo=True)
    text = describe(config, keep(config, 279))
    found = cells(text)
    assert [found[name][-1] for name in ("this run", "test accuracy", "training accuracy", "training time")] == [
        "majority", "47.00 %", "50.77 %", "30 s",
    ]  # fmt: skip
    assert "\nmajority: the label that most training examples have" in text


def test_where_it_stands_among_the_configurations(tmp_path: Path) -> None:
    def standing(row: int, test: int, **overrides: Any) -> str:
        config = row_config(row, results_dir=str(tmp_path), demo=True, **overrides)
        (line,) = [line for line in describe(config, keep(config, test)).splitlines() if line.startswith("standing")]
        return line.removeprefix("standing: ")

    assert standing(1, 279) == "the only configuration in these results so far"
    keep_baseline("B1", tmp_path, validation=140)  # no configuration to stand among
    assert standing(5, 270) == (
        "place 2 of 2 configurations in these results by test accuracy; first is row 1 with 93.00 %"
    )
    assert standing(5, 294, seed=124) == (
        "place 1 of 2 configurations in these results by test accuracy, the mean over seeds"
    )
    assert standing(5, 240, seed=125, learning_rate=0.5).endswith(
        "place 3 of 3 configurations in these results by test accuracy, the mean over seeds;"
        " first is row 5 with 94.00 %"
    )


def test_it_says_what_was_trained_and_what_that_takes(tmp_path: Path) -> None:
    config = row_config(24, results_dir=str(tmp_path))
    costs = {
        "total_parameters": 124_441_346, "trainable_parameters": 2_380_802, "added_parameters": 2_379_264,
        "optimizer_bytes": 19_046_416, "added_multiply_adds": 2_359_296, "unmerged_multiply_adds": 2_359_296,
        "added_positions": 0, "merges": False,
    }  # fmt: skip
    lines = describe(config, keep(config, 279, **costs)).splitlines()
    assert [line for line in lines if line.startswith(("parameters", "optimizer", "inference"))] == [
        "parameters: 124,441,346 and 2,379,264 added; 2,380,802 train (1.91%)",
        "optimizer: 19.0 MB for two moments of each parameter that trains",
        "inference: 2,359,296 multiply-adds a token more; it does not merge",
    ]
    assert "parameters" not in describe(config, keep(config, 279))  # of an older version


# ---- what next -------------------------------------------------------------------------------------------------------


def steps(results: str, **overrides: Any) -> dict[str, str]:
    config = row_config(5, results_dir=results, **overrides)
    row = {"run_id": "5-1", "row": 5, "demo": config.demo, "data_digest": "d" * 64}
    found = next_steps(Summary(SPAM, config, [row], MAJORITY, []))
    assert len(found) <= 3
    return {step.what: step.command.partition("python ")[2] for step in found}


def test_what_to_do_next_carries_the_folder_and_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    assert steps("results") == {"all results": "report.py", "what to beat": "baselines.py"}
    assert steps("my runs", save_model=True, data_dir="d") == {
        "all results": "report.py --results_dir 'my runs' --data_dir d",
        "ask the model": "classify.py --model 'my runs/runs/5-1' \"a message\"",
        "what to beat": "baselines.py --data_dir d --results_dir 'my runs'",
    }
    assert steps("results", demo=True, models_dir="nowhere", data_dir="d") == {
        "all results": "report.py --demo",
        "with GPT-2 (550 MB)": "additional_experiments.py --row 5 --models_dir nowhere --data_dir d",
        "what to beat": "baselines.py --demo",
    }


@pytest.mark.parametrize("overrides", [{}, {"prefix_length": 5, "learning_rate": 0.1}], ids=str)
def test_what_to_do_next_carries_the_method(overrides: dict[str, Any]) -> None:
    config = row_config(28, demo=True, **overrides)
    row = {"run_id": "28-1", "row": None, "demo": True, "data_digest": "d" * 64}
    (command,) = [
        step.command for step in next_steps(Summary(SPAM, config, [row], MAJORITY, [])) if "with GPT-2" in step.what
    ]
    assert ("--row 28" in command) == (not overrides)
    again, *_ = SPAM.command_line.read(shlex.split(command)[2:])
    assert identity(again) == identity(replace(config, demo=False))


def test_a_command_too_long_for_its_line_has_one_of_its_own() -> None:
    row = {"run_id": "5-1", "row": 5, "demo": False, "data_digest": "d" * 64}
    summary = Summary(SPAM, row_config(5, results_dir="x" * 60, save_model=True), [row], MAJORITY, [])
    found = next_steps(summary)
    commands = [f"  {step.command}" for step in found]
    assert show_steps(found, None).splitlines() == [
        "next:", *(f"  {step.what:13}  {step.command}" for step in found),
    ]  # fmt: skip
    assert show_steps(found, 80).splitlines() == [
        "next:", "  all results", commands[0], "  ask the model", commands[1], "  what to beat", commands[2],
    ]  # fmt: skip
