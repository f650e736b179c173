"""The page of language models: what stands beside the published figures, what is compared, what is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

import report
from ablation.config.decoding import decodings
from ablation.config.generation import LanguageModelConfig
from ablation.config.generation_rows import GENERATION_ROWS
from ablation.listener import Listener
from ablation.report.judgement import FAILED, NOT_RUN
from ablation.report.language_answer import language_answer
from ablation.report.language_chapter import LanguageContents, gather_language
from ablation.report.language_comparisons import by_size, comparisons
from ablation.report.language_corpus import PUBLISHED_BETWEEN, Texts, between_table, texts_of
from ablation.report.language_curves import curves, smoothed
from ablation.report.language_page import language_html, language_markdown, write_language_page
from ablation.report.language_pictures import against_setting, forward_backward
from ablation.report.language_runs import Configuration, Estimated, over_seeds
from ablation.report.language_sections import CellTable, Marked
from ablation.report.language_tables import figure_text
from ablation.report.language_verdicts import claims_section
from ablation.results.read import read_results
from ablation.tasks.language_model import LANGUAGE_MODEL
from tests.support.made_up_language_results import MadeUpLanguageTask, make_language_run

WAYS = decodings(["random", "top_p"], [0.7, 1.0], 40, 0.9)
BLEU = dict(zip(WAYS, [(0.8, 0.487), (0.567, 0.516), (0.867, 0.421), (0.686, 0.514)], strict=True))
NOWHERE = Path("nowhere")


class Published(MadeUpLanguageTask):
    figures: Mapping[str, Mapping[str, str]] = {
        "1": {"test_perplexity": "15.31", "forward_bleu random 0.7": "0.800", "forward_bleu random 1.0": "0.700",
              "forward_bleu top_p 0.7": "0.867"},
        "2": {"test_perplexity": "13.09", "forward_bleu random 0.7": "0.788"},
    }


TASK = Published()


def row(number: int, **changes: Any) -> LanguageModelConfig:
    return LanguageModelConfig(**{**GENERATION_ROWS[number], **changes})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Row 1 with two seeds, rows 2, 3 and 10 with one, all with as many sentences as are published; and a variant of
    row 1 that said fewer."""
    folder = tmp_path_factory.mktemp("spoken")
    for seed, perplexity in ((123, 15.2), (124, 15.4)):
        make_language_run(folder, TASK, row(1, seed=seed), perplexity, BLEU, samples=5000)
    for number, perplexity in ((2, 13.2), (3, 15.6), (10, 15.5)):
        make_language_run(folder, TASK, row(number), perplexity, BLEU, samples=5000)
    make_language_run(folder, TASK, row(1, num_epochs=3), 16.0, {WAYS[0]: (0.5, 0.4)}, samples=7)
    return folder


@pytest.fixture(scope="module")
def contents(results: Path) -> LanguageContents:
    return gather_language(TASK, results, NOWHERE)


def table(contents: LanguageContents, title: str) -> CellTable:
    return next(one for section in contents.sections for one in section.tables if one.title == title)


def lines_of(found: CellTable, name: str) -> list[dict[str, str]]:
    lines = [dict(zip(found.header, map(str, line), strict=True)) for line in found.lines]
    return [line for line in lines if line["Row"] == name]


def of_row(contents: LanguageContents, name: str) -> Configuration:
    return next(one for one in contents.configurations if one.name == name)


def test_perplexity_stands_beside_the_published_one_with_an_interval_over_seeds(contents: LanguageContents) -> None:
    found = table(contents, "Perplexity")
    (one,), (two,) = lines_of(found, "1 scratch-ppl"), lines_of(found, "2 finetune-ppl")
    place = list(found.header).index("Test")
    assert found.header[place + 1] == "Published"
    assert one["Test"] == "15.30 (14.03–16.57)"  # Student's t of one degree of freedom: 12.706 times 0.1
    assert one["Seeds"] == "2" and one["Published"] == "15.31, inside"
    assert two["Test"] == "13.20" and two["Published"] == "13.09"  # one seed: nothing to hold it against
    assert "Of one seed there is no interval" in found.note


@pytest.mark.parametrize(
    ("published", "beyond"), [(0.5, 0.0), (0.6, 0.0), (0.65, 0.05), (0.3, -0.1)], ids=str
)  # fmt: skip
def test_how_far_a_published_figure_lies_outside(published: float, beyond: float) -> None:
    assert Estimated((0.5,), (0.4, 0.6)).beyond(published) == pytest.approx(beyond)
    assert Estimated((0.5,)).beyond(published) is None and over_seeds([0.5]) is None


