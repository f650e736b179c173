"""docs/baselines.md: its commands are understood, its examples print what is shown, its flags are those that there
are."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import baselines
from ablation.baselines.answer_file import FOLDER
from ablation.baselines.prompts import ABOUT_NOTHING
from ablation.baselines.registry import BASELINES
from ablation.config.prompting import PromptSettings
from ablation.config.shapes import ALL_SHAPES, NANO
from ablation.tasks.spam import SPAM
from tests.support.pages import baseline_commands, examples_that_hold, page, planned_baselines

PAGE, COMMANDS = page("baselines"), baseline_commands("baselines")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_means_a_row(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FOLDER" / "model.gguf").touch()
    options, names, runs = planned_baselines(arguments, [123, 124, 125])
    assert names == ["B6"] and runs == (3 if options.seeds else 1)


def test_the_pages_demo_runs(tmp_path: Path, few_messages: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert baselines.main([*COMMANDS[0], "--results_dir", str(tmp_path)]) == 0
    assert "B6 asked in words" in capsys.readouterr().out


def test_examples_print_what_is_shown() -> None:
    assert examples_that_hold("baselines") == 3


def test_the_page_names_what_there_is() -> None:
    assert dict(re.findall(r"^\| (B\d) \| (.*?) \|", PAGE, flags=re.MULTILINE)) == SPAM.baselines
    flags = set(re.findall(r"^\| `--(?!rows)(\w+)", PAGE, flags=re.MULTILINE))
    assert flags == {field.name for field in dataclasses.fields(PromptSettings)} <= set(BASELINES["B6"].takes)
    settings = BASELINES["B6"].settings
    assert f"first {settings['train_messages']} messages" in PAGE and f"the {settings['text_tokens']} likeliest" in PAGE
    assert {"validation_auc", "test_auc"} <= set(SPAM.columns)
    assert f"the demo's miniature {ALL_SHAPES[NANO].context_length}." in PAGE and f"`models/{FOLDER}`" in PAGE
    assert all(f"“{text}”" in PAGE for text in ABOUT_NOTHING if text)
