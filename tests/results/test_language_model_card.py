"""The card beside a language model: its perplexities, what it can be used for, and the command that gives it again."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import additional_experiments
from ablation.config.experiment import identity
from ablation.config.finished_run import read_asked
from ablation.config.flags import EXPERIMENTS
from ablation.config.generation_rows import GENERATION
from ablation.results.language_model_card import language_model_card
from ablation.tasks.language_model import LANGUAGE_MODEL
from tests.support.tiny_language_model import tiny_config


@pytest.fixture
def folder(language_model_results: Path) -> Path:
    (folder,) = (language_model_results / "runs").iterdir()
    return folder


def test_a_card_says_how_good_the_model_is_and_how_to_use_it(folder: Path) -> None:
    card, run = (folder / "README.md").read_text(), json.loads((folder / "run.json").read_text())
    assert f"| per sentence | {run['validation_perplexity']:.2f} | {run['test_perplexity']:.2f} |" in card
    assert f"| greedy | 3 | {run['forward_bleu']:.3f} |" in card
    assert "sentences: 8 to train on, 4 to choose the epoch by, 6 to test on" in card
    commands = re.findall(r"^\S*python .*", card, re.MULTILINE)  # the one in .venv, where that runs it
    continues, adds, classifies, again = (shlex.split(command)[1:] for command in commands)
    for program, *flags in (continues, adds):
        assert program == "generation_experiments.py"
        config, _, options = GENERATION.read(flags)
        asked = read_asked(options, GENERATION.given(flags), config)
        assert asked is not None and asked.run == str(folder)
    assert classifies[0] == Path(str(additional_experiments.__file__)).name
    config, *_ = EXPERIMENTS.read(classifies[1:])
    assert (config.weights, config.weights_path) == ("language_model", str(folder))
    config, *_ = GENERATION.read(again[1:])
    assert identity(config) == identity(tiny_config(folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"demo": False}, "\n* Image captions of MS COCO's annotations, CC BY 4.0"),
        ({"demo": False, "data": "sms"}, "texts of SMS messages, the SMS Spam Collection's, CC BY 4.0"),
        ({"train_file": "mine|too.txt"}, "sentences of its author's own: `mine|too.txt`"),
        ({"row": 9, "demo": False}, "row 9, seed 123 (finetune-1-6-12)"),
        ({"n_samples": 0, "decoding": None}, "None were generated in this run."),
    ],
)
def test_a_card_says_what_the_record_says(changes: dict[str, Any], words: str, folder: Path) -> None:
    run = json.loads((folder / "run.json").read_text())
    assert words in language_model_card(LANGUAGE_MODEL, {**run, **changes}, folder.parents[1])
