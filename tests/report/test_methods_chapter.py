"""The chapter on ways to fine-tune, on made-up runs whose truth is known."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import sweep
from ablation.config.flags import EXPERIMENTS
from ablation.config.methods import methods
from ablation.config.rows import ROW_SETS, row_config
from ablation.listener import Count
from ablation.report import pictures, significance
from ablation.report.contents import Contents, gather
from ablation.report.documents import RATES
from ablation.report.findings import Finding, row_key
from ablation.report.judgement import FAILED, HELD, NOT_RUN, UNTOLD
from ablation.report.markdown import report_markdown
from ablation.report.methods_chapter import CHAPTER_PICTURES, Way, cost_table, forgetting_table, ranks_table
from ablation.report.methods_pictures import METHOD_PICTURES
from ablation.report.missing import missing_lines
from ablation.report.page import report_page
from ablation.report.pictures import draw_pictures
from ablation.report.placement import Box, place_labels
from ablation.report.scatter import SIZE, TIME, TIMES_AS_MUCH, Across
from ablation.report.suggestions import Suggestions
from ablation.results.published import published_figures, published_table
from ablation.results.questions import Side, Variant, row_and_settings
from ablation.results.read import FinishedRun, row_settings
from ablation.tasks.spam import SPAM
from ablation.tasks.spam_claims import RANKS
from ablation.tasks.spam_questions import DEMO_QUESTIONS, METHOD_QUESTIONS, METHODS, QUESTIONS
from tests.support.made_up_results import make_run, publish

pytestmark = pytest.mark.usefixtures("published")

SEEDS = range(123, 129)
PUBLISHED: Mapping[int, float] = {1: 0.95, 5: 0.975, 11: 0.97}
OWN: Mapping[int, float] = {20: 0.96, 21: 0.975, 22: 0.9, 31: 0.7}
TRAINED = {1: 7_090_946, 5: 124_441_346, 11: 2_666_528, 20: 296_450, 21: 2_360_834, 22: 2_445_314, 31: 102_914}
OVER_RANK = {"lora_scaling": "alpha_over_rank"}


def add(results: Path, data: Path, rows: Mapping[int, float], **settings: Any) -> None:
    for row, accuracy in rows.items():
        for seed in SEEDS:
            columns: dict[str, Any] = {
                "trainable_parameters": TRAINED.get(row, 33_000),
                "total_parameters": 124_441_346,
            }
            make_run(results, data, row_config(row, seed=seed, **settings), accuracy, **columns)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Contents, Contents]:
    """Of the same results before there were methods in them, and with them."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, data)
        add(results, data, PUBLISHED)
        before = gather(SPAM, results, data)
        add(results, data, OWN)
        add(results, data, {21: 0.975}, **OVER_RANK)
        add(results, data, {20: 0.9}, trainable_token_pos="flexible")
        add(results, data, {11: 0.97}, lora_rank=4)
        add(results, data, {11: 0.7}, lora_rank=64)
        return before, gather(SPAM, results, data)


@pytest.fixture(scope="module")
def gathered(both: tuple[Contents, Contents]) -> Contents:
    return both[1]


def answer(contents: Contents, first: Side, second: Side) -> Finding:
    return next(f for f in contents.findings if f.question.sides == (first, second) and f.question.family == METHODS)


# ---- where it stands, and what of ------------------------------------------------------------------------------------


def test_it_begins_with_two_runs_of_methods(tmp_path: Path, data: Path, both: tuple[Contents, Contents]) -> None:
    before, after = both
    assert not before.chapter and METHODS not in {found.question.family for found in before.findings}
    assert 'id="methods"' not in report_page(before, []) and "Ways to fine-tune" not in report_markdown(before, [])
    make_run(tmp_path, data, row_config(5), 0.97)
    make_run(tmp_path, data, row_config(20), 0.97)
    assert not gather(SPAM, tmp_path, data).chapter
    make_run(tmp_path, data, row_config(20, learning_rate=1e-3), 0.97)
    assert not gather(SPAM, tmp_path, data).chapter  # one way, at two rates
    make_run(tmp_path, data, row_config(31), 0.97)
    assert gather(SPAM, tmp_path, data).chapter
    assert 'id="methods"' in report_page(after, [])


