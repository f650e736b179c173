"""What people type: rows and seeds in every way, and the runner's flags on the sweep itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from ablation.config.experiment import ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.config.rows import row_config
from ablation.config.settings import fields_of
from ablation.sweep import lists, machine, plan
from ablation.sweep.plan import SweepOptions
from ablation.tasks.spam import SPAM


def options_of(line: str) -> SweepOptions:
    own, _, flags = line.partition(" -- ")
    return sweep.read_options(SPAM, sweep.make_parser().parse_args(own.split()), flags.split())


@pytest.mark.parametrize(
    ("line", "rows", "seeds"),
    [
        ("--rows all", list(range(1, 20)), [123]),
        ("--rows 1 2 3 --seeds 1,2", [1, 2, 3], [1, 2]),
        ("--rows 1,3,16-19 --seeds 1 2", [1, 3, 16, 17, 18, 19], [1, 2]),
        ("--rows 1-2 5 --seeds 7-9 3", [1, 2, 5], [7, 8, 9, 3]),
        ("--rows methods", list(range(20, 34)), [123]),
        ("--rows 21 methods,1", [21, 20, *range(22, 34), 1], [123]),
    ],
)
def test_rows_and_seeds_as_people_write_them(line: str, rows: list[int], seeds: list[int]) -> None:
    options = options_of(line)
    assert (options.rows, options.seeds) == (rows, seeds)


@pytest.mark.parametrize("flags", ["--learning_rate 0.001 --offline", "-- --learning_rate 0.001 --offline"])
def test_the_runners_flags_stand_on_the_sweep_or_behind_dashes(flags: str) -> None:
    options = options_of(f"--rows 1 --ignore_index -7 {flags}")
    (run,), _ = plan.plan_runs(EXPERIMENTS, options.rows, options.seeds, options.flags)
    assert run.config == row_config(1, learning_rate=0.001, offline=True, ignore_index=-7)


def test_every_setting_of_a_run_can_be_given_to_the_sweep() -> None:
    known = {name for action in sweep.make_parser()._actions for name in action.option_strings}
    assert {f"--{name}" for name in fields_of(ExperimentConfig)} | {"--force"} <= known


def test_the_command_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = "--rows 1 --results_dir x --learning_rate 0.001 --jobs auto --dry_run"
    assert sweep.main(line.split()) == 0
    assert "1 planned, 0 done, 1 to run; time: unknown" in capsys.readouterr().out


def test_a_misspelt_flag_of_the_runner_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sweep.main(["--rows", "1", "--learning_rat", "0.001"])
    assert "did you mean --learning_rate?" in capsys.readouterr().err


def test_automatic_jobs_have_threads_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "processors", lambda: 8)
    assert options_of("--rows 1 --jobs auto").jobs is None
    assert machine.automatic_jobs(row_config(1, device="cpu")) == 4
    assert machine.automatic_jobs(row_config(1, device="cpu", threads=8)) == 1
    assert machine.automatic_jobs(row_config(1, device="cpu", demo=True)) == 8
    assert machine.added_flags(row_config(1), 4)[-2:] == ["--threads", "2"]
    assert "--threads" not in machine.added_flags(row_config(1, demo=True), 8)


def test_runs_are_named_in_few_words() -> None:
    runs = [plan.PlannedRun(row, seed, row_config(row), ()) for row, seed in ((1, 1), (1, 2), (3, 1), (3, 2), (5, 9))]
    assert plan.write_runs(runs) == "rows 1,3, seeds 1-2; row 5, seed 9"
    assert lists.parse_numbers(lists.write_numbers([19, 1, 3, 16, 18, 17])) == [1, 3, 16, 17, 18, 19]
