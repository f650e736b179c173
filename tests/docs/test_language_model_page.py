"""docs/language-model.md: its example is what the command prints, and its numbers are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

import generation_experiments
from ablation.config.finished_run import way_of_going_on
from ablation.config.generation import DEMO_SAMPLES, SAMPLES, LanguageModelConfig
from ablation.config.generation_rows import GENERATION, GENERATION_ROW_SETS
from ablation.config.shapes import ALL_SHAPES, NANO
from ablation.data.lines import LONGEST_LINE
from ablation.environment import PROJECT
from ablation.results.language_model_record import PERPLEXITIES
from ablation.run.sentence_memory import estimate_memory, model_costs
from ablation.words import in_ranges

PAGE = (PROJECT / "docs" / "language-model.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())


def figures(text: str) -> dict[str, list[float]]:
    """The numbers of a run's tables by the title of their line."""
    lines = re.findall(r"^  (validation \D+|test \D+|\w+ [\d.]+)  +([\d., ]+)$", text, flags=re.MULTILINE)
    return {title.strip(): [float(cell.replace(",", "")) for cell in cells.split()] for title, cells in lines}


def test_its_numbers_are_the_codes() -> None:
    usual, nano = LanguageModelConfig(), ALL_SHAPES[NANO]
    assert f"{DEMO_SAMPLES} sentences for each way, otherwise {SAMPLES:,}" in TEXT
    needed = estimate_memory(usual, torch.device("cpu"), free=0).needed
    assert f"Row 1 needs {needed / 1e9:.2f} GB" in TEXT
    assert f"({4 * model_costs(usual).total_parameters / 1e6:.0f} MB for row 1)" in TEXT
    assert (nano.n_layers, nano.n_heads) == (3, 4) and f"a width of {nano.emb_dim}" in TEXT
    assert in_ranges(GENERATION_ROW_SETS["demo"]) == "1-6,10" and "rows 1 to 6 and 10" in TEXT
    assert (usual.learning_rate, usual.batch_size, usual.max_len, usual.dropout) == (1e-4, 32, 35, 0.1)
    assert "perplexities of {}, {} and {}".format(*PERPLEXITIES) in TEXT
    assert way_of_going_on(usual, []).describe() == "random at temperature 1" and "any token at temperature 1" in TEXT
    assert 4e6 < LONGEST_LINE < 4.5e6 and "over four million bytes" in TEXT
    assert usual.checkpoint_every == 5 and "for more than five minutes" in TEXT


def test_its_commands_are_of_rows() -> None:
    lines = re.findall(r"^    python generation_experiments\.py (.*)$", PAGE, flags=re.MULTILINE)
    read = [GENERATION.read(shlex.split(line)) for line in lines]
    assert len(read) == 8 and not any(warnings for _, warnings, _ in read)
    assert read[0][0] == read[1][0]  # row 9 by its flags


@pytest.mark.slow
def test_its_example_ends_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall(r"^\$ python generation_experiments\.py (.*)$", PAGE, flags=re.MULTILINE)
    assert generation_experiments.main([*shlex.split(line), "--results_dir", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    shown, found = figures(PAGE), figures(output)
    assert len(shown) == 9
    for title, values in shown.items():
        relative, absolute = (0.01, None) if "perplexity" in title else (None, 0.03)
        assert found[title] == pytest.approx(values, rel=relative, abs=absolute), title
    for fixed in ("BLEU-4 of 300 sentences each and the test sentences:", "  best epoch                    2 of 3"):
        assert fixed in output and fixed in PAGE