def test_it_compares_like_with_like(gathered: Contents) -> None:
    """What reads another position stands in the table alone."""
    names = [way.row.name for way in gathered.chapter.ways]
    assert {"1", "5", "11", "20", "21", "22", "31", "21 with --lora_scaling alpha_over_rank"} < set(names)
    assert not any("flexible" in name for name in names)
    assert gathered.chapter.notes == ["1 more on another model, data, readout or training are in the table alone."]
    labels = {way.row.name: way.label for way in gathered.chapter.ways}
    assert labels["1"] == "1 last block" and labels["20"] == "20 LoRA, query+value" and labels["22"] == "22 DoRA"
    assert labels["21 with --lora_scaling alpha_over_rank"] == "(21) LoRA, alpha over rank"
    assert labels["11 with --lora_rank 4"] == "(11) lora rank 4" and labels["31"] == "31 biases"


@pytest.fixture
def own_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others take seconds."""
    monkeypatch.setattr(pictures, "PICTURES", METHOD_PICTURES)


@pytest.mark.slow
@pytest.mark.usefixtures("own_pictures")
def test_the_page_has_its_pictures_tables_and_questions(tmp_path: Path, gathered: Contents) -> None:
    own_pictures = draw_pictures(gathered, tmp_path)
    page = report_page(gathered, own_pictures)
    chapter = page[page.index('id="methods"') : page.index('id="claims"')]
    text = report_markdown(gathered, [(f"{name}.png", caption) for name, caption, _ in own_pictures])
    own = text[text.index("## Ways to fine-tune") : text.index("## The published claims")]
    drawn = [name for name in CHAPTER_PICTURES if (tmp_path / f"{name}.svg").exists()]
    assert drawn == ["methods_size", "methods_time"]  # nothing was forgotten, or nobody measured it
    for name in drawn:
        assert f'<figure id="{name}">' in chapter and page.count(f'<figure id="{name}">') == 1
        assert f"({name}.png)" in own and text.count(f"({name}.png)") == 1
    for written in (chapter, own):
        assert "What each costs" in written and "296,450" in written and "Does DoRA beat LoRA" in written
    svg = (tmp_path / "methods_size.svg").read_text()
    assert "trainable parameters" in svg and "22 DoRA" in svg and "100M" in svg


def test_labels_keep_clear_of_what_is_taken() -> None:
    point, size, frame = (50.0, 50.0), (20.0, 8.0), Box(0, 0, 100, 100)
    (free,) = place_labels([point], [size], frame, 6) or []
    (box,) = place_labels([point], [size], frame, 6, taken=[free]) or []
    assert not box.overlaps(free) and frame.holds(box)
    assert place_labels([point], [size], frame, 6, taken=[frame]) is None


# ---- costs -----------------------------------------------------------------------------------------------------------


def with_columns(way: Way, uses: Mapping[str, Mapping[str, Count]] | None = None, **columns: str) -> Way:
    runs: dict[Any, Any] = {
        seeds: dataclasses.replace(run, fields={**run.fields, **columns}) for seeds, run in way.group.runs.items()
    }
    return dataclasses.replace(way, group=dataclasses.replace(way.group, runs=runs))


def test_costs_are_told_as_far_as_runs_know_them(gathered: Contents) -> None:
    ways = {way.row.name: way for way in gathered.chapter.ways}
    plain = cost_table(SPAM, list(ways.values()))
    assert tuple(plain.header) == ("Row", "Test %", "Trained", "Of the model %", "Minutes")
    line = dict(zip(plain.header, next(line for line in plain.lines if line[0].startswith("20")), strict=True))
    assert (line["Trained"], line["Of the model %"]) == ("296,450", "0.238")
    known = with_columns(
        ways["20"], added_parameters="294912", added_multiply_adds="0", unmerged_multiply_adds="294912", merges="True",
        added_positions="0", optimizer_bytes="2371600",
    )  # fmt: skip
    table = cost_table(SPAM, [known, ways["22"]])
    first, second = (dict(zip(table.header, line, strict=True)) for line in table.lines)
    assert (first["Optimizer MB"], second["Optimizer MB"]) == ("2.37", "–")
    assert [first[name] for name in ("Added", "Merges", "Merged +", "Unmerged +")] == ["294,912", "yes", "0", "294,912"]
    assert {second[name] for name in ("Added", "Merges", "Merged +", "Unmerged +")} == {"–"}


def test_each_rank_of_one_training_and_what_was_forgotten(gathered: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = [way for way in gathered.chapter.ways if way.row.name in ("20", "22")]
    assert not ranks_table(SPAM, ways).lines and not forgetting_table(SPAM, ways).lines
    uses = {f"rank {rank}": {"test": Count(right, 300)} for rank, right in ((1, 270), (2, 285))}
    monkeypatch.setattr(FinishedRun, "uses", lambda run: uses if run["row"] == "22" else {})
    assert ranks_table(SPAM, ways).lines == [
        ("22 DoRA", "rank 1", "6", "90.00 ± 0.00"),
        ("22 DoRA", "rank 2", "6", "95.00 ± 0.00"),
    ]
    forgot = with_columns(ways[0], perplexity_before="20.0", perplexity_after="50.0")
    (line,) = forgetting_table(SPAM, [forgot, ways[1]]).lines
    alike = with_columns(ways[1], perplexity_before="20.000001", perplexity_after="30.0")
    other = with_columns(ways[1], perplexity_before="21.0", perplexity_after="30.0")
    notes = [forgetting_table(SPAM, [forgot, way]).note for way in (ways[1], alike, other)]
    assert ["different texts" in note for note in notes] == [False, False, True]
    assert (line[0], *line[2:]) == ("20 LoRA, query+value", "20", "50", "2.5")


@pytest.mark.slow
@pytest.mark.usefixtures("own_pictures")
def test_what_was_forgotten_is_drawn(tmp_path: Path, gathered: Contents) -> None:
    ways = [with_columns(way, perplexity_before="20.0", perplexity_after="50.0") for way in gathered.chapter.ways[:2]]
    contents = dataclasses.replace(gathered, chapter=dataclasses.replace(gathered.chapter, ways=ways))
    names = [name for name, _, _ in draw_pictures(contents, tmp_path)]
    assert names[-1] == "methods_forgetting"
    assert "perplexity of held-out text" in (tmp_path / "methods_forgetting.svg").read_text()


# ---- questions -------------------------------------------------------------------------------------------------------


def test_the_questions_are_the_declared_ones() -> None:
    asked = [question.sides for question in METHOD_QUESTIONS]
    every = [str(row) for row in (11, *range(20, 33))]
    for row in every:
        assert ("5", row) in asked and (row == "21" or ("21", row) in asked)
    variants = [side for sides in asked for side in sides if isinstance(side, Variant)]
    assert Variant("20", {"lora_targets": "query+key"}) in variants
    assert len(asked) == len(set(map(str, asked))) == 33
    assert [q for q in QUESTIONS if q.family == METHODS] == [q for q in DEMO_QUESTIONS if q.family == METHODS]
    for question in METHOD_QUESTIONS:
        first, second = (row_key(SPAM, METHODS, side) for side in question.sides)
        assert first != second


def test_dora_is_compared_with_what_differs_in_the_method_alone() -> None:
    (sides,) = (question.sides for question in METHOD_QUESTIONS if question.text.startswith("Does DoRA beat"))
    lora, dora = (row_settings(SPAM, int(row), **own) for row, own in map(row_and_settings, sides))
    assert {name for name in lora | dora if lora.get(name) != dora.get(name)} == {"method"}


def test_verdicts_are_corrected_within_the_chapter(gathered: Contents) -> None:
    own = [found for found in gathered.findings if found.question.family == METHODS]
    assert len(own) == len(METHOD_QUESTIONS)
    holm = significance.holm([1.0 if found.p is None else found.p for found in own])
    assert [found.corrected for found in own] == [
        None if found.p is None else pytest.approx(p) for found, p in zip(own, holm, strict=True)
    ]
    assert "row 5 is better than row 31" in answer(gathered, "5", "31").verdict
    beaten = answer(gathered, Variant("21", OVER_RANK), "22").verdict
    assert beaten.startswith("row 21 with --lora_scaling alpha_over_rank is better than row 22 by")
    assert not answer(gathered, "5", "29").verdict


def test_no_verdict_on_the_published_rows_moves(both: tuple[Contents, Contents]) -> None:
    before, after = both
    assert [found for found in after.findings if found.question.family != METHODS] == before.findings
    published = [[found for found in side.claims if found.id not in ("S31", "S33")] for side in both]
    assert published[0] == published[1] and len(published[0]) == 32


def test_the_suggested_commands_make_what_is_missing() -> None:
    suggest = Suggestions()
    for question in METHOD_QUESTIONS:
        for side in question.sides:
            words = shlex.split(suggest.sweep([side], METHODS))
            assert words[:2] == ["python", "sweep.py"]
            given = sweep.make_parser().parse_args(words[2:])
            row, settings = row_and_settings(side)
            assert given.rows == [row]
            config, _ = EXPERIMENTS.configure({name: getattr(given, name) for name in settings}, row)
            assert config == row_config(int(row), **settings)
    both = suggest.sweep(["5", "20", Variant("20", {"lora_targets": "query+key"})], METHODS)
    assert both == (
        "python sweep.py --rows 5,20 --seeds 123-132;"
        " python sweep.py --rows 20 --seeds 123-132 --lora_targets query+key"
    )


def test_what_is_missing_is_listed_once(gathered: Contents) -> None:
    listed = [what for what, _ in gathered.missing]
    assert "no results: rows 23, 24, 25, 26, 27, 28, 29, 30, 32, 33" in listed
    assert "no results: row 20 with --lora_targets query+key" in listed
    nothing = missing_lines(SPAM, [], QUESTIONS, SPAM.claims(), Suggestions(), chapter=False)
    commands = dict(nothing)
    assert commands["no results: rows 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33"] == (
        "python sweep.py --rows 20-33 --seeds 123-132"
    )
    assert not any(" with --" in what for what in commands)


# ---- claims, rows ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_claim_on_any_rank_holds_for_each_rank_or_not_at_all(gathered: Contents, tmp_path: Path, data: Path) -> None:
    (found,) = (found for found in gathered.claims if found.id == "S33")
    assert RANKS == (1, 4, 64) and found.status == FAILED  # rank 64 is far off here
    assert "row 11 with --lora_rank 1: not run; row 11 with --lora_rank 4: " in found.how
    assert f"row 11 with --lora_rank 64: {FAILED}, the whole interval lies outside 2 points" in found.how
    assert found.command.startswith("python sweep.py --rows 11 --seeds 123-132 --lora_rank 1 --results_dir ")
    assert (found.first, found.own_first.count(" / ")) == ("LoRA at any rank", 2)
    add(tmp_path, data, {11: 0.999})
    statuses = []
    for rank in RANKS:
        add(tmp_path, data, {11: 0.999}, lora_rank=rank)
        statuses.append(next(f.status for f in gather(SPAM, tmp_path, data).claims if f.id == "S33"))
    assert statuses == [UNTOLD, UNTOLD, HELD]


@pytest.mark.slow
def test_row_33_is_told_beside_its_published_figures(gathered: Contents, tmp_path: Path, data: Path) -> None:
    assert next(found.status for found in gathered.claims if found.id == "S31") == NOT_RUN
    add(tmp_path, data, {1: 0.75, 33: 0.98})
    contents = gather(SPAM, tmp_path, data)
    assert next(found.status for found in contents.claims if found.id == "S31") == HELD
    row = next(row for row in contents.rows if row.name == "33")
    assert row.figures["test_acc"].published == pytest.approx(0.98)
    assert "100.00 / 96.64 / 98.00; another edition's own run" in report_markdown(contents, [])


def test_the_rows_beside_the_table_have_one_published_line_and_a_source_for_each_rate() -> None:
    assert {int(row) for row in published_figures()} == {*ROW_SETS["all"], 33}
    assert "33" not in published_table()
    assert set(RATES) == set(methods())


@pytest.mark.parametrize(
    ("across", "low", "high", "names"),
    [
        (TIME, 0.5, 5000, "1 s, 10 s, 1 min, 10 min, 1 h"),
        (TIME, 150, 420, "3 min, 4 min, 5 min, 7 min"),  # none of the usual places lies between
        (SIZE, 900, 3e8, "1k, 10k, 100k, 1M, 10M, 100M"),
        (SIZE, 3e5, 1.2e7, "300k, 500k, 1M, 2M, 5M, 10M"),
        (TIMES_AS_MUCH, 0.95, 2.1, "1, 1.2, 1.5, 2"),
    ],
)
def test_axes_have_names_that_do_not_touch(across: Across, low: float, high: float, names: str) -> None:
    assert ", ".join(name for _, name in across.named(low, high)) == names
