"""Accuracy against the number of training messages, on made-up runs whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ablation.baselines.record import identity, settings_hash
from ablation.baselines.registry import BASELINES
from ablation.config.baseline import BaselineConfig
from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import row_config
from ablation.report import pictures
from ablation.report.contents import Contents, gather
from ablation.report.groups import Group, configuration_name
from ablation.report.learning_curves import PICTURE, SHARE, best_of, needed
from ablation.report.markdown import report_markdown
from ablation.report.page import report_page
from ablation.report.pictures import draw_pictures
from ablation.report.results_blocks import brief_block
from ablation.results.questions import BEST_BASELINE
from ablation.results.read import FinishedRun
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import make_run, publish

pytestmark = pytest.mark.usefixtures("published")

SEEDS = range(123, 126)
TRAINED: Mapping[int | None, float] = {50: 0.6, 200: 0.8, 500: 0.93, None: 0.95}
FITTED: Mapping[int | None, float] = {50: 0.75, 200: 0.96, None: 0.97}


def add_baseline(results: Path, data: Path, count: int | None, accuracy: float, name: str = "B3") -> None:
    """Like a run, but with the columns alone that a baseline has."""
    config = ExperimentConfig(n_train=count)
    known = identity(name, BASELINES[name], BaselineConfig(n_train=count))
    unknown: dict[str, Any] = dict.fromkeys(("seed", "order_seed", "model_size", "learning_rate"))
    digest = settings_hash(known)
    run_id = f"{name}-{digest[:8]}"
    make_run(results, data, config, accuracy, row=name, config_hash=digest, run_id=run_id, **unknown)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Contents, Contents]:
    """Of the same results without runs on fewer messages, and with them."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, data)
        add(results, data, None, TRAINED[None])
        add_baseline(results, data, None, FITTED[None])
        before = gather(SPAM, results, data)
        for count, accuracy in TRAINED.items():
            if count is not None:
                add(results, data, count, accuracy)
        for count, accuracy in FITTED.items():
            if count is not None:
                add_baseline(results, data, count, accuracy)
        return before, gather(SPAM, results, data)


def add(results: Path, data: Path, count: int | None, accuracy: float) -> None:
    for seed in SEEDS:
        make_run(results, data, row_config(1, seed=seed, n_train=count), accuracy)


@pytest.fixture(scope="module")
def gathered(both: tuple[Contents, Contents]) -> Contents:
    return both[1]


def test_it_is_shown_from_two_numbers_on(both: tuple[Contents, Contents]) -> None:
    before, after = both
    assert not before.curves and "How many training messages" not in report_markdown(before, [])
    assert 'id="training-size"' not in report_page(before, [])
    assert [(curve.label, [point.examples for point in curve.points]) for curve in after.curves.curves] == [
        ("row 1", [50, 200, 500, 1045]), ("B3 character (2–5) TF-IDF", [50, 200, 1045]),
    ]  # fmt: skip
    for written in (report_page(after, []), report_markdown(after, [])):
        assert "How many training messages" in written and after.curves.answer in written
        assert "Test accuracy by training messages" in written or "| Training messages |" in written


def test_how_few_suffice_is_said_with_its_chance(gathered: Contents) -> None:
    row, baseline = gathered.curves.curves
    metric = SPAM.headline
    best = best_of(SPAM, [row, baseline])
    target = SHARE * best.last.figures(metric).mean
    assert best is baseline
    for curve in (row, baseline):
        found = needed(curve, metric, target)
        there = [point for point in curve.points if point.figures(metric).mean >= target]
        assert found.mean == there[0].examples and found.below < found.mean
        low, high = zip(*[point.figures(metric).interval or (0, 1) for point in curve.points], strict=True)
        assert found.whole == next((p.examples for p, x in zip(curve.points, low, strict=True) if x >= target), None)
        assert found.below == max(p.examples for p, x in zip(curve.points, high, strict=True) if x < target)
    assert needed(row, metric, target).mean == 500 and needed(baseline, metric, target).mean == 200
    assert needed(row, metric, 0.999).mean is None
    assert gathered.curves.answer.startswith(f"To answer {100 * target:.1f} % of the test messages correctly, which is")
    assert "95 % of what B3 character (2–5) TF-IDF gets from 1,045" in gathered.curves.answer
    assert "row 1 needs about 500 (more than 200" in gathered.curves.answer
    assert gathered.curves.table.lines[2][0] == "500" and gathered.curves.table.lines[2][2] == "–"
    assert gathered.curves.table.lines[-1][0] == f"{100 * target:.1f} % with"


def test_runs_on_fewer_are_mixed_into_nothing(both: tuple[Contents, Contents]) -> None:
    before, after = both
    names = [row.name for row in after.rows]
    assert names == [
        "1", "B3", "B3 with --n_train 200", "B3 with --n_train 50",
        "1 with --n_train 500", "1 with --n_train 200", "1 with --n_train 50",
    ]  # fmt: skip
    assert after.answer == before.answer and after.claims == before.claims and after.findings == before.findings
    asked = next(found for found in after.findings if found.question.sides == (BEST_BASELINE, "1"))
    assert asked.seeds == len(SEEDS) and "the baseline is B3" in asked.notes
    assert [row.name for row in after.on_all_examples().rows] == ["1", "B3"]
    assert brief_block(after, "") == brief_block(before, "")


@pytest.mark.parametrize("own", [{}, {"weights": "random"}, {"weights": "random", "padding_side": "left"}])
@pytest.mark.parametrize("name", ["B5", "1"])
def test_a_name_without_the_number_of_messages_is_that_of_the_same_on_all(name: str, own: dict[str, Any]) -> None:
    def group(**settings: Any) -> Group:
        fields = {"row": name if name.startswith("B") else ""}
        run = FinishedRun(SPAM, settings, (1, None), {}, {}, 0, fields, Path(), {})
        return Group("", configuration_name(run), {run.seeds: run})

    few, whole = group(n_train=50, **own), group(**own)
    assert few.whole_name == whole.whole_name == whole.name and "n_train" in few.name


def test_what_is_new_depends_on_what_was_trained_on(gathered: Contents) -> None:
    likeness = gathered.likeness
    assert likeness is not None
    shares = {row.name: row.unseen["verbatim"].total for row in gathered.rows}
    assert shares["1"] < shares["1 with --n_train 200"] <= shares["1 with --n_train 50"]
    assert shares["B3 with --n_train 50"] == shares["1 with --n_train 50"]
    whole = likeness.of_first(1045)
    assert all((whole.in_training[sense] == known).all() for sense, known in likeness.in_training.items())


@pytest.mark.slow
def test_the_picture_stands_in_its_own_part(
    tmp_path: Path, gathered: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {PICTURE: pictures.PICTURES[PICTURE], "accuracies": pictures.PICTURES["accuracies"]}
    monkeypatch.setattr(pictures, "PICTURES", own)
    drawn = draw_pictures(gathered, tmp_path)
    assert [name for name, _, _ in drawn] == [PICTURE, "accuracies"]
    page = report_page(gathered, drawn)
    section = page[page.index('id="training-size"') :]
    assert f'<figure id="{PICTURE}">' in section and page.count(f'<figure id="{PICTURE}">') == 1
    assert f'<figure id="{PICTURE}">' not in page[: page.index('id="table"')]
    svg = (tmp_path / f"{PICTURE}.svg").read_text()
    assert "training messages (logarithmic scale)" in svg and "1,000" in svg and "(2–5) TF-IDF" in svg
    assert "n_train" not in (tmp_path / "accuracies.svg").read_text()
