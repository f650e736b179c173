"""docs/sweep.md: its commands are understood, its flags are all there are, and its screen is what is shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import baselines
import sweep
from ablation.run.progress_file import RunProgress
from ablation.sweep.live import describe_progress
from ablation.sweep.plan import plan_runs
from ablation.sweep.progress import time_of
from ablation.sweep.several import combinations
from ablation.tasks.registry import TASKS
from ablation.tasks.spam import SPAM
from tests.sweep.test_live import FREEZES, TRAINS

PAGE = (Path(sweep.__file__).parent / "docs" / "sweep.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python (\w+\.py.*?)(?: +#.*)?$", PAGE, flags=re.MULTILINE)
RAY = ("--engine", "--ray_address", "--num_cpus", "--num_gpus")  # which have a page of their own


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("sweep.py")])
def test_a_sweep_of_the_page_can_be_planned(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line)[1:]
    assert sweep.main(["--dry_run", *arguments]) == 0
    own, _, flags = line.removeprefix("sweep.py").partition(" -- ")
    task = TASKS[sweep.asked_task(shlex.split(own))]
    given = sweep.make_parser(task.command_line).parse_args(shlex.split(own))
    options = sweep.read_options(task, given, shlex.split(flags))
    variants, _ = combinations(task.command_line, options.flags)
    runs = len(options.rows) * len(options.seeds) * len(variants)
    assert f"{runs} planned, 0 done" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_pages_baselines_can_be_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("baselines.py")]
    assert [baselines.make_parser().parse_args(line).again for line in lines] == [False, False, True]
    assert baselines.main(lines[1]) == 0
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["demo"]


def test_the_page_names_the_sweeps_own_flags() -> None:
    own = {name for name, *_ in (action.option_strings for action in own_actions())}
    assert set(re.findall(r"^\| `(--\w+)", PAGE, flags=re.MULTILINE)) == own - {"-h", "--help", "--version", *RAY}


def own_actions() -> list:
    hidden = ("--row", "--seed")
    group = sweep.make_parser()._action_groups[1]
    return [action for action in group._group_actions if action.option_strings[0] not in hidden]


def test_the_page_shows_lines_as_they_are() -> None:
    assert f"seed 123: {describe_progress(FREEZES)}, about 90 s left" in PAGE
    assert f"seed 123: {describe_progress(TRAINS)}, about 12 min left" in PAGE
    assert f"seed 123: {describe_progress(RunProgress('epoch 3', 120, 469))}, about 2.1 h left" in PAGE
    assert f"time left: {time_of([9000.0, None, None], 1)}" in PAGE


def test_what_the_page_says_of_values_is_so() -> None:
    counts = {"nine": 9, "twelve": 12, "six": 6}
    told = re.findall(r"^python sweep.py (.*?) +# (nine|twelve|six)(?: runs)?$", PAGE, flags=re.MULTILINE)
    assert [word for _, word in told] == list(counts)
    for line, word in told:
        options = sweep.read_options(SPAM, sweep.make_parser().parse_args(shlex.split(line)), [])
        runs, remarks = plan_runs(SPAM.command_line, options.rows, options.seeds, options.flags)
        assert (len(runs), remarks) == (counts[word], [])
        if word == "twelve":
            (name,) = re.findall(r"^(row 24, .*?): to run", PAGE, flags=re.MULTILINE)
            assert name in {run.name for run in runs}
