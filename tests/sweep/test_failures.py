"""Inputs are looked at once, before the first run; a failure holds for the same inputs, and is told once."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from ablation.sweep import inputs
from ablation.sweep.failures import describe_failures, kind_of, progress_of
from ablation.sweep.plan import Outcome, Status, plan_runs
from ablation.sweep.progress import describe_outcome
from ablation.sweep.state import Digests, finished_runs, result_of
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages, make_run


def test_missing_inputs_are_named_once_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    assert sweep.main(["--rows", "all", "--seeds", "123-128", "--offline", "--force", "--results_dir", "x"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(set(lines)) == 6  # four sizes of weights, the messages, the vocabulary
    assert all(line.startswith("error: --offline, and no ") and "python gpt_download.py" in line for line in lines)
    assert any("no messages in data (for all rows); on a connected machine: python gpt_dow" in line for line in lines)
    assert "no weights in models/gpt2-xl (for rows 8-9,12)" in "\n".join(lines)
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_used_are_named_before_the_first_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"none")
    command = f"--demo --rows 1-3 --seeds 1-9 --weights_path {broken} --results_dir {tmp_path}/x"
    assert sweep.main(command.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(broken) in line
    assert not (tmp_path / "x").exists()


def test_runs_that_will_be_skipped_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--offline", "--models_dir", str(tmp_path), "--data_dir", str(made_up_messages(tmp_path))]
    runs, _ = plan_runs(SPAM.command_line, [1, 8], [1, 2], flags)
    monkeypatch.setattr(inputs, "_fits", lambda config: "xl" not in config.model_size)
    assert not any("xl" in line for line in inputs.check_inputs(SPAM, runs, forced=False))
    assert any("(for row 8)" in line for line in inputs.check_inputs(SPAM, runs, forced=True))


def test_a_failure_sticks_for_the_same_inputs_alone_and_equal_ones_are_told_once(
    tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        (stand_in / f"behaviour-{seed}").write_text("print('error: no luck'); sys.exit(1)")
    command = f"--rows 1 --seeds 1-2 --force --results_dir {tmp_path}/x --data_dir {tmp_path} --models_dir nowhere"

    def started() -> int:
        return len((stand_in / "started").read_text().splitlines())

    assert sweep.main(command.split()) == 1
    out = capsys.readouterr().out
    assert out.count("no luck") == 2  # when it happened, and in the end
    assert "row 1, seed 2: failed" in out and "with the same error as row 1, seed 1" in out
    assert "\n2 runs failed: no luck\n  row 1, seeds 1-2; log of the first: " in out

    assert sweep.main(command.split()) == 1
    out = capsys.readouterr().out
    assert started() == 2
    assert "2 runs failed before from the same inputs (--retry_failed tries again): no luck" in out
    assert out.count("no luck") == 1

    alone = command.replace("1-2", "1").split()
    assert sweep.main([*alone, "--offline"]) == 1  # another flag
    assert started() == 3
    made_up_messages(tmp_path)  # now they are there
    assert sweep.main([*alone, "--offline"]) == 1
    assert started() == 4
    assert sweep.main([*alone, "--offline"]) == 1
    assert started() == 4


def test_errors_that_differ_in_numbers_alone_are_told_once() -> None:
    runs, _ = plan_runs(SPAM.command_line, [5], [1, 2, 3], ["--demo"])
    said = "the training loss evaluated after step {} is nan; the last finite training loss: {}, of step {}"
    told = [said.format(0, "2.511", 0), said.format(50, "1e+30", 48), "no luck"]
    outcomes = [Outcome(run, Status.FAILED, message) for run, message in zip(runs, told, strict=True)]
    first, which, other, _ = describe_failures(outcomes, "failed")
    assert first == f"2 runs failed: {told[0]}" and which == "  row 5, seeds 1-2" and other == "1 run failed: no luck"
    assert "same error as row 5, seed 1" in describe_outcome(outcomes[1], SPAM.headline, {kind_of(told[0]): runs[0]})


@pytest.mark.parametrize("loss", ["nan", "inf"])
def test_an_old_run_whose_loss_was_not_finite_is_not_done(tmp_path: Path, loss: str) -> None:
    """The report asks for another run of it; a sweep that called it done would never make one."""
    data = made_up_messages(tmp_path / "data")
    flags = ["--results_dir", str(tmp_path), "--weights", "random"]
    (run,), _ = plan_runs(SPAM.command_line, [1], [1], flags)
    make_run(tmp_path, data, run.config, 0.9)
    digests = Digests(lambda _: None)
    assert result_of(run, finished_runs(tmp_path, SPAM), digests) is not None
    (losses,) = tmp_path.glob("runs/*/losses.csv")
    losses.write_text(f"step,train_loss,validation_loss\n0,{loss},0.5\n")
    assert result_of(run, finished_runs(tmp_path, SPAM), digests) is None


def test_what_a_killed_run_said_of_its_progress_is_not_shown_of_the_next(tmp_path: Path, stand_in: Path) -> None:
    look = "(folder / 'seen').write_text(str([*Path(config.results_dir).rglob('*.progress')]))"
    (stand_in / "behaviour-1").write_text(look)
    command = ["--rows", "1", "--seeds", "1", "--force", "--results_dir", f"{tmp_path}/x", "--data_dir", str(tmp_path)]
    (run,), _ = plan_runs(SPAM.command_line, [1], [1], command[5:])
    stale = progress_of(run, tmp_path / "x")
    stale.parent.mkdir(parents=True)
    stale.write_text('{"work": "training", "done": 649, "amount": 650}')
    sweep.main(command)
    assert (stand_in / "seen").read_text() == "[]"
