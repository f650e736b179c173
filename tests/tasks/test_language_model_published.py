"""The published figures of the language model's rows, as they are read and as they are listed."""

from __future__ import annotations

import itertools
import math
import re

import pytest

from ablation.config.decoding import RANDOM, TOP_K, TOP_P
from ablation.config.generation import LanguageModelConfig
from ablation.config.generation_rows import GENERATION, NAMES
from ablation.results import published
from ablation.results.log import ResultsError
from ablation.results.published import spoken_name
from ablation.results.row_list import row_list
from ablation.tasks.language_model import LANGUAGE_MODEL

WAYS = list(itertools.product((RANDOM, TOP_P, TOP_K), ("0.7", "1.0")))
BLEU = ("forward_bleu", "backward_bleu", "harmonic_bleu")


def test_each_row_has_its_published_name_and_figures() -> None:
    figures = LANGUAGE_MODEL.published()
    assert {row: line["name"] for row, line in figures.items()} == {str(row): name for row, name in NAMES.items()}
    assert (figures["1"]["test_perplexity"], figures["1"]["forward_bleu random 0.7"]) == ("15.31", "0.800")
    assert figures["2"]["validation_loss"] == "2.67" and "training_minutes" not in figures["2"]
    assert figures["5"] == {"name": "finetune-no-shuffle"}
    for row, line in figures.items():
        ways = {"5": []}.get(row, WAYS if int(row) <= 4 else WAYS[:1])
        assert {spoken_name(column, *way) for way in ways for column in BLEU} == {
            name for name in line if "bleu" in name
        }


def test_the_figures_bear_one_another_out() -> None:
    """A harmonic mean is that of its two, and a perplexity that of its loss, but for how they were rounded."""
    for line in LANGUAGE_MODEL.published().values():
        for way in WAYS:
            if (name := spoken_name("harmonic_bleu", *way)) in line:
                forward, backward = (float(line[spoken_name(column, *way)]) for column in BLEU[:2])
                assert float(line[name]) == pytest.approx(2 * forward * backward / (forward + backward), abs=1.1e-3)
        if "validation_loss" in line:
            assert math.exp(float(line["validation_loss"])) == pytest.approx(float(line["validation_perplexity"]), 0.01)


@pytest.mark.parametrize("width", [80, 120])
def test_rows_are_listed_with_names_and_without_percents(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    listed = row_list(LANGUAGE_MODEL, LanguageModelConfig(demo=True))
    assert max(map(len, listed.splitlines())) <= width
    assert "%" not in listed and "minutes" not in listed
    found = re.findall(r"^ *(\d+) +([\d.–]+)  (\S+) +(.*(?:\n {43}.*)*)", listed, re.MULTILINE)
    figures = LANGUAGE_MODEL.published()
    assert [(row, figure, name) for row, figure, name, _ in found] == [
        (row, line.get("test_perplexity", "–"), line["name"])
        for row, line in sorted(figures.items(), key=lambda i: int(i[0]))
    ]
    for row, _, _, flags in found[1:]:
        assert GENERATION.read(flags.split())[0] == LanguageModelConfig(**GENERATION.rows[int(row)])


def test_a_table_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "PUBLISHED_LANGUAGE_MODEL", published.PROJECT / "data" / "none.csv")
    with pytest.raises(ResultsError, match=r"none\.csv: No such file"):
        LANGUAGE_MODEL.published()
