"""The language model's run that ships: its rows, its folder and its files say the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ablation.config.decoding import decodings
from ablation.config.generation import LanguageModelConfig
from ablation.environment import PROJECT
from ablation.results.language_model_record import EPOCHS_CSV, PERPLEXITIES
from ablation.results.read import FinishedRun, read_results
from ablation.results.runs import rebuild
from ablation.tasks.language_model import LANGUAGE_MODEL

REFERENCE = PROJECT / "results" / "reference"
USUAL = LanguageModelConfig()


@pytest.fixture(scope="module")
def runs() -> list[FinishedRun]:
    found, problems = read_results(REFERENCE, LANGUAGE_MODEL)
    assert problems == []
    return found


def test_it_is_row_one_in_the_six_usual_ways(runs: list[FinishedRun]) -> None:
    assert {run.row for run in runs} == {"1"} and len({run["run_id"] for run in runs}) == 1
    ways = [(run["decoding"], float(run["temperature"])) for run in runs]
    assert ways == [(way.name, way.temperature) for way in USUAL.decodings] and len(ways) == 6
    assert {run["n_samples"] for run in runs} == {str(USUAL.n_samples)}


def test_its_curves_are_those_of_its_row(runs: list[FinishedRun]) -> None:
    losses, epochs = runs[0].losses(), runs[0].table(EPOCHS_CSV, ["epoch", "train_loss", "validation_perplexity"])
    assert losses is not None and epochs is not None
    assert (len(losses), len(epochs)) == (int(runs[0]["steps"]), int(runs[0]["epochs"]))
    assert losses.groupby("epoch")["train_loss"].mean().to_numpy() == pytest.approx(epochs["train_loss"].to_numpy())
    perplexities = epochs["validation_perplexity"].to_numpy()
    assert perplexities.argmin() + 1 == int(runs[0]["best_epoch"]) == len(perplexities) - 1  # the first rise ended it
    assert perplexities.min() == pytest.approx(runs[0].values["validation_perplexity"])
    for perplexity in PERPLEXITIES:
        first = int(np.flatnonzero(perplexities <= perplexity)[0]) + 1
        assert int(runs[0][f"steps_to_{perplexity}"]) == (losses["epoch"] <= first).sum()


def test_all_its_sentences_are_there(runs: list[FinishedRun]) -> None:
    for way in decodings(("random", "top_p", "top_k"), (0.7, 1.0), USUAL.top_k, USUAL.top_p):
        lines = (runs[0].folder / f"{way.file_stem}.txt").read_text(encoding="utf-8").split("\n")
        assert len(lines) == USUAL.n_samples + 1 and lines[-1] == "", way


def test_its_rows_can_be_made_anew_from_its_folder(runs: list[FinishedRun], tmp_path: Path) -> None:
    kept = tmp_path / "runs" / runs[0]["run_id"]
    kept.mkdir(parents=True)
    shutil.copy(runs[0].folder / "run.json", kept)
    rebuild(tmp_path, {LANGUAGE_MODEL.name: LANGUAGE_MODEL})
    name = LANGUAGE_MODEL.csv_name
    assert (tmp_path / name).read_text(encoding="utf-8") == (REFERENCE / name).read_text(encoding="utf-8")
