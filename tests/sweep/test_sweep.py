"""Sweeps: the plan, resuming, the local engine with a stand-in for the runner, and small real runs."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import sweep
from ablation.config.experiment import ConfigError, config_hash
from ablation.config.flags import EXPERIMENTS
from ablation.config.rows import ROW_SETS, ROWS, row_config
from ablation.data.demo import WEIGHTS
from ablation.listener import Listener
from ablation.results.read import read_results
from ablation.results.task import Metric
from ablation.run import estimate, inputs, kinds
from ablation.run.inputs import open_weights
from ablation.sweep import child, failures, lists, machine, plan, progress, state
from ablation.sweep.engines import ENGINES
from ablation.sweep.plan import Outcome, Status
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages, make_results, make_run
from tests.sweep.conftest import started

PROJECT = Path(sweep.__file__).parent
CSV_NAME = SPAM.csv_name


def command(results: Path, seeds: str, *own: str, rows: str = "1", flags: tuple[str, ...] = ()) -> list[str]:
    runner = ["--force", "--results_dir", str(results), "--data_dir", "nowhere", "--models_dir", "nowhere", *flags]
    return ["--rows", rows, "--seeds", seeds, *own, "--", *runner]


def seeds_in(results: Path) -> list[int]:
    path = results / CSV_NAME
    return sorted(int(row["seed"]) for row in csv.DictReader(path.open(newline=""))) if path.exists() else []


# ---- the plan -------------------------------------------------------------------------------------------------------


def test_numbers_are_lists_and_ranges() -> None:
    assert lists.parse_numbers("1,3,16-19, 3") == [1, 3, 16, 17, 18, 19]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no number or range"),
        ("1,,2", "is no number or range"),
        ("a", "'a' is no number"),
        ("-3", "'-3' is no number"),
        ("5-3", "5-3 runs backwards; write 3-5"),
        ("0-4", "there is no 0; give 1 to 39, or all, methods, padding"),
        ("38-40", "there is no 40; give 1 to 39, or all, methods, padding"),
        ("1.5", "is no number"),
    ],
)
def test_bad_numbers_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="--rows") as error:
        sweep.read_options(SPAM, sweep.make_parser().parse_args([f"--rows={text}"]), [])
    assert words in str(error.value)


def test_a_range_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1-3000000 is 3,000,000 numbers; give at most 10,000"):
        lists.parse_numbers("1-3000000")


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/0", "2", "1/2/3", "a/b", "-1/2"])
def test_bad_shards_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"--shard {text}"):
        sweep.read_options(SPAM, sweep.make_parser().parse_args(["--rows=1", f"--shard={text}"]), [])


@given(st.integers(0, 40), st.integers(1, 12))
def test_shards_make_up_the_plan(runs: int, parts: int) -> None:
    whole = [plan.PlannedRun(1, seed, row_config(1, seed=seed), ()) for seed in range(runs)]
    shards = [plan.shard_of(whole, part, parts) for part in range(1, parts + 1)]
    assert [run for shard in shards for run in shard] == whole
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_runs_that_share_features_follow_one_another() -> None:
    runs, _ = plan.plan_runs(EXPERIMENTS, [1, 2, 3, 4, 5, 18], [1, 2], [])
    assert [(run.row, run.seed) for run in runs] == [
        *((row, seed) for row in (1, 3, 18) for seed in (1, 2)),
        *((row, seed) for row in (2, 4, 5) for seed in (1, 2)),
    ]
    random, _ = plan.plan_runs(EXPERIMENTS, [1, 3], [1, 2], ["--weights", "random"])
    assert [(run.row, run.seed) for run in random] == [(1, 1), (3, 1), (1, 2), (3, 2)]


def test_groups_are_those_of_the_published_rows() -> None:
    groups: dict[object, list[int]] = {}
    for row in ROWS:
        groups.setdefault(plan.feature_group(row_config(row)), []).append(row)
    keeping = {tuple(rows) for group, rows in groups.items() if group is not None}
    assert keeping == {(1, 3, 18, 19), (2,), (4,), (6,), (7,), (8,), (13,), (14, 15, 16, 36),
                       (17, 39), (34,), (35,), (37,), (38,)}  # fmt: skip
    assert groups[None] == [5, 9, 10, 11, 12, *ROW_SETS["methods"]]  # they train from the first block on


def test_methods_from_the_same_block_on_share_features() -> None:
    """All but the soft prompt, which adds to what the first block reads."""
    rows = [row for row in ROW_SETS["methods"] if row != 29]
    assert len({plan.feature_group(row_config(row, from_block=12)) for row in rows} - {None}) == 1
    runs, _ = plan.plan_runs(EXPERIMENTS, [20, 30], [1], ["--from_block", "1,12"])
    assert [(run.row, run.config.from_block) for run in runs] == [(20, 1), (20, 12), (30, 12), (30, 1)]


def test_flags_that_make_rows_equal_plan_them_once() -> None:
    runs, remarks = plan.plan_runs(EXPERIMENTS, [5, 10], [7], ["--weights", "random"])
    assert [run.row for run in runs] == [5]
    assert remarks == ["row 10, seed 7 is the same as row 5, seed 7; planned once"]


def test_all_problems_of_a_plan_together_each_once() -> None:
    with pytest.raises(ConfigError) as error:
        plan.plan_runs(EXPERIMENTS, [1, 14], [1, 2], ["--batch_size", "4", "--lora_rank", "0"])
    assert [problem.split(":")[0] for problem in error.value.problems] == ["rows 1,14", "row 14"]


def test_digests_of_other_data_or_weights_are_part_of_a_planned_run(tmp_path: Path) -> None:
    asked = []

    def foreign_of(config: Any) -> dict[str, str]:
        asked.append(config.trainable_layers)
        return {"weights_digest": "a" * 64}

    runs, _ = plan.plan_runs(EXPERIMENTS, [1, 3], [1, 2], [], foreign_of)
    assert {run.hash for run in runs}.isdisjoint(run.hash for run in plan.plan_runs(EXPERIMENTS, [1, 3], [1, 2], [])[0])
    assert asked == ["last_block", "last_layer"]  # seeds change neither


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        (["--rows", "40", "--seeds", "9-1", "--shard", "3/2"], ["--rows", "--seeds", "--shard"]),
        (["--rows", "1", "--jobs", "0"], ["--jobs"]),
        (["--rows", "1", "--", "--seed", "4", "--row=3"], ["--row: the sweep sets it", "--seed: the sweep sets it"]),
        (["--rows", "1", "--seed", "4"], ["--seed: the sweep sets it for each run; give --seeds"]),
        (["--rows", "1", "--", "--num_epochs", "0"], ["row 1: --num_epochs"]),
        (["--rows", "1", "--num_cpus", "0", "--num_gpus", "-1"], ["--num_cpus", "--num_gpus"]),
    ],
)
def test_wrong_commands_name_every_problem(
    arguments: list[str], problems: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(problems)
    assert all(line.startswith(f"error: {problem}") for line, problem in zip(lines, problems, strict=True))


# ---- what is done ---------------------------------------------------------------------------------------------------


def planned(row: int, seed: int, **foreign: str) -> plan.PlannedRun:
    return plan.PlannedRun(row, seed, row_config(row, seed=seed), (), foreign)


def test_done_means_same_configuration_messages_and_weights(tmp_path: Path) -> None:
    data = made_up_messages(tmp_path / "data")
    make_run(tmp_path, data, row_config(1, seed=1), 0.9)
    make_run(tmp_path, data, row_config(10, seed=1), 0.9)
    finished = state.finished_runs(tmp_path, SPAM)
    (digest,) = {run["data_digest"] for runs in finished.values() for run in runs}

    def done(run: plan.PlannedRun, data: str | None, weights: str | None) -> bool:
        digests = state.Digests(lambda _: data, {("gpt2-small (124M)", None): weights})
        return state.result_of(run, finished, digests) is not None

    assert done(planned(1, 1), digest, "ab" * 32)
    assert done(planned(1, 1), None, None)  # nothing at hand to compare with
    assert not done(planned(1, 1), "c" * 64, "ab" * 32)
    assert not done(planned(1, 1), digest, "c" * 64)
    assert not done(planned(1, 2), digest, "ab" * 32)
    assert not done(planned(3, 1), digest, "ab" * 32)
    assert done(planned(10, 1), digest, "ab" * 32)  # random weights are said by the configuration


@pytest.mark.parametrize("hash_names_the_base", [False, True])
def test_runs_on_different_base_weights_never_count_as_each_other(tmp_path: Path, hash_names_the_base: bool) -> None:
    """Neither those of this version, whose hashes name their base, nor those of versions whose hashes did not."""
    mine, others, published = "a" * 64, "b" * 64, "c" * 64
    config = row_config(1, seed=1)
    recorded = config_hash(config, {"weights_digest": mine} if hash_names_the_base else {})
    changes: dict[str, Any] = {"weights_path": "mine", "weights_digest": mine, "config_hash": recorded}
    make_run(tmp_path, made_up_messages(tmp_path / "data"), config, 0.9, **changes)
    finished = state.finished_runs(tmp_path, SPAM)

    def done(run: plan.PlannedRun, weights: str | None) -> bool:
        digests = state.Digests(lambda _: None, {(run.config.model_size, None): weights})
        return state.result_of(run, finished, digests) is not None

    assert done(planned(1, 1, weights_digest=mine), mine)
    assert not done(planned(1, 1, weights_digest=others), others)
    assert not done(planned(1, 1), published)
    assert not done(planned(1, 1), None)  # the published ones are still to be fetched


@pytest.mark.slow
def test_a_sweep_on_another_base_starts_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "one.safetensors", tmp_path / "other.safetensors"]
    for factor, file in enumerate(files, start=2):
        tensors = load_file(WEIGHTS)
        save_file({name: tensor * factor if "final_norm" in name else tensor for name, tensor in tensors.items()}, file)
    places = ["--results_dir", str(tmp_path), "--models_dir", str(tmp_path)]

    def sweep_of(*flags: str, own: tuple[str, ...] = ("--dry_run",)) -> str:
        command = ["--demo", "--rows", "3", *own, "--", *places, "--num_epochs", "1", "--max_steps", "1", *flags]
        assert sweep.main(command) == 0
        return capsys.readouterr().out

    assert "row 3, seed 123: finished" in sweep_of("--weights_path", str(files[0]), own=())
    assert "1 planned, 1 done" in sweep_of("--weights_path", str(files[0]))
    assert "1 planned, 0 done, 1 to run" in sweep_of("--weights_path", str(files[1]))
    assert "1 planned, 0 done, 1 to run" in sweep_of()


def test_of_runs_that_share_features_only_the_first_is_reckoned_with_computing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "device_name", lambda device: "Some CPU")
    data = made_up_messages(tmp_path / "data")
    for row, minutes in ((1, 4.0), (3, 2.0)):
        make_run(tmp_path, data, row_config(row, seed=1), 0.9, total_minutes=minutes)  # 100 s of it features
    config = row_config(1, data_dir=str(data), models_dir=str(tmp_path), threads=2)
    results = state.Results(tmp_path, SPAM, state.Digests(lambda _: None), SPAM.headline)
    digest = SPAM.data_digest(config)
    to_run = [
        replace(run, config=replace(run.config, threads=2, models_dir=str(tmp_path)))
        for run in (planned(row, seed, data_digest=str(digest)) for row, seed in ((3, 5), (1, 5), (1, 6), (4, 5)))
    ]
    options = sweep.read_options(SPAM, sweep.make_parser().parse_args(["--rows", "1"]), [])
    assert list(state.estimate_all(results, to_run, options, 3.0).values()) == [123, 143, 143, None]


def test_a_sweep_shows_the_headline_of_its_task() -> None:
    run = planned(1, 1)
    metric = Metric("perplexity", "validation perplexity", more_is_better=False)
    table = progress.summary([run], [Outcome(run, Status.FINISHED, headline=31.4159)], metric)
    assert table.splitlines()[0].endswith("validation perplexity")
    assert table.splitlines()[1].split()[-1] == "31.42"
    pair = [planned(1, 1), planned(1, 2)]
    ended = [Outcome(run, Status.FINISHED, headline=value) for run, value in zip(pair, (30.0, 32.0), strict=True)]
    note, *_ = progress.summary(pair, ended, metric).splitlines()
    assert note == "validation perplexity: mean ± standard deviation over seeds"
    assert progress.mean_and_spread(metric, [30.0, 32.0]) == "31 ± 1.414"
    assert progress.mean_and_spread(SPAM.headline, [0.9, 0.92]) == "91.00% ± 1.41"


def test_the_command_offers_the_engines_there_are() -> None:
    (action,) = (a for a in sweep.make_parser()._actions if a.dest == "engine")
    assert set(action.choices or ()) == set(ENGINES)


# ---- the local engine -----------------------------------------------------------------------------------------------


def test_a_sweep_runs_resumes_and_sums_up(tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(command(tmp_path, "1-2")) == 0
    assert seeds_in(tmp_path) == [1, 2]
    assert "row 1, seed 2: finished, test accuracy 90.00%" in capsys.readouterr().out
    assert sweep.main(command(tmp_path, "1-3", "--dry_run")) == 0
    out = capsys.readouterr().out
    assert "row 1, seed 1: done\n" in out
    assert "3 planned, 2 done, 1 to run" in out
    assert sweep.main(command(tmp_path, "1-3")) == 0
    assert seeds_in(tmp_path) == [1, 2, 3]
    *_, summary, report = capsys.readouterr().out.splitlines()
    assert report.endswith(f"report.py --results_dir {tmp_path} --data_dir nowhere")
    assert summary.split() == ["1", "3", "1", "2", "0", "0", "0", "90.00%", "±", "0.00"]
    assert {line[3] for line in started(stand_in)} == {"nowhere/features"}
    assert list((tmp_path / failures.LOGS_FOLDER).iterdir()) == []


def test_a_failed_run_is_reported_stops_no_other_and_waits_for_retry(
    tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stand_in / "behaviour-2").write_text("print('error: no luck'); sys.exit(1)")
    (stand_in / "behaviour-3").write_text("os.kill(os.getpid(), 9)")
    assert sweep.main(command(tmp_path, "1-4")) == 1
    out = capsys.readouterr().out
    assert seeds_in(tmp_path) == [1, 4]
    assert "row 1, seed 2: failed" in out
    assert ": no luck (log: " in out
    assert ": killed by SIGKILL (log: " in out
    for seed in (2, 3):
        (stand_in / f"behaviour-{seed}").unlink()
    assert sweep.main(command(tmp_path, "1-4")) == 1
    assert seeds_in(tmp_path) == [1, 4]
    assert sweep.main(command(tmp_path, "1-4", "--retry_failed")) == 0
    assert seeds_in(tmp_path) == [1, 2, 3, 4]
    assert sweep.main(command(tmp_path, "1-4")) == 0
    assert len(started(stand_in)) == 6


def test_a_run_that_ends_well_without_a_row_has_failed(tmp_path: Path, stand_in: Path) -> None:
    (stand_in / "behaviour-1").write_text("sys.exit(0)")
    assert sweep.main(command(tmp_path, "1")) == 1


def test_a_run_that_fetches_unpublished_weights_is_found_by_their_digest(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it was planned, nobody could know."""
    foreign = {"weights_digest": "e" * 64}
    fetched = stand_in / "started"
    monkeypatch.setattr(inputs, "foreign_digests", lambda task, config: foreign if fetched.exists() else {})
    (stand_in / "behaviour-1").write_text(f"row_of, config_fields = config_fields, lambda *a: row_of(*a, {foreign})")
    assert sweep.main(command(tmp_path, "1")) == 0
    assert sweep.main(command(tmp_path, "1")) == 0
    assert seeds_in(tmp_path) == [1]


