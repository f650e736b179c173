"""Sentences as people say them every day, which the miniature has never met: ham for a model trained on it.

They and some plain spam stand in ``everyday.txt``; none of them stands in any message that the miniature learned from,
and the generator was not tried on them sentence by sentence.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import classify
from ablation.config.rows import row_config
from ablation.run.experiment import run_experiment
from ablation.run.kinds import save_result
from ablation.tasks.spam import SPAM
from demo.messages import demo_messages, write_messages
from demo.pretraining import PRETRAINING_COUNTS, PRETRAINING_SEED

SEEDS = (123, 124, 125)
BOUNDS = {1: {"ham": 0.4, "spam": 0.5}, 5: {"ham": 0.65, "spam": 0.65}}  # mean shares by row, below what was measured


@cache
def everyday(label: str) -> list[str]:
    sections = (Path(__file__).parent / "everyday.txt").read_text(encoding="utf-8").split("# ")
    (section,) = (section for section in sections if section.startswith(f"{label}\n"))
    return section.splitlines()[1:]


def bare(text: str) -> str:
    """Its words in small letters, between blanks."""
    words = " ".join(re.findall(r"\w+", text.lower()))
    return f" {words} "


def test_there_are_enough_sentences_and_all_differ() -> None:
    assert len(set(map(bare, everyday("ham")))) == len(everyday("ham")) == 80
    assert len(set(map(bare, everyday("spam")))) == len(everyday("spam")) == 20


@pytest.mark.slow
def test_none_of_them_stands_in_what_the_miniature_learned_from() -> None:
    own = demo_messages()
    further = write_messages(PRETRAINING_COUNTS, PRETRAINING_SEED, besides={text for _, text in own})
    learned = "\n".join(bare(text) for _, text in (*own, *further))
    assert [text for label in ("ham", "spam") for text in everyday(label) if bare(text) in learned] == []


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, list[Path]]]:
    """Folders of trained classifiers by row, one for each seed."""
    folder, found = tmp_path_factory.mktemp("results"), {}
    for row in BOUNDS:
        configs = [row_config(row, demo=True, seed=seed, save_model=True, results_dir=str(folder)) for seed in SEEDS]
        rows = [save_result(SPAM, run_experiment(SPAM, config))[0] for config in configs]
        found[row] = [folder / "runs" / row["run_id"] for row in rows]
    yield found


def share(model: Path, label: str, capsys: pytest.CaptureFixture[str], texts: list[str]) -> float:
    """How many of some messages ``classify.py`` gives a label."""
    assert classify.main(["--model", str(model), "--format", "jsonl", *texts]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == len(texts)
    return sum(answer["label"] == label for answer in answers) / len(texts)


@pytest.mark.slow
@pytest.mark.parametrize("row", BOUNDS)
def test_shares_that_are_called_right(
    row: int, models: dict[int, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    for label, bound in BOUNDS[row].items():
        shares = [share(model, label, capsys, everyday(label)) for model in models[row]]
        assert statistics.mean(shares) >= bound, (label, shares)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "text"),
    [("ham", "how are you"), ("spam", "You are a winner, you have been specially selected")],
)
def test_what_people_type_first(
    label: str, text: str, models: dict[int, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command of the documents, whose seed is the default."""
    assert share(models[5][0], label, capsys, [text]) == 1
    assert label == "ham" or all(share(model, label, capsys, [text]) == 1 for model in models[5])
