"""docs/pretrained.md: its commands are those that there are, and what it says of them is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import baselines
from ablation.baselines.hf_models import REQUIREMENTS
from ablation.baselines.registry import BASELINES
from tests.support.pages import baseline_commands, page, planned_baselines

PAGE, COMMANDS = page("pretrained"), baseline_commands("pretrained")


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
    options, names, runs = planned_baselines(arguments, [1, 2])
    assert runs == (2 if options.seeds else len(names))


def test_the_page_names_the_rows_that_have_a_model() -> None:
    rows = [name for cell in re.findall(r"^\| (B[^|]+) \|", PAGE, re.MULTILINE) for name in cell.split(", ")]
    assert set(rows) <= set(BASELINES) and not set(rows) & set(baselines.IN_SECONDS)
    assert (Path(baselines.__file__).parent / REQUIREMENTS).is_file() and REQUIREMENTS in PAGE


def test_the_pages_demo_runs(tmp_path: Path, few_messages: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert baselines.main([*COMMANDS[0], "--results_dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "first 10 batches: train" in shown and "B5 frozen features" in shown