def test_bleu_of_one_seed_has_the_interval_over_its_sentences(contents: LanguageContents) -> None:
    lines = lines_of(table(contents, "BLEU by way of decoding"), "2 finetune-ppl")
    assert [line["Decoding"] for line in lines] == [way.describe() for way in WAYS]
    assert lines[0]["Forward"] == "0.800 (0.796–0.804)" and lines[0]["Published"].startswith("0.788, 0.008 below")
    assert lines[0]["Harmonic"] == "0.605"  # no mean over sentences


def test_nothing_published_stands_beside_another_number_of_sentences_or_another_cut(contents: LanguageContents) -> None:
    one = of_row(contents, "1")
    assert one.published_figure("forward_bleu", WAYS[0]) == 0.8
    assert one.published_figure("forward_bleu", WAYS[1]) == 0.7  # the table says 1.0
    assert one.published_figure("backward_bleu", WAYS[0]) is None
    assert one.published_figure("forward_bleu", WAYS[2]) == 0.867
    cut = dataclasses.replace(WAYS[2], top_p=0.5)
    trainings = tuple(dataclasses.replace(each, ways={**each.ways, cut: each.ways[WAYS[2]]}) for each in one.trainings)
    other = dataclasses.replace(one, trainings=trainings)  # which says as many sentences with another cut
    assert other.sentences(cut) == other.sentences(WAYS[2]) and other.published_figure("forward_bleu", cut) is None
    fewer = dataclasses.replace(of_row(contents, "1 with --num_epochs 3"), published=Published.figures["1"])
    assert fewer.published_figure("forward_bleu", WAYS[0]) is None and fewer.published_figure("test_perplexity")


def test_the_answer_is_chosen_on_validation_and_stands_beside_row_one(contents: LanguageContents) -> None:
    text = " ".join(contents.answer)
    assert text.startswith("GPT-2 was trained as a language model on 30 sentences: 6 runs of 5 configurations.")
    assert "Row 2 finetune-ppl, the lowest on validation, has a test perplexity of 13.20; published: 13.09" in text
    assert "Row 1 scratch-ppl has 15.30 (14.03–16.57); published: 15.31, inside our 95 % interval" in text
    assert "with top_p 0.9 at temperature 0.7, and the most of what people say (backward BLEU) with random at" in text


def test_the_answer_compares_nothing_across_sentences(contents: LanguageContents) -> None:
    one, two = of_row(contents, "1"), of_row(contents, "2")
    run = two.group.first
    elsewhere = dataclasses.replace(run, fields={**run.fields, "data_digest": "x"})
    group = dataclasses.replace(two.group, runs={run.seeds: elsewhere})
    text = " ".join(language_answer([one, dataclasses.replace(two, group=group)]))
    assert "Compared are those on the same sentences; 1 configuration on others stands in the tables alone." in text
    assert "Row 1 scratch-ppl has a test perplexity of 15.30" in text and "2 finetune-ppl" not in text


def test_compared_is_what_differs_in_one_setting(contents: LanguageContents) -> None:
    found = {one.name: [value for value, _ in one.sides] for one in comparisons(contents.configurations)}
    assert found["weights_1"] == ["random", "pretrained"] and found["select_by_1"] == ["perplexity", "bleu"]
    assert found["n_heads_1"] == ["1", "12"]  # by size, not by row
    assert len(found) == 4  # and the two lengths of training


def xs(line: Line2D) -> list[float]:
    return np.asarray(line.get_xdata()).tolist()


def ys(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata()).tolist()


def test_settings_stand_by_size_and_figures_with_all_their_digits(contents: LanguageContents) -> None:
    one = contents.configurations[0]
    sides = [(value, one) for value in ("0.001", "all 12", "5e-05", "12", "3")]
    assert [value for value, _ in sorted(sides, key=by_size)] == ["5e-05", "0.001", "3", "12", "all 12"]
    assert figure_text(Estimated((15.0,)), 2) == "15.00" and figure_text(None, 2) == "–"


def test_curves_share_axes_and_mark_the_lowest_loss_and_the_best_bleu(contents: LanguageContents) -> None:
    compared = next(one for one in comparisons(contents.configurations) if one.setting == "select_by")
    drawn = curves(compared)
    assert drawn is not None
    losses, bleu = drawn[0].axes
    stars = [line for line in losses.lines if line.get_marker() == "*" and len(xs(line))]
    assert [xs(line)[0] for line in stars] == [60, 60, 60]  # the third of four epochs: two seeds, and row 3
    (star,) = (line for line in bleu.lines if line.get_marker() == "*")
    assert (xs(star)[0], ys(star)[0]) == (80, pytest.approx(0.48))
    (ring,) = (line for line in bleu.lines if line.get_markersize() == 10)
    assert xs(ring)[0] == 60  # what was kept is another epoch than the best
    assert bleu.get_shared_x_axes().joined(bleu, losses)


