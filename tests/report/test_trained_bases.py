"""Bases that were trained here: questions know them by how they were trained, whatever their digests are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ablation.config.generation import LanguageModelConfig
from ablation.config.rows import row_config
from ablation.report.contents import Contents, gather
from ablation.report.findings import ONE_TRAINING, Finding
from ablation.report.groups import group_runs
from ablation.report.missing import missing_lines
from ablation.report.suggestions import Suggestions
from ablation.results.questions import Variant
from ablation.results.read import read_results
from ablation.tasks.spam import SPAM
from ablation.tasks.spam_questions import BASE_QUESTIONS, TRAINED_HERE
from tests.support.made_up_results import make_run

pytestmark = pytest.mark.usefixtures("published")

SMS, CAPTIONS = {"data": "sms"}, dict[str, Any]()
SEEDS = range(123, 129)
ON_RANDOM = "row 1 with --weights random --n_layers 3"
ON_SMS = "row 1 on a language model trained on the SMS training texts"
ON_CAPTIONS = "row 1 on a language model trained on captions"


def on_random(folder: Path, data: Path, seeds: Iterable[int] = SEEDS) -> None:
    for seed in seeds:
        make_run(folder, data, row_config(1, seed=seed, weights="random", n_layers=3), 0.75)


def on_base(
    folder: Path, data: Path, base: Mapping[str, Any], accuracy: float, digest: str, seeds: Iterable[int] = SEEDS
) -> None:
    for seed in seeds:
        config = row_config(1, seed=seed, weights="language_model", n_layers=3, weights_path="somewhere")
        make_run(folder, data, config, accuracy, foreign={"weights_digest": digest * 64}, base=json.dumps(base))


def answers(gathered: Contents) -> list[Finding]:
    return [finding for finding in gathered.findings if finding.question.family == TRAINED_HERE]


def test_each_base_is_compared_with_random_weights_of_its_shape(tmp_path: Path, data: Path) -> None:
    on_random(tmp_path, data)
    on_base(tmp_path, data, SMS, 0.76, "a")
    on_base(tmp_path, data, CAPTIONS, 0.95, "b")
    gathered = gather(SPAM, tmp_path, data)
    sms, captions = answers(gathered)
    assert sms.question.name == f"{ON_RANDOM} and {ON_SMS}"
    assert captions.verdict.startswith(f"{ON_CAPTIONS} is better than {ON_RANDOM} by ")
    for finding, difference in ((sms, 0.01), (captions, 0.2)):
        assert finding.seeds == 6 and finding.p is not None and ONE_TRAINING in finding.notes
        assert finding.difference == pytest.approx(difference, abs=0.06)
    assert captions.p is not None and captions.corrected == pytest.approx(min(1, 2 * captions.p))
    names = {row.name for row in gathered.rows}
    as_settings = "1 with --weights language_model --n_layers 3, trained on"
    assert names == {
        "1 with --weights random --n_layers 3",
        f"{as_settings} the SMS training texts, weights aaaaaaaa",
        f"{as_settings} captions, weights bbbbbbbb",
    }


def test_another_training_answers_nothing(tmp_path: Path, data: Path) -> None:
    """Nor do rows of an older version, which do not say what their base is."""
    on_random(tmp_path, data, [123])
    on_base(tmp_path, data, {"data": "sms", "seed": 124}, 0.95, "a", [123])
    on_base(tmp_path, data, {"data_digest": "0" * 64}, 0.95, "b", [123])
    config = row_config(1, weights="language_model", n_layers=3)
    for base in (None, "", "[]", "{"):
        make_run(tmp_path, data, config, 0.95, foreign={"weights_digest": "c" * 64}, base=base)
    gathered = gather(SPAM, tmp_path, data)
    found = [finding.method for finding in answers(gathered)]
    assert found == [f"no results of {ON_SMS}", f"no results of {ON_CAPTIONS}"]
    assert "1 with --weights language_model --n_layers 3, weights cccccccc" in {row.name for row in gathered.rows}


def test_what_was_not_run_has_its_commands(tmp_path: Path, data: Path) -> None:
    on_random(tmp_path, data, [123])
    folder = f"--results_dir {tmp_path}"
    found = [finding.notes[-1].split("; ") for finding in answers(gather(SPAM, tmp_path, data))]
    sweep = f"python sweep.py --rows 1 --seeds 123-132 --weights_path {tmp_path}/runs/RUN {folder}"
    assert found == [
        [f"python generation_experiments.py {flags}--save_model --n_samples 0 {folder}", sweep]
        for flags in ("--data sms ", "")
    ]
    sides = dict.fromkeys(side for question in BASE_QUESTIONS for side in question.sides)
    everything = Suggestions().sweep(sides, TRAINED_HERE)
    assert everything.split("; ") == [
        "python sweep.py --rows 1 --seeds 123-132 --weights random --n_layers 3",
        "python generation_experiments.py --data sms --save_model --n_samples 0",
        "python sweep.py --rows 1 --seeds 123-132 --weights_path results/runs/RUN",
        "python generation_experiments.py --save_model --n_samples 0",
        "python sweep.py --rows 1 --seeds 123-132 --weights_path results/runs/RUN",
    ]


def test_the_list_of_what_is_missing_tells_the_bases_apart(tmp_path: Path, data: Path) -> None:
    on_base(tmp_path, data, SMS, 0.9, "a")
    on_base(tmp_path, data, CAPTIONS, 0.9, "b", [123])
    groups, _ = group_runs(read_results(tmp_path, SPAM)[0])
    lines = dict(missing_lines(SPAM, groups, BASE_QUESTIONS, (), Suggestions(), chapter=True))
    about_rows = [what for what in lines if "baseline" not in what]
    assert about_rows == [
        "no results: row 1 with --weights random --n_layers 3",
        "fewer than 6 seeds: row 1 on a language model trained on captions",
    ]


def test_of_two_trainings_alike_the_one_with_more_seeds_counts(tmp_path: Path, data: Path) -> None:
    on_random(tmp_path, data, [123, 124])
    for digest, seeds in (("a", [123]), ("b", [123, 124]), ("c", [124])):
        on_base(tmp_path, data, SMS, 0.95, digest, seeds)
    assert answers(gather(SPAM, tmp_path, data))[0].seeds == 2


def test_the_bases_are_three_blocks_of_gpt_2_small() -> None:
    """The shape of a question's rows is that of the language models that its commands train."""
    for question in BASE_QUESTIONS:
        side = question.second
        assert isinstance(side, Variant) and side.base is not None
        shape = LanguageModelConfig(**side.base).shape
        assert row_config(int(side.row), **side.settings).shape == shape
