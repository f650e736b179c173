"""Inputs are looked at once, before the first run; a failure holds for the same inputs, and is told once."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from ablation.sweep import inputs
from ablation.sweep.plan import plan_runs
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages


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
