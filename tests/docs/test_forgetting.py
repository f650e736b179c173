"""docs/forgetting.md: its commands are understood, and its figures are those of the demo."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

import additional_experiments
import sweep
from ablation.config.rows import row_config
from ablation.data.held_out import CAPTIONS, MOST_TOKENS
from ablation.execution.perplexity import perplexity, token_losses
from ablation.listener import Listener
from ablation.results.run_folder import forgetting_fields
from ablation.run.forgetting import base_trunk, open_probe
from ablation.tasks.spam import SPAM
from demo.pretraining import PRETRAINING_COUNTS

PAGE = (Path(sweep.__file__).parent / "docs" / "forgetting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| [^|]+ \| ([\d.]+) % \| ([\d.]+) \| ([\d.]+) \|$", PAGE, flags=re.MULTILINE)
LAST_LINE = r"forgetting: perplexity of held-out text ([\d.]+) before, ([\d.]+) after"


def test_the_page_says_what_the_code_does() -> None:
    assert all(f"`{column}`" in PAGE for column in forgetting_fields(None))
    assert set(forgetting_fields(None)) <= set(SPAM.columns)
    assert f"{MOST_TOKENS:,} tokens" in PAGE and f"`<data_dir>/{CAPTIONS.as_posix()}`" in PAGE
    assert f"{sum(PRETRAINING_COUNTS.values()):,} further messages" in PAGE


def test_before_is_the_demos_in_every_line() -> None:
    probe = open_probe(row_config(1, demo=True, measure_forgetting=True), Listener())
    assert probe is not None and len(probe.sequences) == 300
    losses = token_losses(base_trunk(probe.weights), probe.weights.head(), probe.sequences, torch.device("cpu"))
    (shown,) = re.findall(LAST_LINE, PAGE)
    assert len(ROWS) == 8
    assert {before for _, _, before, _ in ROWS} == {shown[0]} == {f"{perplexity(losses):.2f}"}
    after = {int(row): float(value) for row, _, _, value in ROWS}
    assert (after[3], after[1]) == tuple(map(float, shown))
    assert list(after.values()) == sorted(after.values())


def test_its_sweeps_can_be_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line)[1:] for line in re.findall(r"`python (sweep\.py[^`]+)`", PAGE)]
    for arguments, count in zip(commands, (len(ROWS), 31), strict=True):
        assert sweep.main([*arguments, "--dry_run"]) == 0
        assert f"{count} planned, 0 done" in capsys.readouterr().out
    assert sweep.main(["--demo", "--rows", "all", "--seeds", "123", "--measure_forgetting", "--dry_run"]) == 2
    error = capsys.readouterr().err
    assert "row 10: --measure_forgetting" in error and "row 17: --measure_forgetting" in error


@pytest.mark.slow
def test_its_example_ends_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall(r"^\$ python additional_experiments\.py (.*)$", PAGE, flags=re.MULTILINE)
    assert additional_experiments.main([*shlex.split(line), "--results_dir", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "held-out text: messages.csv, the test split, 300 of 300 texts\n" in output
    (found,), (shown,) = re.findall(LAST_LINE, output), re.findall(LAST_LINE, PAGE)
    assert [float(value) for value in found] == pytest.approx([float(value) for value in shown], abs=0.2)