def test_jobs_run_side_by_side_with_their_share_of_threads(tmp_path: Path, stand_in: Path) -> None:
    meet = "(folder / f'here-{config.seed}').touch()\nwhile len(list(folder.glob('here-*'))) < 2: time.sleep(0.05)"
    for seed in (1, 2):
        (stand_in / f"behaviour-{seed}").write_text(meet)
    assert sweep.main(command(tmp_path, "1-2", "--jobs", "2", rows="5")) == 0
    threads = {line[2] for line in started(stand_in)}
    assert threads == {str(machine.default_threads(2))}


def test_the_first_of_a_group_runs_alone(tmp_path: Path, stand_in: Path) -> None:
    """The others would only wait for its features; another group's run goes first."""
    (stand_in / "behaviour-1").write_text("time.sleep(1)")
    assert sweep.main(command(tmp_path, "1-2", "--jobs", "2", rows="1,5")) == 0
    with (tmp_path / CSV_NAME).open(newline="") as file:
        ended = [(row["row"], row["seed"]) for row in csv.DictReader(file)]
    assert ended.index(("1", "1")) < ended.index(("1", "2"))


def test_what_does_not_fit_into_memory_is_skipped_with_the_reason(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(config: object, device: object) -> None:
        if config == row_config(5, **{**paths, "seed": 1}):
            raise ConfigError(["takes about 99.0 GB"])

    paths = {"results_dir": str(tmp_path), "data_dir": "nowhere", "models_dir": "nowhere"}
    monkeypatch.setattr(kinds, "check_memory", check)
    arguments = [part for part in command(tmp_path, "1", rows="5,10") if part != "--force"]
    assert sweep.main(arguments) == 0
    assert "row 5, seed 1: skipped: takes about 99.0 GB" in capsys.readouterr().out
    assert len(seeds_in(tmp_path)) == 1


def start(tmp_path: Path, stand_in: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own, with the stand-in as its runner."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import sweep;"
        "from ablation.tasks.spam import SpamTask; SpamTask.command = sys.argv[2];"
        "from ablation.sweep import inputs; inputs.check_inputs = lambda *_, **__: [];"
        "sys.exit(sweep.main(sys.argv[3:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(PROJECT), str(stand_in / "runner.py"), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(what: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    ended = status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"
    # Its other threads may take a moment longer, and with them what it had open.
    return not ended or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_keeps_what_is_finished_and_leaves_nothing_running(
    tmp_path: Path, stand_in: Path, how: signal.Signals
) -> None:
    (stand_in / "behaviour-2").write_text("time.sleep(600)")
    process = start(tmp_path, stand_in, *command(tmp_path, "1-3"))
    wait_for(lambda: (stand_in / "started").exists() and len(started(stand_in)) == 2)
    process.send_signal(how)
    assert process.wait(60) == 130
    assert seeds_in(tmp_path) == [1]
    assert not alive(int(started(stand_in)[1][1]))
    assert list((tmp_path / failures.LOGS_FOLDER).iterdir()) == []
    (stand_in / "behaviour-2").unlink()
    assert sweep.main(command(tmp_path, "1-3")) == 0
    assert seeds_in(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_however_a_sweep_ends_its_runs_end_with_it_and_their_logs_stay(
    tmp_path: Path, stand_in: Path, how: signal.Signals
) -> None:
    (stand_in / "behaviour-1").write_text("print('epoch 1', flush=True); time.sleep(600)")
    process = start(tmp_path, stand_in, *command(tmp_path, "1"))
    logs = tmp_path / failures.LOGS_FOLDER
    wait_for(lambda: [log for log in logs.glob("*.log") if log.stat().st_size])
    process.send_signal(how)
    process.wait(60)
    wait_for(lambda: not alive(int(started(stand_in)[0][1])), seconds=5)
    (log,) = logs.iterdir()
    assert "epoch 1" in log.read_text()
    (stand_in / "behaviour-1").unlink()
    assert sweep.main(command(tmp_path, "1")) == 0
    assert seeds_in(tmp_path) == [1]
    assert list(logs.iterdir()) == []


@pytest.mark.slow
def test_a_run_that_does_not_listen_is_killed_after_its_sweep(tmp_path: Path, stand_in: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    (stand_in / "behaviour-1").write_text(deaf)
    process = start(tmp_path, stand_in, *command(tmp_path, "1"))
    wait_for(lambda: [log for log in (tmp_path / failures.LOGS_FOLDER).glob("*.log") if log.stat().st_size])
    process.kill()
    process.wait(60)
    wait_for(lambda: not alive(int(started(stand_in)[0][1])), seconds=child.PATIENCE + 5)


def test_what_another_sweep_is_running_is_left_to_it(
    tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = stand_in / "gate"
    (stand_in / "behaviour-1").write_text(f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)")
    process = start(tmp_path, stand_in, *command(tmp_path, "1"))
    wait_for((stand_in / "started").exists)
    assert sweep.main(command(tmp_path, "1-2")) == 0
    assert "row 1, seed 1: skipped: another sweep is running it" in capsys.readouterr().out
    gate.touch()
    assert process.wait(60) == 0
    assert sweep.main(command(tmp_path, "1-2")) == 0
    assert seeds_in(tmp_path) == [1, 2]


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    """As under nohup."""
    program = (
        "import signal; from ablation.commands import interrupt_on_signals;"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); interrupt_on_signals(); signal.raise_signal(signal.SIGHUP)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, timeout=60)


def test_a_killed_run_of_a_killed_sweep_is_run_again(tmp_path: Path, stand_in: Path) -> None:
    (stand_in / "behaviour-1").write_text("time.sleep(600)")
    process = start(tmp_path, stand_in, *command(tmp_path, "1"))
    wait_for((stand_in / "started").exists)
    process.kill()
    process.wait(60)
    with contextlib.suppress(ProcessLookupError):  # it ends by itself, too
        os.kill(int(started(stand_in)[0][1]), signal.SIGKILL)
    (stand_in / "behaviour-1").unlink()
    wait_for(lambda: not alive(int(started(stand_in)[0][1])))
    assert sweep.main(command(tmp_path, "1")) == 0
    assert seeds_in(tmp_path) == [1]


def test_two_sweeps_at_once_do_each_run_once(tmp_path: Path, stand_in: Path) -> None:
    processes = [start(tmp_path, stand_in, *command(tmp_path, "1-3", rows="5")) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    wait_for(lambda: seeds_in(tmp_path) == [1, 2, 3])


# ---- for real -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_small_real_runs_share_their_features(tmp_path: Path, real_vocabulary: Path) -> None:
    data = made_up_messages(tmp_path / "data")
    flags = (
        *("--weights", "random", "--n_layers", "2", "--emb_dim", "32", "--n_heads", "2", "--num_epochs", "1"),
        *("--data_dir", str(data), "--trust_new_hash", "--models_dir", str(tmp_path / "models"), "--offline"),
        *("--results_dir", str(tmp_path / "results")),
    )
    assert sweep.main(["--rows", "1,3,18", "--seeds", "1-2", "--", *flags]) == 0
    runs, problems = read_results(tmp_path / "results", SPAM)
    assert problems == []
    assert [(run.seeds[0], run["features"]) for run in runs] == [
        *((seed, features) for seed in (1, 2) for features in ("computed", "reused", "reused")),
    ]
    assert sweep.main(["--rows", "1,3,18", "--seeds", "1-2", "--", *flags]) == 0
    assert len(read_results(tmp_path / "results", SPAM)[0]) == 6


def test_made_up_results_count_as_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = made_up_messages(tmp_path / "data")
    make_results(tmp_path, data, {1: 0.9}, (1, 2))
    arguments = ["--rows", "1", "--seeds", "1-3", "--shard", "1/1", "--dry_run", "--"]
    assert sweep.main([*arguments, "--results_dir", str(tmp_path), "--data_dir", str(data)]) == 0
    assert "3 planned, 2 done, 1 to run" in capsys.readouterr().out


@pytest.mark.parametrize("older", ["data_digest", "weights_digest"])
def test_results_of_an_older_miniature_are_not_done(
    older: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows have the same hashes: which miniature they are of, the digests of messages and weights tell."""
    config = row_config(1, seed=1, demo=True)
    weights = open_weights(config, Listener()).digest()
    now: dict[str, Any] = {"data_digest": SPAM.data_digest(config), "weights_digest": weights}
    command = ["--demo", "--rows", "1", "--seeds", "1", "--dry_run", "--", "--results_dir", str(tmp_path)]
    for digests, said in ((now | {older: "c" * 64}, "1 planned, 0 done, 1 to run"), (now, "1 planned, 1 done")):
        make_run(tmp_path, made_up_messages(tmp_path / "data"), config, 0.9, **digests)
        assert sweep.main(command) == 0
        assert said in capsys.readouterr().out


def test_the_demo_has_all_rows_and_its_own_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that name a larger size stay rows of their own, although the demo has one model only."""
    monkeypatch.chdir(tmp_path)
    options = sweep.read_options(SPAM, sweep.make_parser().parse_args(["--demo", "--rows", "1-19"]), [])
    runs, remarks = plan.plan_runs(EXPERIMENTS, options.rows, options.seeds, options.flags)
    assert len(runs) == 19 and remarks == []
    assert {run.config.results_dir for run in runs} == {"results/demo"}
    assert sweep.main(["--demo", "--rows", "1-19", "--dry_run"]) == 0
    assert "19" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
