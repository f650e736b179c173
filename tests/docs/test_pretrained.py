"""docs/pretrained.md: its commands are those that there are, and what it says of them is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import baselines
from ablation.baselines.hf_models import REQUIREMENTS
from ablation.baselines.registry import BASELINES

PAGE = (Path(baselines.__file__).parent / "docs" / "pretrained.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^python (baselines.*)$", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_means_rows(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FOLDER" / "model.gguf").touch()
    (tmp_path / "FOLDER" / "config.json").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").touch()
    options = baselines.make_parser().parse_args(arguments)
    seeds = [1, 2] if options.seeds else [123]
    names = baselines.parse_rows(options.rows)
    planned = baselines.plan(names, baselines.read_config(options), seeds)
    assert len(planned) == (2 if options.seeds else len(names))
    given = [name for name, value in vars(options).items() if value is not None]
    assert baselines.remarks(names, planned, given) == []


def test_the_page_names_the_rows_that_have_a_model() -> None:
    rows = [name for cell in re.findall(r"^\| (B[^|]+) \|", PAGE, re.MULTILINE) for name in cell.split(", ")]
    assert set(rows) <= set(BASELINES) and not set(rows) & set(baselines.IN_SECONDS)
    assert (Path(baselines.__file__).parent / REQUIREMENTS).is_file() and REQUIREMENTS in PAGE


def test_the_pages_demo_runs(tmp_path: Path, few_messages: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert baselines.main([*COMMANDS[0], "--results_dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "first 10 batches: train" in shown and "B5 frozen features" in shown