def test_smoothing_leaves_a_jump_between_epochs_as_it_is() -> None:
    steps = np.arange(200)
    losses = pd.DataFrame({"epoch": steps // 100 + 1, "step": steps, "train_loss": np.where(steps < 100, 1.0, 2.0)})
    smooth = smoothed(losses)
    assert len(smooth) == 40 and set(smooth["train_loss"]) == {1.0, 2.0}


def test_pictures_of_settings_and_of_quality_against_diversity(contents: LanguageContents) -> None:
    compared = next(one for one in comparisons(contents.configurations) if one.setting == "n_heads")
    drawn = against_setting(compared)
    assert drawn is not None and "random at temperature 0.7" in drawn[1] and "diamonds: as published" in drawn[1]
    assert [text.get_text() for text in drawn[0].axes[-1].get_xticklabels()] == ["1", "12"]
    drawn = forward_backward(contents.configurations, None)
    assert drawn is not None
    joined = [line for line in drawn[0].axes[0].lines if len(xs(line)) == 2]
    assert len(joined) == 2 * 4  # both cuts of the first four configurations
    assert xs(joined[0]) == [0.487, 0.516] and ys(joined[0]) == [0.8, 0.567]


def test_sentences_of_the_same_numbers_stand_side_by_side_with_new_words_marked(contents: LanguageContents) -> None:
    found = table(contents, "1 scratch-ppl, seed 123")
    samples = of_row(contents, "1").trainings[0].samples(WAYS[0])
    assert len(found.lines) == 8 + 1 and len(samples) == 5000
    assert str(found.lines[2][1]) == samples[2] and found.header[1] == "random, 0.7"
    assert found.lines[-1][1] == "85.0 % (84.6–85.4)"
    texts, _ = texts_of(TASK, contents.configurations[0], NOWHERE)
    assert texts is not None
    marked = texts.marked("A <i>Zebra</i> , sits NEAR a dog.")
    assert str(marked) == "A **<i>Zebra</i>** , sits NEAR a dog."
    assert marked.__html__() == "A <mark>&lt;i&gt;Zebra&lt;/i&gt;</mark> , sits NEAR a dog."


def test_without_the_sentences_nothing_is_marked_and_the_page_says_so(results: Path) -> None:
    elsewhere = Published()
    elsewhere.corpus = dataclasses.replace(Published.corpus, digest="0" * 64, published=False)
    found = gather_language(elsewhere, results, NOWHERE)
    titles = [section.anchor for section in found.sections]
    assert "splits" not in titles and "samples" in titles
    assert not any(isinstance(cell, Marked) for cell in table(found, "1 scratch-ppl, seed 123").lines[0])
    assert "are not those of the runs; give their folder with --data_dir" in found.notes[-1]
    assert "samples" not in [one.anchor for one in gather_language(TASK, results, NOWHERE, without_texts=True).sections]


def test_between_the_splits(contents: LanguageContents) -> None:
    found = table(contents, "BLEU between the splits")
    assert [line[0] for line in found.lines] == ["train – validation", "train – test", "validation – test"]
    assert [line[-1] for line in found.lines] == list(PUBLISHED_BETWEEN.values())


@pytest.mark.slow
def test_between_the_published_splits_it_is_as_published(real_data_dir: Path, real_vocabulary: Path) -> None:
    if not (real_data_dir / "captions").is_dir():
        pytest.skip("needs the captions")
    config = LanguageModelConfig(data_dir=str(real_data_dir), offline=True)
    corpus = LANGUAGE_MODEL.load(config, Listener())
    found = between_table(Texts(corpus, corpus.digest == LANGUAGE_MODEL.published_data_digest))
    assert [line[-2] for line in found.lines] == [line[-1] for line in found.lines] == ["0.550", "0.611", "0.538"]


def test_claims_stand_verdict_by_verdict_and_what_was_not_run_is_folded() -> None:
    from ablation.report.claims import ClaimFinding

    claims = [
        ClaimFinding("L1", "A", ">", "row 1", "row 2", "", "", NOT_RUN, command="python sweep.py"),
        ClaimFinding("L2", "B", "<", "row 1", "row 3", "1", "2", FAILED, "3", "2"),
    ]
    section = claims_section(claims)
    assert section.intro.endswith("1 failed, 1 not run.")
    told, absent = section.tables
    assert [line[0] for line in told.lines] == ["B"] and not told.folded
    assert absent.folded and [line[0] for line in absent.lines] == ["A"] and "To run" in absent.header


def test_html_and_markdown_say_the_same_and_run_no_script(contents: LanguageContents) -> None:
    drawn: dict[str, list[tuple[str, str, str]]] = {section.anchor: [] for section in contents.sections}
    html, text = language_html(contents, drawn, "report.html"), language_markdown(contents, drawn)
    assert "<script" not in html and 'href="report.html"' in html
    for section in contents.sections:
        assert f'id="{section.anchor}"' in html and f"\n## {section.title}\n" in text
    assert "15.30 (14.03–16.57)" in html and "| 15.30 (14.03–16.57) | 15.31, inside |" in text
    assert "<details><summary><b>Variety, and what is copied</b></summary>" in html
    assert "python sweep.py --task language_model --rows " in html  # for a claim that was not run


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablation.report.language_page.draw_pictures", lambda *_: [])
    monkeypatch.setattr("ablation.report.pictures.PICTURES", {})


@pytest.mark.slow
def test_pictures_are_written_shown_and_cleared_away(results: Path, tmp_path: Path) -> None:
    contents = gather_language(TASK, results, NOWHERE)
    tmp_path.joinpath("language_of_before.png").write_bytes(b"")
    page = write_language_page(contents, tmp_path)
    names = {name for section in contents.sections for name in section.pictures}
    assert names and not (tmp_path / "language_of_before.png").exists()
    assert {file.stem for file in tmp_path.glob("*.png")} == {file.stem for file in tmp_path.glob("*.svg")} == names
    markdown = (tmp_path / "language_model.md").read_text(encoding="utf-8")
    assert all(f"]({name}.png)" in markdown for name in names)
    assert page.read_text(encoding="utf-8").count("<svg") == len(names)


@pytest.mark.usefixtures("no_pictures")
def test_the_page_is_made_alone_or_beside_the_report(
    tmp_path: Path, data: Path, published: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from ablation.config.rows import row_config
    from tests.support.made_up_results import make_run

    flags = ["--results_dir", str(tmp_path), "--data_dir", str(data)]
    make_language_run(tmp_path, LANGUAGE_MODEL, row(1), 15.2)  # which generated nothing
    folder = tmp_path / "report"
    assert report.main(flags) == 0
    assert {file.name for file in folder.iterdir()} == {"language_model.html", "language_model.md"}
    said = " ".join(capsys.readouterr().out.split())  # of lines that were folded
    assert "on 30 sentences" in said and "none of them generated sentences" in said
    assert "left out" not in said
    page = folder / "language_model.html"
    page.write_text(page.read_text().replace("</body>", '<h2 id="splits">Made with the sentences</h2></body>'))
    assert report.main(flags) == 0  # they are not at hand
    kept = " ".join(capsys.readouterr().out.split())
    assert kept.endswith(f"says more than one without, and is kept: {page}") and "Made with" in page.read_text()
    page.unlink()
    make_run(tmp_path, data, row_config(1), 0.9)
    assert report.main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("language_model.html") and any(line.endswith("report.html") for line in lines)
    assert '<a href="language_model.html">' in (folder / "report.html").read_text()
    assert "(language_model.md)" in (folder / "report.md").read_text()
    assert '<a href="report.html">' in (folder / "language_model.html").read_text()


@pytest.mark.usefixtures("no_pictures")
def test_one_task_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_language_run(tmp_path, LANGUAGE_MODEL, row(1), 15.2, BLEU, samples=3)
    flags = ["--results_dir", str(tmp_path), "--data_dir", str(tmp_path), "--task"]
    assert report.main([*flags, "language_model"]) == 0
    assert report.main([*flags, "language_model", "--compare", "1", "2"]) == 2
    assert report.main([*flags, "poetry"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors == ["error: --compare: for classifiers; leave --task language_model out",
                      "error: --task poetry: no such task; give spam or language_model"]  # fmt: skip
    (tmp_path / LANGUAGE_MODEL.csv_name).unlink()
    page = (tmp_path / "report" / "language_model.html").read_bytes()
    assert report.main([*flags, "language_model"]) == 1
    assert "holds no run, though" in capsys.readouterr().err
    assert (tmp_path / "report" / "language_model.html").read_bytes() == page


@pytest.mark.usefixtures("no_pictures")
def test_a_damaged_run_beside_language_models_asks_for_no_classifiers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        make_language_run(tmp_path, LANGUAGE_MODEL, row(1, seed=seed), 15.2, BLEU, samples=3)
    next(tmp_path.glob("runs/*/run.json")).write_text("{")
    assert report.main(["--results_dir", str(tmp_path), "--data_dir", str(tmp_path)]) == 0
    assert "2 runs, 1 configuration: " in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "report").iterdir()} == {"language_model.html", "language_model.md"}


def test_a_run_that_generated_nothing_is_read(tmp_path: Path) -> None:
    make_language_run(tmp_path, LANGUAGE_MODEL, row(1), 15.2)
    (found,), problems = read_results(tmp_path, LANGUAGE_MODEL)
    assert (
        problems == [] and "forward_bleu" not in found.values and found.values["test_perplexity"] == pytest.approx(15.2)
    )
