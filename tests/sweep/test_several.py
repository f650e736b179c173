"""Several values of a setting: what is planned, what is refused, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from ablation.config.experiment import ConfigError
from ablation.config.flags import EXPERIMENTS
from ablation.config.rows import row_config
from ablation.sweep import plan, progress, several
from ablation.sweep.plan import Outcome, PlannedRun, Status
from ablation.sweep.state import Results
from ablation.tasks.spam import SPAM
from tests.sweep.conftest import started
from tests.sweep.test_flags import options_of

RATES = "--learning_rate 1e-4,1e-3"


def planned(line: str) -> tuple[list[PlannedRun], list[str]]:
    options = options_of(line)
    return plan.plan_runs(EXPERIMENTS, options.rows, options.seeds, options.flags)


@pytest.mark.parametrize("dashes", ["", "-- "])
def test_a_comma_between_values_means_a_run_with_each(dashes: str) -> None:
    runs, remarks = planned(f"--rows 20 --seeds 1-2 {dashes}{RATES} --lora_targets query+value,query+key --offline")
    assert remarks == []
    assert [run.name for run in runs[:3]] == [
        "row 20, learning_rate 1e-4, lora_targets query+value, seed 1",
        "row 20, learning_rate 1e-4, lora_targets query+value, seed 2",
        "row 20, learning_rate 1e-4, lora_targets query+key, seed 1",
    ]
    assert {(run.config.learning_rate, run.config.lora_targets, run.seed) for run in runs} == {
        (rate, targets, seed) for rate in (1e-4, 1e-3) for targets in ("query+value", "query+key") for seed in (1, 2)
    }
    assert len({run.hash for run in runs}) == 8
    for run in runs:  # what a process of its own is given means the same
        assert EXPERIMENTS.read(run.arguments)[0] == run.config
        assert run.config.offline and not any("," in flag for flag in run.arguments)


def test_equal_configurations_are_planned_once() -> None:
    runs, remarks = planned("--rows 1,11 --seeds 1-2 --lora_rank 8,16 --learning_rate 2e-4,0.0002")
    assert [(run.row, dict(run.values)["lora_rank"], run.seed) for run in runs] == [
        *((1, "8", seed) for seed in (1, 2)),
        *((11, rank, seed) for rank in ("8", "16") for seed in (1, 2)),
    ]
    assert any("row 1, lora_rank 16, learning_rate 2e-4, seeds 1-2 are the same as row 1, lora_rank 8," in line
               for line in remarks)


def test_what_is_refused_is_named_with_flag_and_value_all_together() -> None:
    with pytest.raises(ConfigError) as error:
        planned("--rows 24,26,30,31 --seeds 1-2 --learning_rate 1e-3,fast,0 --bottleneck 8,16")
    assert sorted(problem.partition(": --method")[0].partition(": give")[0] for problem in error.value.problems) == [
        *(f"row {row}: --bottleneck {size}" for row in (30, 31) for size in (16, 8)),
        "rows 24,26,30-31: --learning_rate 0",
        "rows 24,26,30-31: --learning_rate fast",
    ]


def test_text_and_what_is_no_part_of_the_experiment_take_one_value(tmp_path: Path) -> None:
    taking = several.takes_several(EXPERIMENTS)
    assert {"learning_rate", "lora_rank", "bottleneck", "prefix_length", "prompt_length", "method"} <= set(taking)
    assert not {"seed", "labels", "data_file", "results_dir", "threads", "demo", "text_column"} & set(taking)
    (tmp_path / "a,b").mkdir()
    (run,), _ = planned(f"--rows 1 --data_dir {tmp_path}/a,b")
    assert run.config.data_dir == f"{tmp_path}/a,b" and run.values == ()


def test_the_summary_has_a_line_for_each_value_in_80_columns() -> None:
    runs, _ = planned("--rows 24 --seeds 1-2 --learning_rate 1e-4,1e-3 --bottleneck 64,256")
    ended = [Outcome(run, Status.FINISHED, seconds=9, headline=0.9 + run.seed / 100) for run in runs]
    *notes, _, _, first, _, _, last = progress.summary(runs, ended, SPAM.headline).splitlines()
    assert notes == ["test accuracy: mean ± standard deviation over seeds", "values: learning_rate, bottleneck"]
    assert len(first) == len(last) <= 80
    assert (first.split()[:5], last.split()[:5]) == (["24", "1e-4", "64", "2", "2"], ["24", "1e-3", "256", "2", "2"])


def test_where_rates_are_tried_the_sweep_shows_what_may_choose(tmp_path: Path) -> None:
    tried, single = planned(f"--rows 20 {RATES}")[0], planned("--rows 20 --lora_rank 4,8 --learning_rate 1e-4")[0]
    assert Results.of(SPAM, tried).metric.name == "validation_acc"
    assert Results.of(SPAM, single).metric.name == "test_acc"


def test_values_are_resumed_sharded_and_told(
    tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--rows", "20", "--seeds", "1", *RATES.split(), "--results_dir", str(tmp_path / "x")]
    command += ["--data_dir", "nowhere", "--models_dir", "nowhere", "--force"]
    assert sweep.main([*command, "--shard", "1/2"]) == 0
    assert sweep.main([*command]) == 0
    out = capsys.readouterr().out
    assert "2 planned, 1 done, 1 to run" in out
    assert "row 20, learning_rate 1e-3, seed 1: finished, validation accuracy 90.00%" in out
    assert len(started(stand_in)) == 2
    assert "test accuracy" not in out


def test_rows_are_listed_without_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["--list_rows"]) == 0
    out = capsys.readouterr().out
    assert " 33 " in out and out.endswith("all (1-19), methods (20-33), padding (34-39)\n")
    with pytest.raises(SystemExit):
        sweep.main(["--seeds", "1"])
    assert "required: --rows" in capsys.readouterr().err


def test_runs_with_values_are_named_in_few_words() -> None:
    runs = planned("--rows 20,30 --seeds 1-3 --learning_rate 1e-4,1e-3")[0]
    assert plan.write_runs(runs) == (
        "rows 20,30, learning_rate 1e-4, seeds 1-3; rows 20,30, learning_rate 1e-3, seeds 1-3"
    )
    assert runs[0].config == row_config(20, seed=1, learning_rate=1e-4)
    line = f"{runs[0].short_name}: step 120 of 650, loss 0.512, about 12 min left"
    assert line.startswith("row 20, 1e-4, seed 1: ") and len(line) < 80
